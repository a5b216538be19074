"""What becomes of a trial that fails: what another start can heal, how often it gets one, when a setting is given up.

Nothing here or elsewhere changes a trial's configuration to make it pass: it is run as planned, or not at all.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from orchestrator.identity import Stage

Kind = Literal["out_of_memory", "lost", "hung", "preempted", "diverged", "bug", "not_found", "over_limit"]


@dataclass(frozen=True)
class Rule:
    """How often a trial that failed in one way is started again."""

    restarts: int | None
    """Starts after the first failure with no epoch done in between; None without a limit."""
    why: str


RULES: dict[Kind, Rule] = {
    "out_of_memory": Rule(1, "others on the same device may have taken the memory: once more, alone on it"),
    "lost": Rule(3, "its process or node died, which says nothing about the trial unless it happens there every time"),
    "hung": Rule(3, "a device, a network or a file system that stands still may be another one next time"),
    "preempted": Rule(None, "its node was taken away, which says nothing about the trial"),
    "diverged": Rule(0, "the same configuration and seed diverge again"),
    "bug": Rule(0, "the same code raises again"),
    "not_found": Rule(0, "a table that lacks a cell will lack it again"),
    "over_limit": Rule(0, "a cell whose network is too large stays so"),
}

GIVE_UP = 3
"""So many failures of a setting's trials of one stage, and no success, end that stage of the setting."""

_OWN = ("out_of_memory", "diverged", "bug")
"""Kinds that speak against a setting; a node that dies does not, nor a table that lacks its cell, nor
one cell that is too large."""


class Restarts:
    """Counts how often each trial was started again, since its last epoch, for each kind of failure."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, Kind], tuple[int, int]] = {}

    def allows(self, trial_id: str, kind: Kind, epochs: int) -> bool:
        """Note that a trial failed after so many epochs done; returns whether it is to be started again."""
        limit = RULES[kind].restarts
        before, count = self._spent.get((trial_id, kind), (epochs, 0))
        if epochs > before:
            count = 0
        self._spent[trial_id, kind] = (epochs, count + 1)
        return limit is None or count < limit


class Outcomes:
    """How the trials of each setting and stage ended."""

    def __init__(self) -> None:
        self._finished: Counter[tuple[str, Stage]] = Counter()
        self._failed: Counter[tuple[str, Stage]] = Counter()

    def note(self, setting: str, stage: Stage, kind: str | None) -> None:
        """A trial has finished, `kind` None, or failed for good."""
        if kind is None:
            self._finished[setting, stage] += 1
        elif kind in _OWN:
            self._failed[setting, stage] += 1

    def hopeless(self, setting: str, stage: Stage) -> bool:
        """Whether a setting's trials of a stage fail so reliably that no more of them are started."""
        return self._failed[setting, stage] >= GIVE_UP and not self._finished[setting, stage]
