"""docs/extending.md is true: its files and changes, made in a copy of the sources, give what its code then uses."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def change(folder: Path, diff: str) -> None:
    """Apply a block of context, old and new lines to the one file in which the old ones stand, once."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    found = [path for path in sorted(folder.rglob("*.py")) if old in path.read_text(encoding="utf-8")]
    assert len(found) == 1, f"in {[path.name for path in found]}:\n{diff}"
    text = found[0].read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{found[0].name}:\n{diff}"
    assert f"`{found[0].relative_to(folder).as_posix()}`" in PAGE, f"the page does not say that {found[0]} changes"
    found[0].write_text(text.replace(old, new), encoding="utf-8")


def test_the_walk_through_extending_works(tmp_path: Path) -> None:
    for room in ("stcnas_core", "orchestrator"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    program = ["import torch", "torch.set_num_threads(1)"]
    for match in BLOCK.finditer(PAGE):
        kind, body = match.groups()
        assert kind in ("python", "diff")
        new = re.search(r"New file `([\w/.]+)`:\n\n$", PAGE[: match.start()])
        if kind == "diff":
            change(tmp_path, body)
        elif new is None:
            program.append(body)
        else:
            assert not (tmp_path / new[1]).exists()
            (tmp_path / new[1]).write_text(body, encoding="utf-8")
    (tmp_path / "walk.py").write_text("\n".join(program), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "walk.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["epoch 1", "epoch 2"]
    assert all('{"space": "ladder"' in line for line in lines[:2])
    assert sum("% of the test images" in line for line in lines) == 2
    assert len(re.findall(r"'[0-9a-f]{20}(?:-r0)?'", lines[-1])) == 4  # two searches, a retraining of each
