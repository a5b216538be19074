"""The wheel alone is enough: what is in it, and the quickstart planned with nothing of this checkout on the path."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

from orchestrator.sweep_file import shipped

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this checkout, without a network."""
    pytest.importorskip("hatchling", reason="hatchling is not installed; it comes with the extra `dev`")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which pip has installed the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    done = subprocess.run(
        [*command, "--target", str(folder), str(wheel)], capture_output=True, text=True, timeout=120, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder


def isolated(installed: Path, cwd: Path, *arguments: str) -> str:
    """What Python prints that sees the installed wheel and the libraries, but no `.pth` file and not this checkout."""
    libraries = sysconfig.get_paths()["purelib"]
    also = [path for path in sys.path if path.endswith("site-packages") and path != libraries]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPATH"] = os.pathsep.join([str(installed), libraries, *also])
    done = subprocess.run(
        [sys.executable, "-S", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_what_is_tracked_and_nothing_else(wheel: Path) -> None:
    packages = ("analysis", "orchestrator", "stcnas_core", "sweeps")
    listed = subprocess.run(["git", "ls-files", *packages], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("this is no checkout of git")
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if ".dist-info/" not in name}
    assert set(listed.stdout.split()) <= found
    assert {name.split("/")[0] for name in found} == set(packages)
    assert not [name for name in found if "__pycache__" in name]


def test_its_metadata_name_licence_interpreters_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (folder,) = {name.split("/")[0] for name in file.namelist() if ".dist-info/" in name}
        metadata = BytesParser().parsebytes(file.read(f"{folder}/METADATA"))
        assert metadata["License-Expression"] == "MIT"
        assert metadata["License-File"] == "LICENSE"
        assert file.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert metadata["Requires-Python"] == ">=3.11"
        assert "stcnas = orchestrator.cli:main" in file.read(f"{folder}/entry_points.txt").decode()
        assert str(metadata.get_payload()).startswith("# stcnas")


def test_quickstart_is_planned_by_its_name(installed: Path, tmp_path: Path) -> None:
    planned = json.loads(isolated(installed, tmp_path, "-m", "orchestrator", "plan", "quickstart", "--json"))
    assert planned["sweep"] == "quickstart"
    assert [trial["stage"] for trial in planned["trials"]].count("search") == 8
    assert len(planned["trials"]) == 16
    program = (
        "import analysis, orchestrator, stcnas_core, sys; print(analysis.__file__, orchestrator.__file__, *sys.path)"
    )
    places = map(Path, isolated(installed, tmp_path, "-c", program).split())
    # An environment may lie within the checkout; nothing else of it is used.
    assert not [place for place in places if place.is_relative_to(ROOT) and "site-packages" not in place.parts]


def test_sweeps_and_templates_are_written_out_as_they_are_here(installed: Path, tmp_path: Path) -> None:
    written = json.loads(isolated(installed, tmp_path, "-m", "orchestrator", "sweeps", "--out", "mine", "--json"))
    here = [*shipped.FOLDER.glob("*.yaml"), *(shipped.FOLDER / "clusters").iterdir()]
    assert {Path(path).name for path in written["files"]} == {path.name for path in here}
    for path in here:
        copy = tmp_path / "mine" / path.name
        assert copy.read_bytes() == path.read_bytes()
        assert os.access(copy, os.X_OK) == (path.suffix == ".sh")
