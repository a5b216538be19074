"""A study through its sweep: nothing is lost, repeated or suggested otherwise, whenever its driver ends."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from driver import Driver, wait_for, write_sweep
from memory import Crash, MemoryStorage, crash_at
from typer.testing import CliRunner

from orchestrator import cli
from orchestrator.plan import Plan, Trial, make_plan
from orchestrator.spec import Sweep, load_sweep
from orchestrator.studies.study import Study, listed, with_suggestions
from orchestrator.studies.suggestions import Book, study_folder
from stcnas_core.errors import InputError

OPTUNA: dict[str, Any] = {
    "suggestions": 7,
    "startup": 3,
    "space": {
        "alpha_lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "noise": {"low": 0.0, "high": 0.5},
        "js_scope": ["node", "edge", "cell"],
    },
    "objectives": [{"metric": "derived_accuracy"}],
}


def sweep(seeds: Sequence[int] = (0, 1, 2), **changes: Any) -> Sweep:
    content = {"name": "s", "search": {"space": "nasbench201"}, "seeds": list(seeds)}
    return Sweep.model_validate({**content, "optuna": {**OPTUNA, **changes}})


class Records:
    """Stands in for the ledger: records of searches as JSON, each one operation of the storage to write and read."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.storage = storage

    def has(self, trial_id: str) -> bool:
        return f"trials/{trial_id}.json" in self.storage.files

    def record(self, trial: Trial, **row: Any) -> None:
        state = {"trial_id": trial.id, "state": "finished", "genotype": None}
        self.storage.create(f"trials/{trial.id}.json", json.dumps({**state, **row}).encode())

    def rows(self, ids: Iterable[str], columns: Sequence[str]) -> list[dict[str, Any]]:
        found = [self.storage.read(f"trials/{trial_id}.json") for trial_id in ids if self.has(trial_id)]
        return [{name: row.get(name) for name in columns} for data in found if data for row in [json.loads(data)]]


def accuracy(trial: Trial) -> float | None:
    """A function of what is searched with, and of the seed; None where that search fails."""
    config: Any = trial.config
    dice = random.Random(trial.id)
    if dice.random() < 0.1:
        return None
    return 90 - 100 * (config.noise - 0.2) ** 2 - 3 * (config.js_scope == "cell") + dice.gauss(0, 0.5)


def drive(storage: MemoryStorage, sweep: Sweep, lines: list[str] | None = None, width: int = 1) -> Plan:
    """A driver that runs what is ready, `width` trials at a time in an order of their own, until nothing is left."""
    records: Any = Records(storage)
    say = (lambda line: None) if lines is None else lines.append
    plan = with_suggestions(make_plan(sweep, lambda dataset, path: "data"), storage)
    study = Study(plan, records, say)
    while True:
        ready = [trial for trial in study.plan.searches if not records.has(trial.id)]
        for trial in sorted(ready, key=lambda trial: trial.id)[:width]:
            value = accuracy(trial)
            records.record(trial, **({"state": "failed"} if value is None else {"derived_accuracy": value}))
        idle = all(records.has(trial.id) for trial in study.plan.searches)
        if study.advance(idle, lambda setting: False) is None and idle and len(ready) <= width:
            return study.plan


def points(storage: MemoryStorage, sweep: Sweep) -> list[Mapping[str, Any]]:
    return [one.params for one in Book(storage, sweep).read()]


@pytest.mark.parametrize("changes", [{"suggestions": 5}, {"suggestions": 6, "prune": {"after": 1}}])
def test_a_driver_that_ends_anywhere_is_followed_by_one_that_goes_on_as_if_nothing_had_been(
    changes: dict[str, Any],
) -> None:
    study = sweep([0, 1], startup=2, **changes)
    whole = MemoryStorage()
    drive(whole, study)
    assert len(points(whole, study)) == study.optuna.suggestions  # type: ignore[union-attr]
    # A driver that ends while it reads has left what one leaves that ends before its next write.
    writes = [number for number, key in enumerate(_operations(study)) if key is not None]
    for operation in writes:
        broken = MemoryStorage(before=crash_at(operation))
        with pytest.raises(Crash):
            drive(broken, study)
        left = dict(broken.files)
        resumed = MemoryStorage(dict(left))
        drive(resumed, study)
        assert resumed.files == whole.files
        assert left.items() <= resumed.files.items()


