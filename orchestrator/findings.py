"""What `stcnas verify` found, held against sweeps, moved aside, and as JSON."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.damage import DamagedError
from orchestrator.ledger import Ledger, shown
from orchestrator.soundness import Record
from orchestrator.storage import StorageError

if TYPE_CHECKING:
    from orchestrator.plan import Plan

Kind = Literal["damaged", "newer", "foreign", "mismatching", "unsound", "incomplete", "orphaned", "duplicated"]


@dataclass
class Problem:
    """One thing that is wrong with one file."""

    kind: Kind
    file: str
    reason: str
    movable: bool = True
    """Whether nothing sound is lost without the file."""
    moved_to: str | None = None


@dataclass
class Findings:
    """All that a look at a ledger found."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    """By id, the trials whose record can be read."""
    unfinished: dict[str, list[str]] = field(default_factory=dict)
    """Files of checkpoints by id, of trials without a finished record."""

    def wrong(self, kind: Kind, key: str, reason: str, *, movable: bool = True) -> None:
        """Note a problem."""
        self.problems.append(Problem(kind, key, reason, movable))

    def expect(self, planned: Iterable["Planned"]) -> None:
        """Take checkpoints of trials that are neither recorded nor planned for orphans, where plans are known whole."""
        sweeps = list(planned)
        if not sweeps or not all(sweep.whole for sweep in sweeps):
            return
        ids = set[str]().union(*(sweep.ids for sweep in sweeps))
        for trial_id in sorted(self.unfinished.keys() - ids - self.records.keys()):
            for key in self.unfinished.pop(trial_id):
                self.wrong("orphaned", key, "no sweep that was given plans its trial")


@dataclass
class Planned:
    """The ids that a sweep plans."""

    ids: set[str]
    whole: bool
    """Whether they are all: not where a file that says what is planned cannot be read."""


def plans(
    ledger: Ledger, findings: Findings, sweeps: Iterable[Path], *, profile: str | None, overrides: Sequence[str]
) -> dict[str, Planned]:
    """What each sweep plans, by its name; where the images are not, records say which they were."""
    from orchestrator.overview import recorded_fingerprint
    from orchestrator.plan import make_plan
    from orchestrator.simulation import fingerprint, is_simulated
    from orchestrator.spec import load_sweep
    from orchestrator.studies.study import with_suggestions

    recorded = recorded_fingerprint(lambda: (record.data for record in findings.records.values()), lambda notice: None)
    known = fingerprint if is_simulated(ledger.storage) else recorded
    genotypes = {name: record.genotype for name, record in findings.records.items() if record.finished}
    planned: dict[str, Planned] = {}
    for path in sweeps:
        unread: list[DamagedError] = []
        plan = make_plan(load_sweep(path, profile=profile, overrides=overrides), known)
        plan = with_suggestions(plan, ledger.storage, unread.append)
        cells = {trial.id: cell for trial in plan.searches if (cell := genotypes.get(trial.id)) is not None}
        ids = {trial.id for trial in plan.trials(cells, _derived(plan, ledger, cells, unread))}
        planned[plan.sweep.name] = Planned(ids, whole=not unread)
    return planned


def _derived(
    plan: "Plan", ledger: Ledger, done: Iterable[str], unread: list[DamagedError]
) -> dict[str, dict[int, str]]:
    """What searches derived on their way, as far as their epochs can be read."""
    from orchestrator.overview import derived_on_the_way

    found: dict[str, dict[int, str]] = {}
    for search in done:
        try:
            found |= derived_on_the_way(plan, ledger, [search])
        except DamagedError as error:
            unread.append(error)
    return found


def move_aside(ledger: Ledger, findings: Findings) -> str:
    """Move the movable files that problems name to a new folder `aside/<UTC>/`, and return its key."""
    storage = ledger.storage
    folder = f"aside/{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}"
    moved: dict[str, str] = {}
    for problem in findings.problems:
        if not problem.movable:
            continue
        if problem.file not in moved:
            data = storage.read(problem.file)
            if data is None:
                continue
            target = f"{folder}/{problem.file}"
            if not storage.create(target, data) and storage.read(target) != data:
                raise StorageError(f"{storage.uri}/{target} is there already: run the same command again")
            storage.delete(problem.file)
            moved[problem.file] = target
        problem.moved_to = moved[problem.file]
    return folder


def as_json(findings: Findings, uri: str, planned: Mapping[str, Planned]) -> dict[str, Any]:
    """What `verify --json` prints; `planned` is what each sweep plans that was given."""
    return {
        "storage": uri,
        "clean": not findings.problems,
        "counts": dict(findings.counts),
        "problems": [
            {"kind": p.kind, "file": shown(p.file), "reason": shown(p.reason), "moved_to": p.moved_to}
            for p in findings.problems
        ],
        "sweeps": {
            name: {"planned": len(sweep.ids), "recorded": len(sweep.ids & findings.records.keys())}
            for name, sweep in planned.items()
        },
    }
