"""What a run on Ray tells Prometheus, through the exporter of Ray's own metrics; without that exporter nothing happens.

Every name has `ray_` before it where it is scraped. Values are of one driver's run: what a sweep has in all is in its
ledger, which `stcnas status --json` reads.
"""

import time
from collections.abc import Callable

from ray.util.metrics import Counter, Gauge

from orchestrator.plan import Trial
from orchestrator.progress import Tracker

PERIOD = 1.0
"""Seconds between two looks at the tracker, at least; Ray hands values on every ten seconds or so."""


class Meters:
    """Follows the tracker of a run; `asked` gives the CPUs and GPUs that a trial holds while it runs."""

    def __init__(
        self,
        sweep: str,
        tracker: Tracker,
        asked: Callable[[Trial], tuple[float, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker, self._asked, self._clock = tracker, asked, clock
        self._trials = Gauge(
            "stcnas_trials",
            "Trials of this run: finished, failed, running, or waiting to be started.",
            ("sweep", "state"),
        )
        self._held = Counter(
            "stcnas_held_seconds_total",
            "Seconds for which running trials held CPU cores or GPUs, times how many or which share.",
            ("sweep", "stage", "resource"),
        )
        for metric in (self._trials, self._held):
            metric.set_default_tags({"sweep": sweep})
        self._last = clock()
        self._count()

    def beat(self) -> None:
        """Called often, whether or not anything happened."""
        now = self._clock()
        if now - self._last < PERIOD:
            return
        for running in self._tracker.running.values():
            for resource, amount in zip(("CPU", "GPU"), self._asked(running.trial), strict=True):
                if amount:
                    tags = {"stage": running.trial.stage, "resource": resource}
                    self._held.inc((now - self._last) * amount, tags)
        self._last = now
        self._count()

    def _count(self) -> None:
        tracker = self._tracker
        waiting = len(tracker.left.keys() - tracker.running.keys())
        counts = {
            "finished": tracker.ended - tracker.failed,
            "failed": tracker.failed,
            "running": len(tracker.running),
            "waiting": waiting,
        }
        for state, count in counts.items():
            self._trials.set(count, {"state": state})
