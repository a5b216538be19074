"""Sweeps that come with the package are taken by name and written out, and never over what is somebody's."""

from pathlib import Path

import pytest

from orchestrator.spec import load_sweep
from orchestrator.sweep_file import shipped
from stcnas_core.errors import InputError


def test_a_name_is_the_shipped_sweep_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_sweep("table7").name == "table7"
    Path("table7").write_text("name: mine\n")
    assert load_sweep("table7").name == "mine"


@pytest.mark.parametrize("path", ["table7.yaml", "sweeps/table7", "table7.yml"])
def test_a_path_is_never_a_name(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load_sweep(path)


def test_an_unknown_name_is_told_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"tabel7: no file.*quickstart.*table7"):
        load_sweep("tabel7")
    with pytest.raises(InputError, match=r"'tabel7'.*table7.*clusters"):
        shipped.write_out(["table7", "tabel7"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_changed_is_not_written_over(tmp_path: Path) -> None:
    shipped.write_out(["table7"], tmp_path)
    assert shipped.write_out(["table7"], tmp_path) == [tmp_path / "table7.yaml"]
    (tmp_path / "table7.yaml").write_text("name: mine\n")
    with pytest.raises(InputError, match=r"table7\.yaml is there and is not"):
        shipped.write_out(["table6", "table7"], tmp_path)
    assert (tmp_path / "table7.yaml").read_text() == "name: mine\n"
    assert not (tmp_path / "table6.yaml").exists()


def test_each_has_a_title() -> None:
    assert all(shipped.titles().values())
