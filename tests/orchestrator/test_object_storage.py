"""Ledger, checkpoints and leases on an S3 server that fails: nothing lost, nothing twice, no secret anywhere."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from driver import Driver, wait_for, write_sweep
from faulty_s3 import SECRET, FaultyS3

from orchestrator.checkpoints import Checkpoints
from orchestrator.ledger import Ledger
from orchestrator.numbered import Numbered
from orchestrator.storage import ObjectStorage, StorageError, objects, open_storage
from orchestrator.storage.environment import variables, without_secrets

EVERYTHING = ("500", "503", "429", "drop", "drop-after", "slow")
SAME = ["trial_id", "state", "genotype", "valid_accuracy", "test_accuracy", "epochs_done", "attempt", "config"]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyS3]:
    server = FaultyS3()
    yield server
    server.close()


@pytest.fixture
def s3(server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    server.fail(0)


def opened(prefix: str, patience: float | None = None) -> ObjectStorage:
    storage = open_storage(f"s3://sweeps/{prefix}")
    assert isinstance(storage, ObjectStorage)
    storage._patience = patience
    return storage


def test_what_is_written_once_is_written_once_whatever_fails(s3: FaultyS3) -> None:
    one, other = opened("once"), opened("once")
    before = s3.counts()
    s3.fail(0.4, "500", "503", "429", "drop", "drop-after")
    keys = [f"trials/{number}" for number in range(20)]
    won = [(one.create(key, b"one"), other.create(key, b"two")) for key in keys]
    for key in keys:
        one.replace(f"{key}.last", b"1")
        one.replace(f"{key}.last", b"2")
    listed = one.keys("trials")
    content = list(other.read_many(keys))
    for key in keys:
        other.delete(f"{key}.last")
    s3.fail(0)
    assert won == [(True, False)] * len(keys)
    assert content == [b"one"] * len(keys)
    assert listed == sorted([*keys, *(f"{key}.last" for key in keys)])
    assert one.keys("trials") == sorted(keys)
    met = s3.counts() - before
    assert all(met[kind] > 1 for kind in ("500", "503", "429", "drop", "drop-after")), met


def test_checkpoints_larger_than_one_request(s3: FaultyS3) -> None:
    import torch

    checkpoints = Checkpoints(opened("large"))
    state = {"weights": torch.randn(3_000_000, generator=torch.Generator().manual_seed(0))}
    s3.fail(0.25, *EVERYTHING)
    checkpoints.save("abc", 1, state)
    found = checkpoints.newest("abc", pytest.fail)
    s3.fail(0)
    assert found is not None
    assert torch.equal(found["weights"], state["weights"])


def test_numbers_are_handed_out_once(s3: FaultyS3) -> None:
    s3.fail(0.3, "500", "drop", "drop-after")
    logs = [Numbered(opened("log"), "leases/x/log") for _ in range(2)]
    for number in range(10):
        assert [log.append(number, str(index).encode()) for index, log in enumerate(logs)] == [True, False]
    s3.fail(0)
    assert logs[1].newest() == (10, b"0")


@pytest.mark.parametrize("fault", ["500", "503", "drop"])
def test_gives_up_with_a_clear_error(s3: FaultyS3, fault: str) -> None:
    storage = opened(f"up-{fault}", patience=1.0)
    s3.fail(1.0, fault)
    for act in (
        lambda: storage.create("trials/x", b"1"),
        lambda: storage.read("trials/x"),
        lambda: storage.keys("trials"),
        lambda: storage.delete("trials/x"),
    ):
        with pytest.raises(StorageError, match=r"s3://sweeps/up-\w+/trials(/x)?: .*check the address") as caught:
            act()
        assert SECRET not in str(caught.value)
    s3.fail(0)
    assert storage.create("trials/x", b"1")


def test_what_cannot_heal_is_told_at_once(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_waiting(seconds: float) -> None:
        pytest.fail("waited")

    monkeypatch.setattr(objects.time, "sleep", no_waiting)
    nowhere = open_storage("s3://no-such-bucket/x")
    with pytest.raises(StorageError, match=r"cannot list s3://no-such-bucket/x/trials: 404 Not Found \(NoSuchBucket\)"):
        nowhere.keys("trials")
    with pytest.raises(StorageError, match="404 Not Found"):
        nowhere.create("trials/x", b"1")
    s3.fail(1.0, "403")
    with pytest.raises(StorageError, match=r"403 Forbidden .*credentials in the environment"):
        opened("x").read("trials/x")


def test_an_address_where_nothing_answers(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "FIRST_PATIENCE", 0.5)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hunter2@127.0.0.1:9")
    with pytest.raises(StorageError, match=r"error sending request from http://127.0.0.1:9") as caught:
        opened("x").read("trials/x")
    assert "hunter2" not in str(caught.value)


def test_secrets_are_taken_out_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken-of-a-session")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    text = without_secrets("bad t0ken-of-a-session at https://me:pass@host/us-east-1")
    assert text == "bad <AWS_SESSION_TOKEN> at https://host/us-east-1"


def test_a_store_gets_its_own_variables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "GOOGLE_SERVICE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME", "HOMELY"):
        monkeypatch.setenv(name, "x")
    assert "AWS_REGION" in variables("s3://b")
    assert set(variables("s3://b")) <= {name for name in os.environ if name.startswith("AWS_")}
    assert variables("gs://b") == {"GOOGLE_SERVICE_ACCOUNT": "x"}
    assert variables("az://b") == {"AZURE_STORAGE_ACCOUNT_NAME": "x"}
    assert variables("/a/folder") == {}


def nowhere_secret(storage: ObjectStorage, folder: Path, *texts: str) -> None:
    """Asserts that the secret is in no object, no file and no output."""
    objects = storage_keys(storage)
    assert objects
    for key, content in objects.items():
        assert SECRET.encode() not in content, key
    for file in folder.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    for text in texts:
        assert SECRET not in text


def storage_keys(storage: ObjectStorage) -> dict[str, bytes]:
    import obstore

    return {
        str(item["path"]): obstore.get(storage.store, item["path"]).bytes().to_bytes()
        for page in obstore.list(storage.store)
        for item in page
    }


@pytest.mark.slow
def test_a_sweep_on_a_failing_store_equals_one_in_a_folder(s3: FaultyS3, driver: Driver, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml")
    uri = "s3://sweeps/deep/er"
    before = s3.counts()
    s3.fail(0.15, *EVERYTHING)
    done = driver.run("run", sweep, "--backend", "inline", storage=uri)
    met = s3.counts() - before
    s3.fail(0)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sum(met[kind] for kind in EVERYTHING) > 10, met

    local = driver.run("run", sweep, "--backend", "inline")
    assert local.returncode == 0, local.stderr
    storage = opened("deep/er")
    found, wanted = (
        ledger.trials()[SAME].sort_values("trial_id", ignore_index=True)
        for ledger in (Ledger(storage), Ledger(open_storage(str(driver.storage))))
    )
    pd.testing.assert_frame_equal(found, wanted)
    assert found["trial_id"].is_unique
    assert len(Ledger(storage).epochs()) == found["epochs_done"].sum()
    assert storage.keys("checkpoints") == storage.keys("probe") == []

    plan = driver.run("plan", sweep, "--json", storage=uri)
    status = driver.run("status", sweep, storage=uri)
    out = tmp_path / "page"
    report = driver.run("report", sweep, "--out", out, storage=uri)
    again = driver.run("run", sweep, storage=uri)
    for process in (plan, status, report, again):
        assert process.returncode == 0, process.stderr
    assert json.loads(plan.stdout)["done"] == len(found)
    assert "0 failed, 0 missing" in status.stdout
    assert (out / "index.html").is_file()
    texts = [text for process in (done, plan, status, report, again) for text in (process.stdout, process.stderr)]
    nowhere_secret(storage, tmp_path, *texts)


@pytest.mark.slow
def test_a_store_that_stops_answering_ends_the_run_and_the_same_command_goes_on(
    s3: FaultyS3, driver: Driver, tmp_path: Path
) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", search={"epochs": 30}, retrain=None)
    uri, storage = "s3://sweeps/gone", opened("gone")
    program = (
        "from orchestrator import cli, lease; from orchestrator.storage import objects\n"
        "objects.PATIENCE = 2.0; lease.HEARTBEAT = 0.5; cli.main()"
    )
    command = [sys.executable, "-c", program, "run", str(sweep), "--backend", "inline", "--storage", uri]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        wait_for(lambda: len(storage.keys("checkpoints")) > 2)
        s3.fail(1.0, "503")
        out, err = process.communicate(timeout=240)
    assert process.returncode == 2, err
    assert len(err.splitlines()) == 1
    # Whichever request comes first.
    assert re.match(r"error: cannot (read|write|list) s3://sweeps/gone/", err)
    assert "503" in err
    assert "could not be released" in out
    s3.fail(0)
    assert driver.run("run", sweep, "--backend", "inline", storage=uri).returncode == 0
    trials = Ledger(storage).trials()
    assert sorted(trials["attempt"]) == [1, 2]
    nowhere_secret(storage, tmp_path, out, err)


@pytest.mark.slow
def test_workers_of_a_cluster_get_the_variables_in_memory_alone(s3: FaultyS3, driver: Driver, tmp_path: Path) -> None:
    program = (
        "import sys; from ray.cluster_utils import Cluster\n"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1, 'include_dashboard': False})\n"
        "print('ADDRESS', cluster.address, cluster.head_node.get_session_dir_path(), flush=True)\n"
        "sys.stdin.read(); cluster.shutdown()\n"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    bare["RAY_worker_niceness"] = "0"  # other tests compute beside it
    # The driver's environment holds the variables, the cluster's does not.
    head = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=bare
    )
    with contextlib.ExitStack() as stack:
        stack.callback(head.communicate, timeout=240)
        assert head.stdout is not None
        words = wait_for(lambda: (line := head.stdout.readline()).startswith("ADDRESS") and line.split())
        sweep = write_sweep(tmp_path / "s.yaml", retrain=None)
        done = driver.run("run", sweep, "--address", words[1], storage="s3://sweeps/cluster")
        assert done.returncode == 0, done.stderr
        storage = opened("cluster")
        assert len(Ledger(storage).trials()) == 2
        session = Path(words[2])
        assert (session / "logs").is_dir()
        nowhere_secret(storage, session, done.stdout, done.stderr)
