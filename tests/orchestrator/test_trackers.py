"""Experiment trackers are told of finished trials, and read them back; told again, they hold nothing twice."""

import importlib.util
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from driver import write_sweep

from orchestrator.api import InputError, Sweep
from orchestrator.trackers.runs import finished_runs, folder_name

SETTINGS = ("js_lambda=0", "js_lambda=0->2")


@pytest.fixture
def real(real_sweep: Path) -> Sweep:
    return Sweep(real_sweep / "sweep.yaml", real_sweep / "results")


def half(sweep: Sweep) -> Sweep:
    """The same sweep as it was before its second seed was added."""
    return Sweep(sweep.file, sweep.storage, overrides=["seeds=[0]"])


def need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; it comes with an extra of its own")


def scalars(sweep: Sweep, name: str) -> dict[str, list[float]]:
    """A column of the epochs, by trial, without the nulls."""
    rows = sweep.epochs().dropna(subset=[name])
    return {str(key): group[name].tolist() for key, group in rows.groupby("trial_id")}


def records(file: Path) -> list[bytes]:
    """The records of a TensorBoard file: length, its checksum, content, its checksum."""
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(data[12 : 12 + length])
        data = data[16 + length :]
    return found


def test_tensorboard_files_hold_the_curves(real: Sweep, tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    assert real.tell("tensorboard", tmp_path) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(SETTINGS)
    names = {"search seed 0", "search seed 1", "retrain seed 0 retrain seed 0", "retrain seed 1 retrain seed 0"}
    assert {path.name for path in (tmp_path / SETTINGS[1]).iterdir()} == names
    for trial, losses in scalars(real, "train_loss").items():
        (file,) = tmp_path.glob(f"*/*/events.out.tfevents.*.{trial}")
        found = [Event.FromString(record) for record in records(file)]
        values = {
            (event.step, value.tag): value.simple_value
            for event in found
            for value in event.summary.value
            if value.tag.endswith("/train_loss")
        }
        assert list(values.values()) == pytest.approx(losses, rel=1e-6)
        stage = file.parent.name.split()[0]
        assert list(values) == [(0, f"{stage}/train_loss"), (1, f"{stage}/train_loss")]


def test_tensorboard_told_again_gets_what_is_new(real: Sweep, tmp_path: Path) -> None:
    assert half(real).tell("tensorboard", tmp_path) == 4
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("events*")}
    assert real.tell("tensorboard", tmp_path) == 4
    assert real.tell("tensorboard", tmp_path) == 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 8
    assert first.items() <= files.items()


