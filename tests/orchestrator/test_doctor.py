"""`stcnas doctor` on this machine."""

import json
from pathlib import Path

import pytest
from driver import Driver, write_sweep
from obstore.store import MemoryStore

from orchestrator.cluster import nodes
from orchestrator.cluster.nodes import Check, Images, Question, asks_for_token, look
from orchestrator.commands.doctor import examine, listed
from orchestrator.place import ensure, identify
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage, ObjectStorage, StorageError


def failed(checks: list[Check]) -> list[str]:
    return [check.check for check in checks if not check.ok]


def test_a_machine_that_is_ready(sweep: Path, tmp_path: Path) -> None:
    checks = examine(load_sweep(sweep), LocalStorage(tmp_path / "results"), None)
    assert failed(checks) == []
    assert [check.check for check in checks] == ["storage", "versions", "data", "resources", "resources"]
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert failed(examine(None, ObjectStorage(MemoryStore(), "s3://bucket"), None)) == []


def test_each_thing_that_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    changes = {"search": {"dataset": "cifar10"}, "data": {"path": str(tmp_path / "none")}, "retrain": None}
    sweep = load_sweep(write_sweep(tmp_path / "s.yaml", **changes, resources={"search": {"cpus": 4096}}))
    checks = examine(sweep, LocalStorage(tmp_path / "file" / "results"), None)
    assert failed(checks) == ["storage", "data", "resources"]
    said = {check.check: check.said for check in checks}
    assert "cannot write" in said["storage"]
    assert "none does not exist; name the folder that holds cifar10" in said["data"]
    assert "lower resources.search" in said["resources"]
    assert listed(checks)["ok"] is False


@pytest.mark.alone
def test_exit_codes(driver: Driver, sweep: Path, tmp_path: Path) -> None:
    done = driver.run("doctor", sweep, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    bad = driver.run("doctor", sweep, "--set", "resources.search.cpus=4096")
    assert bad.returncode == 5
    assert "FAILED  resources, here: resources.search: a trial asks for 4096 CPUs" in bad.stdout
    assert driver.run("doctor", tmp_path / "none.yaml").returncode == 2


def test_what_a_node_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    storage.create("probe/a", b"secret")
    images = (Images("digits@scikit-learn", None), Images("cifar10@torchvision", str(tmp_path / "none")))
    question = Question(storage.uri, "probe/a", "secret", images)
    seen = look(question, "probe/b")
    assert seen["problem"] is None
    assert storage.read("probe/b") == b"secret"
    assert seen["images"]["digits@scikit-learn"] == "digits@scikit-learn"
    checks = {(check.check, check.ok): check.said for check in nodes._judge("n", question, seen)}
    assert "make data.path hold the same files on every node" in checks["data", False]

    elsewhere = look(Question(str(tmp_path / "other"), "probe/a", "secret", ()), "probe/c")
    assert "does not see" in elsewhere["problem"]
    elsewhere["versions"]["torch_version"] = "1.0"
    checks = {(check.check, check.ok): check.said for check in nodes._judge("n", question, {**elsewhere, "images": {}})}
    assert "mount the same shared folder under the same path on every node" in checks["storage", False]
    assert checks["versions", False].startswith("torch is 1.0, here it is ")


def test_another_storage_under_the_same_path_is_noticed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "results")
    name = identify(storage)
    assert identify(storage) == name
    ensure(storage, name)
    (tmp_path / "results").rename(tmp_path / "aside")
    with pytest.raises(StorageError, match="is not the storage that the run began with"):
        ensure(storage, name)
    assert identify(storage) != name
    with pytest.raises(StorageError, match="unmounted, renamed or emptied"):
        ensure(storage, name)
    ensure(storage, None)


@pytest.mark.parametrize(
    ("mode", "version", "asks"),
    [
        ("token", "2.60.0", True),
        ("TOKEN", "2.60.0", True),
        ("", "2.60.0", False),
        ("", "2.61.0", True),
        ("", "3.0.0rc1", True),
        ("disabled", "2.61.0", False),
    ],
)
def test_an_unset_mode_means_what_the_version_of_ray_makes_of_it(mode, version, asks):
    assert asks_for_token(mode, version) == asks
