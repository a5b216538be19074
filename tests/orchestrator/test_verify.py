"""Verifying: whatever is wrong with a ledger is found, named and, if asked, moved aside; what is sound stays."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import write_sweep
from memory import MemoryStorage
from recorded import CELLS, checkpoint, pickled, plan_of, record_all, rows_of
from typer.testing import CliRunner

from orchestrator import records
from orchestrator.checkpoints import Checkpoints
from orchestrator.cli import app
from orchestrator.collect import collect
from orchestrator.findings import Planned, move_aside, plans
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, Trial
from orchestrator.schema import SCHEMA_VERSION
from orchestrator.storage import LocalStorage, StorageError
from orchestrator.verify import inspect

Files = dict[str, bytes]


@dataclasses.dataclass
class World:
    """A whole ledger: two searches, two retrainings, a failed search, and one that is not finished."""

    plan: Plan
    trials: tuple[Trial, ...]
    files: Files
    failed: str
    begun: str

    @property
    def ledger(self) -> Ledger:
        return Ledger(MemoryStorage(self.files))

    def problems(self) -> list[tuple[str, str]]:
        """Kinds and files, sorted."""
        return sorted({(problem.kind, problem.file) for problem in inspect(self.ledger).problems})

    def key(self, table: str, number: int) -> str:
        return records.key_of(table, self.trials[number].id)

    def rewrite(self, number: int, **changes: Any) -> str:
        """Change columns of a record, by someone who knows how to seal it; returns its key."""
        trial = self.trials[number]
        row, _, _ = rows_of(self.plan, trial, CELLS[number] if number < 2 else None, **changes)
        self.files[self.key("trials", number)] = records.encode("trials", [row])
        return self.key("trials", number)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("plan")
    plan = plan_of(folder)
    storage = MemoryStorage()
    ledger = Ledger(storage)
    trials = record_all(ledger, plan)
    failed, begun = (
        dataclasses.replace(trial, id=name, config=dataclasses.replace(trial.config, seed=seed))
        for trial, name, seed in zip(trials[:2], *_more(plan, trials), strict=True)
    )
    row, epochs, _ = rows_of(plan, failed, seed=failed.config.seed, state="failed", error_kind="bug", epochs_done=1)
    ledger.record({**row, "genotype": None}, epochs[:1])
    checkpoint(Checkpoints(storage), failed.id)
    checkpoint(Checkpoints(storage), begun.id)
    return World(plan, trials, storage.files, failed.id, begun.id)


def _more(plan: Plan, trials: tuple[Trial, ...]) -> tuple[list[str], list[int]]:
    from orchestrator.identity import trial_id

    seeds = [7, 8]
    return (
        [
            trial_id("search", dataclasses.replace(trial.config, seed=seed), trial.data)  # type: ignore[arg-type]
            for trial, seed in zip(trials[:2], seeds, strict=True)
        ],
        seeds,
    )


@pytest.fixture
def world(template: World) -> World:
    return dataclasses.replace(template, files=dict(template.files))


def test_a_sound_ledger_is_clean(world: World) -> None:
    found = inspect(world.ledger)
    assert found.problems == []
    counts = found.counts
    assert (counts["finished"], counts["failed"], counts["unfinished"]) == (4, 1, 2)
    assert (counts["epochs_rows"], counts["alphas_rows"], counts["failures_rows"]) == (9, 4, 1)
    collect(world.ledger)
    found = inspect(world.ledger)
    assert found.problems == []
    assert found.counts["finished"] == 4
    assert found.counts["collected_files"] == 3


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    at = len(data) // 3
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.mark.parametrize("damage", [half, flipped, lambda data: b""], ids=["half", "flipped", "empty"])
@pytest.mark.parametrize("collected", [False, True])
def test_damage_to_any_file_is_found(world: World, damage: Callable[[bytes], bytes], collected: bool) -> None:
    if collected:
        collect(world.ledger)
    for key, whole in dict(world.files).items():
        world.files[key] = damage(whole)
        problems = world.problems()
        if key.endswith(".json"):
            # A mark has no checksum; what of it can still be read is as good.
            assert problems in ([], [("damaged", key)])
        else:
            assert ("damaged", key) in problems, key
            assert {kind for kind, _ in problems} <= {"damaged", "orphaned", "incomplete"}
        world.files[key] = whole
    assert world.problems() == []


def test_a_record_of_another_trial_or_of_another_configuration(world: World) -> None:
    world.files[world.key("trials", 0)] = world.files[world.key("trials", 1)]
    assert ("mismatching", world.key("trials", 0)) in world.problems()
    for changes in ({"config": "{}"}, {"config": None}, {"seed": 5}, {"search_channels": 99}, {"data": "other"}):
        key = world.rewrite(0, **changes)
        assert world.problems() == [("mismatching", key)], changes
    key = world.rewrite(2, genotype=CELLS[1])
    assert ("mismatching", key) in world.problems()


@pytest.mark.parametrize(
    "changes",
    [
        {"genotype": "Genotype(__import__('os').system('x'))"},
        {"genotype": None},
        {"valid_accuracy": float("nan")},
        {"valid_accuracy": None},
        {"device_seconds": float("inf")},
        {"train_accuracy": 101.0},
        {"state": "running"},
        {"state": "failed"},
        {"params": None},
    ],
    ids=str,
)
def test_an_unsound_record(world: World, changes: dict[str, Any]) -> None:
    assert ("unsound", world.rewrite(0, **changes)) in world.problems()


def test_incomplete_epochs_and_alphas(world: World) -> None:
    _, epochs, alphas = rows_of(world.plan, world.trials[0])
    epochs_key, alphas_key = world.key("epochs", 0), world.key("alphas", 0)
    nan = float("nan")
    for rows in (epochs[:1], epochs[1:], [*epochs, epochs[0]], [epochs[0], {**epochs[1], "train_loss": nan}]):
        world.files[epochs_key] = records.encode("epochs", rows)
        assert world.problems() == [("incomplete", epochs_key)]
    world.files[epochs_key] = records.encode("epochs", [epochs[0], {**epochs[1], "valid_accuracy": 51.0}])
    assert world.problems() == [("incomplete", epochs_key)]
    world.files[epochs_key] = records.encode("epochs", epochs)
    for rows in (alphas[:1], [*alphas, {**alphas[1], "alpha": nan}]):
        world.files[alphas_key] = records.encode("alphas", rows)
        assert world.problems() == [("incomplete", alphas_key)]
    del world.files[alphas_key], world.files[epochs_key]
    assert world.problems() == [("incomplete", world.key("trials", 0))]
    assert len(inspect(world.ledger).problems) == 2


def test_orphans(world: World) -> None:
    left = checkpoint(Checkpoints(MemoryStorage(world.files)), world.trials[0].id)
    del world.files[world.key("trials", 1)]
    mark = left.replace("000001.ckpt", "attempt-1.json")
    expected = [left, mark, world.key("epochs", 1), world.key("alphas", 1)]
    assert world.problems() == sorted(("orphaned", key) for key in expected)
    # A worker that is killed before its commit leaves the same, and the checkpoint that it goes on from.
    checkpoint(Checkpoints(MemoryStorage(world.files)), world.trials[1].id)
    assert world.problems() == sorted(("orphaned", key) for key in expected[:2])


def test_orphans_of_no_sweep(world: World, tmp_path: Path) -> None:
    found = inspect(world.ledger)
    planned = plans(world.ledger, found, [write_sweep(tmp_path / "tiny.yaml")], profile=None, overrides=())
    assert planned == {"tiny": Planned({trial.id for trial in world.trials}, whole=True)}
    found.expect([dataclasses.replace(planned["tiny"], whole=False)])
    assert found.problems == []
    found.expect(planned.values())
    assert {problem.file.split("/")[1] for problem in found.problems} == {world.begun}
    found = inspect(world.ledger)
    found.expect([Planned({world.begun}, whole=True)])
    assert found.problems == []


def test_foreign_files(world: World) -> None:
    foreign = ["trials/notes.txt", "trials/a b.parquet", "epochs/x/y.parquet", "checkpoints/readme", "failures/a/b.txt"]
    world.files.update(dict.fromkeys(foreign, b"hello"))
    world.files["trials/mine.parquet"] = records.encode_table(records.TABLES["trials"].empty_table())[:-4] + b"PAR1"
    unsealed = b"PAR1" + b"\0" * 40 + (10).to_bytes(4, "little") + b"PAR1"
    world.files["trials/theirs.parquet"] = unsealed
    assert world.problems() == sorted(("foreign", key) for key in [*foreign, "trials/theirs.parquet"])
    found = inspect(world.ledger)
    move_aside(world.ledger, found)
    assert [problem.file for problem in found.problems if problem.moved_to is None] == ["trials/a b.parquet"]
    assert world.problems() == [("foreign", "trials/a b.parquet")]


def test_newer_files_stay_where_they_are(world: World) -> None:
    key = world.key("trials", 0)
    row, _, _ = rows_of(world.plan, world.trials[0], CELLS[0])
    table = records.pa.Table.from_pylist([row], schema=records.SCHEMAS["trials"])
    world.files[key] = records.encode_table(table, SCHEMA_VERSION + 1)
    assert world.problems() == [("newer", key)]
    move_aside(world.ledger, inspect(world.ledger))
    assert key in world.files


def test_duplicates_are_what_a_killed_collect_leaves(world: World) -> None:
    own = world.files.copy()
    collect(world.ledger)
    again = world.key("trials", 0)
    world.files[again] = own[again]
    assert world.problems() == [("duplicated", again)]
    collect(world.ledger)
    assert world.problems() == []
    (part,) = world.ledger.collected("trials")
    first = records.decode("memory", "trials", part, world.files[part], records.SCHEMAS["trials"].names).slice(0, 1)
    data = records.encode_table(first)
    other = records.collected_key("trials", data)
    world.files[other] = data
    assert world.problems() == [("duplicated", max(part, other))]
    move_aside(world.ledger, inspect(world.ledger))
    assert {part, other} <= world.files.keys()
    collect(world.ledger)
    assert world.problems() == []


def test_a_hostile_checkpoint_is_found_and_not_executed(world: World, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "owned",))

    key = f"checkpoints/{world.begun}/000002.ckpt"
    world.files[key] = pickled({"state": Hostile()})
    assert world.problems() == [("damaged", key)]
    notices: list[str] = []
    state = Checkpoints(MemoryStorage(world.files)).newest(world.begun, notices.append)
    assert state == {"epoch": 1}
    assert len(notices) == 1
    assert not (tmp_path / "owned").exists()


def test_looks_beside_a_collection_and_a_finishing_trial(world: World) -> None:
    """Whatever happens between two of its operations is no problem of a sound ledger."""
    counting = MemoryStorage(dict(world.files))
    inspect(Ledger(counting))
    row, epochs, alphas = rows_of(world.plan, world.trials[0], CELLS[0])
    late = {key for table in ("trials", "epochs", "alphas") if (key := world.key(table, 0))}
    for happening in ("collect", "record"):
        for at in range(counting.operations):
            files = {key: data for key, data in world.files.items() if happening == "collect" or key not in late}
            if happening == "record":
                checkpoint(Checkpoints(MemoryStorage(files)), world.trials[0].id)

            def happen(number: int, at: int = at, files: Files = files, happening: str = happening) -> None:
                if number != at:
                    return
                ledger = Ledger(MemoryStorage(files))
                if happening == "collect":
                    collect(ledger)
                else:
                    ledger.record(row, epochs, alphas)
                    Checkpoints(ledger.storage).delete(world.trials[0].id)

            found = inspect(Ledger(MemoryStorage(files, happen)))
            assert [(p.kind, p.file) for p in found.problems] == [], (happening, at)


@pytest.fixture
def storage(world: World, tmp_path: Path) -> Path:
    """The same ledger in a folder."""
    local = LocalStorage(tmp_path / "results")
    for key, data in world.files.items():
        local.replace(key, data)
    return tmp_path / "results"


def verify(storage: Path, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["verify", *map(str, arguments), "--storage", str(storage), "--json"])
    return done.exit_code, json.loads(done.stdout)


def contents(storage: Path) -> dict[str, bytes]:
    return {str(file.relative_to(storage)): file.read_bytes() for file in storage.rglob("*") if file.is_file()}


def test_the_command_touches_nothing_unless_told_to(world: World, storage: Path, tmp_path: Path) -> None:
    assert verify(storage)[0] == 0
    key = world.key("trials", 0)
    (storage / key).write_bytes(half((storage / key).read_bytes()))
    before = contents(storage)
    code, found = verify(storage)
    assert code == 5
    assert not found["clean"]
    assert {problem["file"] for problem in found["problems"]} == {
        world.key(table, 0) for table in ("trials", "epochs", "alphas")
    }
    assert contents(storage) == before

    code, found = verify(storage, "--move-aside")
    assert code == 5
    after = contents(storage)
    for problem in found["problems"]:
        assert problem["moved_to"].startswith("aside/")
        assert after.pop(problem["moved_to"]) == before.pop(problem["file"])
    assert after == before
    assert verify(storage)[0] == 0
    assert Ledger(LocalStorage(storage)).states([world.trials[0].id]) == {world.trials[0].id: "missing"}

    sweep = write_sweep(tmp_path / "again.yaml")
    code, found = verify(storage, sweep)
    assert found["sweeps"] == {"tiny": {"planned": 4, "recorded": 2}}


def test_the_command_says_what_it_found(world: World, storage: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["verify", "--storage", str(storage)])
    assert done.exit_code == 0
    assert "4 finished, 1 failed, 2 unfinished, 9 epochs rows" in done.stdout
    assert done.stdout.splitlines()[-1] == "nothing is wrong"
    (storage / "trials" / "no\ttes\n.txt").write_text("hello")
    done = runner.invoke(app, ["verify", "--storage", str(storage)])
    assert done.exit_code == 5
    assert r"foreign: trials/no\ttes\n.txt: stcnas writes no file of this name" in done.stdout
    done = runner.invoke(app, ["verify", "--storage", str(storage / "nothing")])
    assert isinstance(done.exception, StorageError)
    assert "there is no folder" in str(done.exception)


def test_an_unreadable_file_is_found_and_the_rest_is_read(world: World) -> None:
    key = world.key("trials", 0)

    class Unreadable(MemoryStorage):
        def read(self, wanted: str) -> bytes | None:
            if wanted == key:
                raise StorageError(f"cannot read {key}: Input/output error")
            return super().read(wanted)

    found = inspect(Ledger(Unreadable(world.files)))
    assert [(problem.kind, problem.file, problem.movable) for problem in found.problems] == [("damaged", key, False)]
    assert found.counts["finished"] == 3


@pytest.mark.parametrize("verb", ["plan", "status", "run", "report"])
@pytest.mark.parametrize("number", [0, 2], ids=["search", "retraining"])
def test_every_verb_names_a_damaged_record(world: World, storage: Path, tmp_path: Path, verb: str, number: int) -> None:
    key = world.key("trials", number)
    (storage / key).write_bytes(half((storage / key).read_bytes()))
    before = contents(storage)
    more = ["--backend", "inline"] if verb == "run" else []
    sweep = write_sweep(tmp_path / "tiny.yaml")
    done = CliRunner().invoke(app, [verb, str(sweep), "--storage", str(storage), *more])
    assert isinstance(done.exception, records.DamagedError)
    assert key in str(done.exception)
    assert f"stcnas verify --storage {storage}" in str(done.exception)
    assert contents(storage) == before


def test_what_was_moved_aside_runs_again(world: World, storage: Path, tmp_path: Path) -> None:
    """A real run of the one retraining whose record was damaged; nothing else is started."""
    key = world.key("trials", 2)
    (storage / key).write_bytes(flipped((storage / key).read_bytes()))
    assert verify(storage, "--move-aside")[0] == 5
    kept = {name: data for name, data in contents(storage).items() if name.startswith("trials/")}
    sweep = write_sweep(tmp_path / "tiny.yaml")
    done = CliRunner().invoke(app, ["run", str(sweep), "--storage", str(storage), "--backend", "inline", "--json"])
    assert done.exit_code == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["done"] == status["planned"] == 4
    after = {name: data for name, data in contents(storage).items() if name.startswith("trials/")}
    assert after.keys() - kept.keys() == {key}
    assert {name: after[name] for name in kept} == kept
    assert verify(storage)[0] == 0