def test_tensorboard_itself_reads_them(real: Sweep, tmp_path: Path) -> None:
    need("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    real.tell("tensorboard", tmp_path)
    trials = real.trials().set_index("trial_id")
    for trial, losses in scalars(real, "train_loss").items():
        (file,) = tmp_path.glob(f"*/*/events.out.tfevents.*.{trial}")
        read = EventAccumulator(str(file.parent)).Reload()
        stage = trials.loc[trial, "stage"]
        assert [event.value for event in read.Scalars(f"{stage}/train_loss")] == pytest.approx(losses, rel=1e-6)
        (end,) = read.Scalars(f"{stage}-result/params")
        assert end.value == trials.loc[trial, "params"]
        assert "genotype/text_summary" in read.Tags()["tensors"]
        assert set(read.PluginTagToContent("hparams")) >= {"_hparams_/experiment", "_hparams_/session_start_info"}


def test_mlflow_reads_them_grouped_and_once(real: Sweep, tmp_path: Path) -> None:
    need("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert half(real).tell("mlflow", tmp_path) == 4
        assert real.tell("mlflow", tmp_path) == 4
        assert real.tell("mlflow", tmp_path) == 0
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
        experiment = client.get_experiment_by_name("tiny")
        runs = list(client.search_runs([experiment.experiment_id]))
        groups = {run.info.run_id: run.info.run_name for run in runs if "mlflow.parentRunId" not in run.data.tags}
        assert sorted(groups.values()) == sorted(SETTINGS)
        children = {run.data.tags["stcnas.trial_id"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
        assert len(children) == len(runs) - 2 == 8
        trials = real.trials().set_index("trial_id")
        for trial, losses in scalars(real, "train_loss").items():
            run = children[trial]
            assert groups[run.data.tags["mlflow.parentRunId"]] == trials.loc[trial, "setting"]
            history = client.get_metric_history(run.info.run_id, "train_loss")
            assert [metric.value for metric in sorted(history, key=lambda metric: metric.step)] == losses
            assert run.data.metrics["result.params"] == trials.loc[trial, "params"]
            assert run.data.tags["stcnas.genotype"] == trials.loc[trial, "genotype"]
            assert run.data.params["seed"] == str(trials.loc[trial, "seed"])
            assert run.info.status == "FINISHED"

        # As an export leaves it that is killed in the middle of a trial.
        torn = children[min(children)].info.run_id
        client.update_run(torn, status="RUNNING")
        assert real.tell("mlflow", tmp_path) == 1
        left = [run for run in client.search_runs([experiment.experiment_id]) if "stcnas.trial_id" in run.data.tags]
        assert len(left) == 8
        assert torn not in {run.info.run_id for run in left}


def test_wandb_holds_each_trial_once_offline(real: Sweep, tmp_path: Path) -> None:
    need("wandb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = Sweep(real.file, real.storage, overrides=["seeds=[0]", "grid.js_lambda=['0->2']"])
        assert one.tell("wandb", tmp_path) == 2
        assert one.tell("wandb", tmp_path) == 0
    folders = list((tmp_path / "wandb").iterdir())
    assert sorted(path.name.rsplit("-", 1)[1] for path in folders) == sorted(one.plan()["id"])
    for folder in folders:
        trial = folder.name.rsplit("-", 1)[1]
        (file,) = folder.glob("run-*.wandb")
        found = wandb_records(file)
        (run,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
        assert (run.run_id, run.project, run.run_group) == (trial, "tiny", "js_lambda=0->2")
        steps = [
            {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            for record in found
            if record.WhichOneof("record_type") == "history"
        ]
        assert [float(step["train_loss"]) for step in steps] == scalars(one, "train_loss")[trial]


def wandb_records(file: Path) -> list[Any]:
    """What `wandb sync` would send of a run: its file is a log in LevelDB's format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, content, found = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        room = 32768 - at % 32768
        if room < 7:
            at += room
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        content += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(Record.FromString(content))
            content = b""
    return found


def test_runs_say_what_was_set_and_measured(real: Sweep) -> None:
    runs = list(finished_runs(real.ledger, real.name, real.overview().listed()))
    trials = real.trials().set_index("trial_id")
    assert [run.id for run in runs] == trials.index.tolist()
    for run in runs:
        assert run.parameters["seed"] == trials.loc[run.id, "seed"]
        assert run.parameters["epochs"] == 2
        assert "genotype" not in run.parameters
        assert run.facts["genotype"] == trials.loc[run.id, "genotype"]
        assert run.summary["device_seconds"] == trials.loc[run.id, "device_seconds"]
        assert ("test_accuracy" in run.summary) == (run.stage == "retrain")


def test_failed_trials_are_not_told(tmp_path: Path) -> None:
    sweep = Sweep(write_sweep(tmp_path / "s.yaml", search={"lr": 1e30}, seeds=[0], retrain=None), tmp_path / "results")
    assert sweep.run(backend="inline") == 3
    assert sweep.tell("tensorboard", tmp_path / "runs") == 0


def test_names_of_folders_are_as_distinct_as_settings() -> None:
    names = ["a/b", "a_b", "x" * 200, "x" * 201, "js_lambda=0->2"]
    made = [folder_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert made[-1] == names[-1]
    assert all("/" not in name and len(name) < 200 for name in made)


@pytest.mark.parametrize(("tracker", "package"), [("mlflow", "mlflow"), ("wandb", "wandb")])
def test_a_tracker_that_is_not_installed_is_named(
    real: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.exceptions", None)
    with pytest.raises(InputError, match=rf"pip install 'stcnas\[{tracker}\]'"):
        real.tell(tracker, tmp_path)
