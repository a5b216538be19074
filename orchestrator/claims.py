"""Retrainings that several shards' searches ask for, each run by one of them at a time.

`claims/<id>/<n>.json` names the driver that took it; a claim counts as long as its driver lives and the trial has no
record. Only shards claim: no other two drivers may run one sweep at once.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict

from orchestrator.lease import Holder, Leases, Watch
from orchestrator.numbered import Numbered
from orchestrator.plan import Trial
from orchestrator.storage import Storage

POLL = 2.0
"""Seconds between looks at a claim of another."""


class Claims:
    """What this driver, which holds a lease, may start."""

    def __init__(self, storage: Storage, sweep: str, me: Holder, say: Callable[[str], None]) -> None:
        self.storage, self.sweep, self.me, self._say = storage, sweep, me, say
        self._watch = Watch(storage)
        self._looked: dict[str, float] = {}

    def take(self, trial: Trial) -> bool:
        """Whether this driver may start a trial now; False while another that lives, or may live, has it."""
        if trial.stage == "search":
            return True
        first = trial.id not in self._looked
        if not first and time.monotonic() - self._looked[trial.id] < POLL:
            return False
        self._looked[trial.id] = time.monotonic()
        claim = Numbered(self.storage, _folder(trial.id))
        number, content = claim.newest()
        holder = None if content is None else _holder(content)
        if holder is not None and holder.token != self.me.token and self._lives(holder):
            if first:
                self._say(f"note: retraining {trial.id} of {trial.setting} waits: {holder.described()} is at it")
            return False
        if holder is None or holder.token != self.me.token:
            return claim.append(number, json.dumps(asdict(self.me), indent=1).encode())
        return True

    def drop(self, trial_id: str) -> None:
        """A trial has its record: nobody needs a claim on it any more."""
        if self._looked.pop(trial_id, None) is not None:
            self.storage.delete_folder(_folder(trial_id))

    def _lives(self, holder: Holder) -> bool:
        _, holders = Leases(self.storage, self.sweep).holders()
        return holder in holders and self._watch.lives(self.sweep, holder) is not False


def _folder(trial_id: str) -> str:
    return f"claims/{trial_id}"


def _holder(content: bytes) -> Holder | None:
    """None for a damaged claim, which counts as none."""
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None
