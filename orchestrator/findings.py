"""What `stcnas verify` found, held against sweeps, moved aside, and as JSON."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from orchestrator.ledger import Ledger, shown
from orchestrator.soundness import Record
from orchestrator.storage import StorageError
from stcnas_core.errors import InputError

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

    def expect(self, planned: Iterable[str]) -> None:
        """Take checkpoints of trials that are neither recorded nor planned for orphans."""
        for trial_id in sorted(self.unfinished.keys() - set(planned) - self.records.keys()):
            for key in self.unfinished.pop(trial_id):
                self.wrong("orphaned", key, "no sweep that was given plans its trial")


def plans(
    findings: Findings, sweeps: Iterable[Path], *, profile: str | None, overrides: Sequence[str]
) -> dict[str, set[str]]:
    """The ids that each sweep plans, by its name; where the images are not, records say which they were."""
    from orchestrator.plan import fingerprint_of, make_plan
    from orchestrator.spec import load_sweep

    def known(dataset: str, path: str | None) -> str:
        try:
            return fingerprint_of(dataset, path)
        except InputError:
            seen = {record.data for record in findings.records.values() if record.data.startswith(f"{dataset}@")}
            if len(seen) != 1:
                raise
            return seen.pop()

    genotypes = {name: record.genotype for name, record in findings.records.items() if record.finished}
    planned: dict[str, set[str]] = {}
    for path in sweeps:
        plan = make_plan(load_sweep(path, profile=profile, overrides=overrides), known)
        cells = {trial.id: cell for trial in plan.searches if (cell := genotypes.get(trial.id)) is not None}
        planned[plan.sweep.name] = {trial.id for trial in plan.trials(cells)}
    return planned


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


def as_json(findings: Findings, uri: str, planned: Mapping[str, set[str]]) -> dict[str, Any]:
    """What `verify --json` prints; `planned` are the ids of each sweep that was given."""
    return {
        "storage": uri,
        "clean": not findings.problems,
        "counts": dict(findings.counts),
        "problems": [
            {"kind": p.kind, "file": shown(p.file), "reason": shown(p.reason), "moved_to": p.moved_to}
            for p in findings.problems
        ],
        "sweeps": {
            name: {"planned": len(ids), "recorded": len(ids & findings.records.keys())} for name, ids in planned.items()
        },
    }
