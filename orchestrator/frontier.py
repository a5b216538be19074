"""Which trials can start: a search at once, what is done with its cell as soon as that is known; no barrier between."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from orchestrator.claims import Claims
from orchestrator.ledger import State
from orchestrator.plan import NOTHING, Derived, Plan, Stage, Trial


class Frontier:
    """Hands out each missing trial of a plan once, as it becomes ready.

    `states`, `genotypes` and `derived` say what the ledger had at the start; `recorded(id)` whether it has a trial by
    now; `claims` says whether it may start now, which changes while another driver has it; None allows everything.
    """

    def __init__(
        self,
        plan: Plan,
        states: Mapping[str, State],
        genotypes: Mapping[str, str],
        recorded: Callable[[str], bool],
        claims: Claims | None = None,
        derived: Mapping[str, Derived] = MappingProxyType({}),
    ) -> None:
        self.plan = plan
        self.recorded, self.claims = recorded, claims
        self.ready: deque[Trial] = deque()
        self.lookups: deque[Trial] = deque()
        """Lookups that can be done, which the driver does itself."""
        self.seen: set[str] = set()
        self.searches: dict[str, Trial] = {}
        self.running: set[str] = set()
        self.held: dict[tuple[str, str], list[Trial]] = {}
        """What is not started, by setting and stage."""
        self.grow(plan, plan.trials(genotypes, derived), states)

    def grow(self, plan: Plan, trials: Iterable[Trial], states: Mapping[str, State]) -> None:
        """Take up more trials of a plan that has become larger; those that are known already are left as they are."""
        self.plan = plan
        new = [trial for trial in trials if trial.config is not None and trial.id not in self.seen]
        self.seen.update(trial.id for trial in new)
        self.searches.update((trial.id, trial) for trial in new if trial.stage == "search")
        self._add(trial for trial in new if states.get(trial.id, "missing") == "missing")

    @property
    def finished(self) -> bool:
        """Whether nothing is left to start, now or later."""
        return not self.ready and not self.running and not self.lookups

    def take(self) -> Trial | None:
        """The next trial to start; None where what is left waits, for running ones or for other drivers."""
        for _ in range(len(self.ready)):
            trial = self.ready.popleft()
            if self.claims is None or self.claims.take(trial):
                self.running.add(trial.id)
                return trial
            self.ready.append(trial)
        return None

    def take_lookup(self) -> Trial | None:
        """The next lookup to be done; None where none is ready."""
        if not self.lookups:
            return None
        self.running.add(self.lookups[0].id)
        return self.lookups.popleft()

    def again(self, trial: Trial) -> None:
        """A trial that was taken could not run as it was given; it is the next to start."""
        self.running.discard(trial.id)
        self.ready.appendleft(trial)

    def hold(self, setting: str, stage: Stage) -> list[Trial]:
        """Start no more trials of a setting and stage; returns those that were ready."""
        kept = self.held.setdefault((setting, stage), [])
        for trial in list(self.ready):
            if (trial.setting, trial.stage) == (setting, stage):
                self.ready.remove(trial)
                kept.append(trial)
        return kept

    def release(self, setting: str, stage: Stage) -> list[Trial]:
        """Start them after all; returns those that were held."""
        freed = self.held.pop((setting, stage), [])
        self.ready.extend(freed)
        return freed

    def ended(self, trial_id: str, genotype: str | None, derived: Derived = NOTHING) -> list[Trial]:
        """Note that a trial has its record, a search its cell and those on its way; returns what this makes ready."""
        self.running.discard(trial_id)
        if self.claims is not None:
            self.claims.drop(trial_id)
        search = self.searches.get(trial_id)
        if search is None or genotype is None:
            return []
        new = [trial for trial in self.plan.followers(search, genotype, derived) if trial.id not in self.seen]
        self.seen.update(trial.id for trial in new)
        # Before the searches that wait: a search and its retrainings then end together, and a report has whole rows.
        return self._add((trial for trial in new if not self.recorded(trial.id)), first=True)

    def _add(self, trials: Iterable[Trial], *, first: bool = False) -> list[Trial]:
        """Make trials ready, `first` before those that wait; returns them without those that are held."""
        new: list[Trial] = []
        for trial in trials:
            self.held.get((trial.setting, trial.stage), new).append(trial)
        self.lookups.extend(trial for trial in new if trial.stage == "lookup")
        computed = [trial for trial in new if trial.stage != "lookup"]
        if first:
            self.ready.extendleft(reversed(computed))
        else:
            self.ready.extend(computed)
        return new
