"""What ran: versions of stcnas and what it stands on, read from package metadata without importing any of it."""

import platform
import subprocess
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stcnas_core import ALGORITHM_VERSION

_SOURCE = Path(__file__).resolve().parent.parent


@cache
def versions() -> dict[str, Any]:
    """The version columns of a record; null where something is not installed as a package."""
    return {
        "stcnas_version": _installed("stcnas") or _declared(),
        "algorithm_version": ALGORITHM_VERSION,
        "python_version": platform.python_version(),
        "torch_version": _installed("torch"),
        "ray_version": _installed("ray"),
        "commit": _commit(),
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _declared() -> str | None:
    """The version of a source tree that is run without having been installed."""
    project = _SOURCE / "pyproject.toml"
    if not project.is_file():
        return None
    return tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("version")


def _commit() -> str | None:
    """The source tree's commit, with `-dirty` where tracked files differ from it; None without a tree or git."""
    if not (_SOURCE / ".git").exists():
        return None
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    if head is None or changes is None:
        return None
    return f"{head}-dirty" if changes else head


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_SOURCE), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
