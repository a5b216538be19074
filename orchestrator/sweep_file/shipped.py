"""The sweep files and cluster templates that are installed with the package.

A sweep may be named as `quickstart` instead of by its path, and all of them can be written out to be changed.
"""

from pathlib import Path

from orchestrator.sweep_file.yaml_file import read
from stcnas_core.errors import InputError
from stcnas_core.files import write_whole

FOLDER = Path(__file__).resolve().parents[2] / "sweeps"
"""Beside this package, in a checkout as in an installation."""

TEMPLATES = "clusters"
"""Name of the cluster templates among the sweeps."""


def names() -> list[str]:
    """Names of the sweeps that are there."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def located(sweep: str | Path) -> Path:
    """The file of a sweep: that path, or the sweep that is shipped under the name where no such file exists.

    Raises InputError for a plain word that is neither.
    """
    path = Path(sweep)
    if path.exists() or path.suffix or path.name != str(sweep):
        return path
    if path.name not in names():
        raise InputError(f"{sweep}: no file, and no sweep of this name comes with stcnas; there are {_listed(names())}")
    return FOLDER / f"{path.name}.yaml"


def titles() -> dict[str, str]:
    """What each sweep is about, by name; the cluster templates last."""
    found = {name: str(read(FOLDER / f"{name}.yaml").value.get("title", "")) for name in names()}
    return {**found, TEMPLATES: "Launch templates and a page for each kind of cluster"}


def write_out(wanted: list[str], out: Path) -> list[Path]:
    """Write sweeps, or the templates, into a folder; returns the paths.

    Raises InputError for a name that is none, and where a file of another content is there, before any is written.
    """
    known = (*names(), TEMPLATES)
    if unknown := [name for name in wanted if name not in known]:
        raise InputError(f"no sweep {unknown[0]!r} comes with stcnas; there are {_listed(known)}")
    sources = [path for name in dict.fromkeys(wanted) for path in _files(name)]
    targets = {out / path.name: path.read_bytes() for path in sources}
    for path, content in targets.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            raise InputError(f"{path} is there and is not what comes with stcnas; name another folder with --out")
    for path, content in targets.items():
        write_whole(path, content)
    for path in sources:
        if path.suffix == ".sh":
            (out / path.name).chmod(0o755)
    return list(targets)


def _files(name: str) -> list[Path]:
    if name == TEMPLATES:
        return sorted(path for path in (FOLDER / TEMPLATES).iterdir() if path.is_file())
    return [FOLDER / f"{name}.yaml"]


def _listed(known: list[str] | tuple[str, ...]) -> str:
    return ", ".join(known)