def _operations(study: Sweep) -> list[str | None]:
    """The keys of all operations of a whole study in order, None for one that only reads."""

    class Watched(MemoryStorage):
        def create(self, key: str, data: bytes) -> bool:
            number = self.operations
            created = super().create(key, data)
            found.extend([None] * (number - len(found)) + [key])
            return created

    found: list[str | None] = []
    drive(Watched(), study)
    return found


def test_suggestions_are_written_before_anything_of_them_runs() -> None:
    keys = [key for key in _operations(sweep()) if key is not None]
    kinds = ["suggestion" if key.startswith("studies/") else "trial" for key in keys]
    assert kinds == ["suggestion", "trial", "trial", "trial"] * 7


def test_a_study_that_is_asked_for_more_goes_on() -> None:
    storage = MemoryStorage()
    drive(storage, sweep())
    seven = points(storage, sweep())
    drive(storage, sweep(suggestions=9))
    whole = MemoryStorage()
    drive(whole, sweep(suggestions=9))
    assert points(storage, sweep())[:7] == seven
    assert storage.files == whole.files


def test_other_ranges_objectives_and_seeds_keep_what_was_suggested() -> None:
    storage = MemoryStorage()
    drive(storage, sweep())
    before = points(storage, sweep())
    narrow = {**OPTUNA["space"], "noise": {"low": 0.1, "high": 0.3}}
    changed = sweep(
        [0, 1, 2, 3], suggestions=9, space=narrow, objectives=[{"metric": "derived_accuracy", "over": "bound"}]
    )
    plan = drive(storage, changed)
    assert points(storage, changed)[:7] == before
    assert all(0.1 <= point["noise"] <= 0.3 for point in points(storage, changed)[7:])
    assert len(plan.searches) == 9 * 4


def test_a_second_driver_that_suggests_at_the_same_time_is_noticed() -> None:
    storage = MemoryStorage()
    study = sweep()
    drive(storage, study)
    records: Any = Records(storage)
    late = Study(make_plan(study, lambda dataset, path: "data"), records, lambda line: None)
    with pytest.raises(InputError, match="suggestion 1 that was not there: another driver"):
        late.advance(True, lambda setting: False)


def test_hopeless_suggestions_get_no_more_than_their_first_seeds() -> None:
    study = sweep(suggestions=12, prune={"after": 2, "keep": 0.4})
    storage, lines = MemoryStorage(), []
    plan = drive(storage, study, lines)
    by_setting: dict[str, list[int]] = {}
    for trial in plan.searches:
        by_setting.setdefault(trial.setting, []).append(trial.seed or 0)
    stopped = {line.split(" is stopped")[0] for line in lines if " is stopped: number " in line}
    failed = {line.split(" failed")[0] for line in lines if " failed: " in line}
    assert stopped
    for setting, seeds in by_setting.items():
        assert seeds == ([0, 1] if setting in stopped | failed else [0, 1, 2]), setting
    assert all(by_setting[f"suggestion {number}"] == [0, 1, 2] for number in (1, 2, 3))
    # Whoever takes the key away gives the others their seeds.
    assert len(drive(storage, sweep(suggestions=12)).searches) == 12 * 3


def test_suggestions_side_by_side_are_as_many_as_asked_and_differ() -> None:
    study = sweep(parallel=3)
    storage = MemoryStorage()
    records: Any = Records(storage)
    made = Study(make_plan(study, lambda dataset, path: "data"), records, lambda line: None)
    while made.advance(False, lambda setting: False) is not None:
        pass
    assert len(made.plan.suggestions) == 3
    assert len({trial.id for trial in made.plan.searches}) == 9
    drive(storage, study, width=4)
    found = points(storage, study)
    assert len(found) == 7
    assert all(point not in found[:index] for index, point in enumerate(found))


