"""How a run is going, for a person: a live display on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from orchestrator.plan import Trial
from orchestrator.trainable import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType

HEARTBEAT = 30.0
"""Seconds between plain lines while no trial ends."""
LONG = 60.0
"""Seconds of an epoch below which its length is not worth a word."""


@dataclass
class _Running:
    trial: Trial
    epochs: int
    since: float
    """When the newest epoch that is known to be done was done, or the trial was started."""
    done: int = 0
    accuracy: float | None = None


class Tracker:
    """What is known of a run: trials done of how many, those running, seconds per epoch and what they lead to."""

    def __init__(self, missing: Iterable[Trial], epochs: Callable[[Trial], int], clock: Callable[[], float]) -> None:
        self._epochs, self._clock = epochs, clock
        self.started_at = clock()
        self.left = {trial.id: trial for trial in missing}
        self._epochs_left: Counter[str] = Counter()
        """Epochs of the trials in `left`, by stage: kept up, since the time left is asked for with every ending."""
        for trial in self.left.values():
            self._epochs_left[trial.stage] += epochs(trial)
        self.total = len(self.left)
        self.open_ended = False
        """Whether more trials will be planned, so that nobody knows how long it takes."""
        self.ended = 0
        self.failed = 0
        self.running: dict[str, _Running] = {}
        self._spent: defaultdict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
        """Seconds that epochs took, and their number, by stage."""

    def replan(self, waiting: Iterable[Trial], ready: Iterable[Trial]) -> None:
        """Retrainings that waited for a cell have become these, fewer where others train the same cell."""
        for trial in waiting:
            self._drop(trial.id)
        for trial in ready:
            self._drop(trial.id)
            self.left[trial.id] = trial
            self._epochs_left[trial.stage] += self._epochs(trial)
        self.total = self.ended + len(self.left)

    def begin(self, trial: Trial) -> None:
        """A trial is being run from now on."""
        self.running[trial.id] = _Running(trial, self._epochs(trial), self._clock())

    def update(self, progress: Progress) -> None:
        """An epoch of a trial is done, or the trial has ended."""
        running = self.running.get(progress.id)
        if running is None:
            return
        now = self._clock()
        # The first interval holds the start and perhaps epochs of earlier attempts; it counts where it is one epoch.
        if progress.epochs == running.done + 1:
            seconds, count = self._spent[running.trial.stage]
            self._spent[running.trial.stage] = (seconds + now - running.since, count + 1)
        running.done, running.accuracy, running.since = progress.epochs, progress.accuracy, now
        if progress.state != "running":
            self._end(progress)

    def _end(self, progress: Progress) -> None:
        del self.running[progress.id]
        self._drop(progress.id)
        self.ended += 1
        self.failed += progress.state == "failed"

    def seconds_left(self) -> float | None:
        """Estimate from the epochs seen in this run; None while a stage that is left has shown none or more comes."""
        if self.open_ended:
            return None
        epochs = +self._epochs_left
        for running in self.running.values():
            if running.trial.id in self.left:
                epochs[running.trial.stage] -= running.done
        work = 0.0
        for stage, count in epochs.items():
            seconds, seen = self._spent[stage]
            if not seen:
                return None
            work += seconds / seen * count
        return work / max(1, len(self.running))

    def state(self, item: _Running) -> str:
        """How far a running trial is, and for how long where its epoch takes twice the usual time: it judges cells, or
        hangs.
        """
        seconds, seen = self._spent[item.trial.stage]
        here = self._clock() - item.since
        long = here > max(LONG, 2 * seconds / max(1, seen))
        return f"epoch {item.done}/{item.epochs}" + (f" for {duration(here)}" if long else "")

    def _drop(self, trial_id: str) -> None:
        trial = self.left.pop(trial_id, None)
        if trial is not None:
            self._epochs_left[trial.stage] -= self._epochs(trial)


class Reporter:
    """Shows a Tracker; both displays begin with it. Writes to `stream`."""

    def __init__(self, tracker: Tracker, stream: TextIO) -> None:
        self.tracker, self.stream = tracker, stream

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the terminal as it was."""

    def say(self, line: str) -> None:
        """A line that stays."""
        print(line, file=self.stream, flush=True)

    def begin(self, trial: Trial) -> None:
        """A trial starts."""
        self.tracker.begin(trial)

    def update(self, trial: Trial, progress: Progress) -> None:
        """A trial has said something."""
        running = self.tracker.running.get(trial.id)
        self.tracker.update(progress)
        for notice in progress.notices:
            self.say(f"note: {notice}")
        if progress.state != "running" and running is not None:
            self.say(self._ending(trial, progress))

    def again(self, trial: Trial, why: str) -> None:
        """A trial that runs will be started again."""
        self.tracker.running.pop(trial.id, None)
        self.say(f"note: {named(trial)}: {why}")

    def beat(self) -> None:
        """Called often, whether or not anything happened."""

    def _ending(self, trial: Trial, progress: Progress) -> str:
        tracker = self.tracker
        count = f"[{tracker.ended}/{tracker.total}]"
        match progress.state:
            case "failed":
                what = f"failed: {progress.error}"
            case "present":
                what = "was recorded by another run"
            case _ if trial.stage == "lookup":
                what = f"looked up{_percent(progress.accuracy)}"
            case _:
                what = f"finished, {progress.epochs} epochs{_percent(progress.accuracy)}"
        left = tracker.seconds_left()
        eta = f", about {duration(left)} left" if left and tracker.left else ""
        return f"{count} {named(trial)}: {what}{eta}"


class Lines(Reporter):
    """One plain line per trial that ended, and one now and then in between."""

    def __init__(self, tracker: Tracker, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(tracker, stream)
        self._clock, self._last = clock, clock()

    def say(self, line: str) -> None:
        self._last = self._clock()
        super().say(line)

    def beat(self) -> None:
        if self._clock() - self._last < HEARTBEAT:
            return
        tracker = self.tracker
        running = ", ".join(f"{named(item.trial)} {tracker.state(item)}" for item in list(tracker.running.values())[:4])
        more = f" and {len(tracker.running) - 4} more" if len(tracker.running) > 4 else ""
        left = tracker.seconds_left()
        eta = f"; about {duration(left)} left" if left else ""
        self.say(f"[{tracker.ended}/{tracker.total}] running: {running or 'nothing yet'}{more}{eta}")


class Live(Reporter):
    """A bar over all trials and a line for each that runs, redrawn in place."""

    def __init__(self, tracker: Tracker, stream: TextIO) -> None:
        super().__init__(tracker, stream)
        from rich.console import Console
        from rich.live import Live as Display

        self._console = Console(file=stream)
        self._display = Display(
            get_renderable=self._draw, console=self._console, refresh_per_second=4, redirect_stderr=False
        )

    def __enter__(self) -> "Live":
        self._display.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.stop()

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def _draw(self) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tracker = self.tracker
        left = tracker.seconds_left()
        overall = Table.grid(padding=(0, 1))
        parts = [f"{tracker.ended}/{tracker.total} trials"]
        if tracker.failed:
            parts.append(f"{tracker.failed} failed")
        parts.append(f"{duration(time.monotonic() - tracker.started_at)} so far")
        parts.append(f"about {duration(left)} left" if left is not None else "time left not known yet")
        overall.add_row(ProgressBar(total=max(1, tracker.total), completed=tracker.ended, width=30), ", ".join(parts))
        trials = Table.grid(padding=(0, 2))
        shown = list(tracker.running.values())
        for item in shown[:12]:
            bar = ProgressBar(total=item.epochs, completed=item.done, width=16)
            accuracy = "" if item.accuracy is None else f"{item.accuracy:.2f} %"
            trials.add_row(Text(named(item.trial)), bar, Text(tracker.state(item)), Text(accuracy))
        if len(shown) > 12:
            trials.add_row(Text(f"and {len(shown) - 12} more"))
        return Group(overall, trials)


def reporter(tracker: Tracker, stream: TextIO = sys.stdout) -> Reporter:
    """The display that suits a stream."""
    return Live(tracker, stream) if stream.isatty() else Lines(tracker, stream)


def named(trial: Trial) -> str:
    """A trial in a person's words."""
    return described(trial.stage, trial.setting, trial.seed, trial.retrain_seed, trial.epoch)


def described(stage: str, setting: str, seed: int | None, retrain_seed: int | None, epoch: int | None = None) -> str:
    """What a person calls a trial by; cells that a sweep names have no seed of a search, last ones no epoch."""
    seeds = (("seed", seed), ("cell of epoch", epoch), ("retrain seed", retrain_seed))
    return f"{stage} {setting}" + "".join(f", {name} {value}" for name, value in seeds if value is not None)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def _percent(accuracy: float | None) -> str:
    return "" if accuracy is None else f", {accuracy:.2f} %"