def test_a_finite_space_ends_and_says_so() -> None:
    # Without the loss its scope has no effect, so that four of six points are different searches.
    study = sweep([0], space={"js_scope": ["node", "edge", "cell"], "js_lambda": [0, 2]})
    storage, lines = MemoryStorage(), []
    plan = drive(storage, study, lines)
    assert len(plan.searches) == 4
    assert lines[-1] == "note: the space has no other point that can run: 4 suggestions, 3 fewer than asked for"
    assert drive(storage, study).searches == plan.searches


def test_a_study_of_another_base_is_said_to_be_there() -> None:
    storage, lines = MemoryStorage(), []
    drive(storage, sweep())
    other = Sweep.model_validate({**sweep().model_dump(include={"name", "seeds"}), "optuna": OPTUNA})
    drive(storage, other, lines)
    assert lines[0] == f"note: this is a new study; {study_folder(sweep())} has another base or other parameters"


def test_what_is_listed_is_what_was_measured() -> None:
    study = sweep(suggestions=6, objectives=[{"metric": "derived_accuracy"}, {"metric": "macs"}])
    storage = MemoryStorage()
    records: Any = Records(storage)
    plan = make_plan(study, lambda dataset, path: "data")
    values = [(90.0, 5), (80.0, 1), (85.0, 7), None]
    made = Study(plan, records, lambda line: None)
    for value in values:
        grown = made.advance(True, lambda setting: False)
        assert grown is not None
        for trial in grown.searches[-3:]:
            row = {"state": "failed"} if value is None else {"derived_accuracy": value[0], "macs": value[1]}
            records.record(trial, **row)
    found = listed(made.plan, records, (), 2)
    assert [row["values"] for row in found["suggestions"]] == [None if each is None else list(each) for each in values]
    assert [row["state"] for row in found["suggestions"]] == ["finished"] * 3 + ["failed"]
    assert [found[name] for name in ("best", "asked", "made", "to_come")] == [[1, 2], 6, 4, 2]
    assert found["suggestions"][0]["seeds"] == [{"seed": seed, "values": [90.0, 5.0]} for seed in (0, 1, 2)]
    assert json.loads(json.dumps(found)) == found


RUN: dict[str, Any] = {**OPTUNA, "suggestions": 8, "startup": 2, "prune": {"after": 1}}


def simulate(path: Path, storage: Path) -> str:
    """The command, in this process."""
    done = CliRunner().invoke(cli.app, ["simulate", str(path), "--storage", str(storage)])
    assert done.exit_code == 0, done.output
    return done.output


def test_killed_for_real_a_study_goes_on_where_it_was(driver: Driver, tmp_path: Path) -> None:
    path = write_sweep(tmp_path / "s.yaml", optuna=RUN, seeds=[0, 1], retrain=None)
    process = driver.start("simulate", path, "--speed", "500", "--workers", "1")
    folder = driver.storage / study_folder(load_sweep(path)) / "suggestions"
    wait_for(lambda: len(list(folder.glob("*.json"))) >= 3 or process.poll() is not None)
    process.kill()
    process.communicate()
    left = {file.name: file.read_bytes() for file in folder.glob("*.json")}
    assert 3 <= len(left) < 8
    assert "8 of 8 suggestions made" in simulate(path, driver.storage)
    unbroken = Driver(tmp_path / "unbroken")
    simulate(path, unbroken.storage)
    found = {file.name: file.read_bytes() for file in folder.glob("*.json")}
    other = unbroken.storage / folder.relative_to(driver.storage)
    assert found == {file.name: file.read_bytes() for file in other.glob("*.json")}
    assert left.items() <= found.items()
    assert driver.records().keys() == unbroken.records().keys()
