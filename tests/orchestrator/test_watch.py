"""`status --watch` and `report --watch`: they follow a sweep, end with it, and are ended without harm."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from driver import ROOT, Driver, wait_for, write_sweep
from recorded import CELLS, checkpoint, rows_of

from orchestrator import cli
from orchestrator.api import Sweep
from orchestrator.checkpoints import Checkpoints
from orchestrator.commands import watch
from orchestrator.plan import Plan, make_plan

REFRESH = '<meta http-equiv="refresh"'


class Played:
    """A sweep of two searches and two retrainings of which one ends whenever its watching sleeps."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.file = write_sweep(folder / "tiny.yaml")
        self.sweep = Sweep(self.file, folder / "results")
        self.plan: Plan = make_plan(self.sweep.spec)
        self.cells = {search.id: CELLS[number] for number, search in enumerate(self.plan.searches)}
        self.trials = list(self.plan.trials(self.cells))
        self.changes = changes
        self.slept: list[float] = []
        self.at_each: Callable[[], None] = lambda: None
        clock = SimpleNamespace(monotonic=time.monotonic, strftime=time.strftime, sleep=self.end_one)
        monkeypatch.setattr(watch, "time", clock)

    def end_one(self, seconds: float) -> None:
        """The next trial ends."""
        self.slept.append(seconds)
        self.at_each()
        trial = self.trials.pop(0)
        self.sweep.ledger.record(*rows_of(self.plan, trial, self.cells.get(trial.id), **self.changes))


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


def test_objects_follow_a_sweep_to_its_end(played: Played) -> None:
    checkpoint(Checkpoints(played.sweep.ledger.storage), played.trials[0].id)
    out = io.StringIO()
    assert watch.watch_status(played.sweep, 0.5, out, as_json=True) == 0
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["done"] for one in found] == [0, 1, 2, 3, 4]
    assert [one["missing"] for one in found] == [4, 3, 2, 1, 0]
    assert [[(row["seed"], row["epochs_done"]) for row in one["running"]] for one in found[:2]] == [[(0, 1)], []]
    assert all("trials" not in one and one["at"].endswith("+00:00") for one in found)
    assert set(found[0]) - {"at", "running"} == set(played.sweep.status()) - {"trials"}


def test_lines_are_written_where_something_changed(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    checkpoint(Checkpoints(played.sweep.ledger.storage), played.trials[0].id)
    idle, end_one = iter((True, True, False, True, False, False, False)), played.end_one

    def now_and_then(seconds: float) -> None:
        if not next(idle):
            end_one(seconds)

    monkeypatch.setattr(watch.time, "sleep", now_and_then)
    assert watch.watch_status(played.sweep, 0.1, out, as_json=False) == 0
    lines = [line.split("  ", 1)[1] for line in out.getvalue().splitlines()]
    assert lines[0] == "0 of 4 done, 0 failed, 1 begun: search default, seed 0, epoch 1/2"
    assert [line.split(",")[0] for line in lines] == [f"{number} of 4 done" for number in range(5)]
    assert "of device time left" in lines[2] or "of device time left" in lines[3]


def test_failed_trials_and_what_waits_for_them_end_it_with_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played(tmp_path, monkeypatch, state="failed", error_kind="diverged", error="the loss became nan")
    played.cells = {}
    out = io.StringIO()
    assert watch.watch_status(played.sweep, 0.1, out, as_json=True) == 3
    last = json.loads(out.getvalue().splitlines()[-1])
    assert (last["failed"], last["missing"], last["done"]) == (2, 2, 0), "retrainings wait for searches that failed"
    assert watch.watch_report(played.sweep, 0.1, None, out) == 3


def test_the_report_is_rewritten_until_the_sweep_ends(played: Played, tmp_path: Path) -> None:
    page = tmp_path / "out" / "index.html"
    seen: list[str] = []
    played.at_each = lambda: seen.append(page.read_text())
    out = io.StringIO()
    assert watch.watch_report(played.sweep, 7, tmp_path / "out", out) == 0
    assert [f"{number} of 4 trials finished" in text for number, text in enumerate(seen)] == [True] * 4
    assert all(f'{REFRESH} content="7">' in text and text.rstrip().endswith("</html>") for text in seen)
    last = page.read_text()
    assert "Complete: 4 of 4 trials finished" in last
    assert REFRESH not in last
    assert [line.split("  ")[1].split(":")[0] for line in out.getvalue().splitlines()] == [
        f"{number} of 4 done, 0 failed" for number in range(5)
    ]
    assert not list((tmp_path / "out").glob(".*"))


def test_a_report_is_not_rewritten_where_nothing_changed(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int | None] = []
    monkeypatch.setattr(
        Sweep, "report", lambda self, out, renew_seconds: written.append(renew_seconds) or {"index.html": out}
    )
    idle, end_one = iter((True, False, True, True, False, False, False)), played.end_one
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: None if next(idle) else end_one(seconds))
    assert watch.watch_report(played.sweep, 3, Path("p"), io.StringIO()) == 0
    assert written == [3, 3, 3, 3, None]


def test_a_large_ledger_is_looked_at_less_often(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    look = played.sweep.overview

    def slow() -> Any:
        time.sleep(0.1)
        return look()

    monkeypatch.setattr(played.sweep, "overview", slow)
    assert watch.watch_status(played.sweep, 0.01, io.StringIO(), as_json=True) == 0
    assert min(played.slept) >= 0.4


def test_report_watch_prints_no_object(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["stcnas", "report", str(sweep), "--watch", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "status --watch --json" in capsys.readouterr().err


def test_watching_a_real_run_ends_with_it(driver: Driver, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", seeds=[0])
    watching = driver.start("status", sweep, "--watch", "--json", "--every", "0.1")
    running = driver.start("run", sweep, "--backend", "inline")
    out, err = watching.communicate(timeout=240)
    assert watching.returncode == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    assert (found[0]["done"], found[-1]["done"], found[-1]["missing"]) == (0, 2, 0)
    assert any(one["drivers"] for one in found)
    assert running.wait(timeout=240) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_watching_alone(number: int, driver: Driver, sweep: Path) -> None:
    watching = driver.start("status", sweep, "--watch", "--every", "0.1")
    assert watching.stdout is not None
    assert "0 of 4 done" in watching.stdout.readline()
    watching.send_signal(number)
    _, err = watching.communicate(timeout=240)
    assert (watching.returncode, err) == (4, "no longer watched; the sweep itself goes on\n")


def test_on_a_terminal_it_is_redrawn_and_the_cursor_comes_back(sweep: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "orchestrator", "status", str(sweep), "--watch", "--every", "0.2"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [*command, "--storage", str(tmp_path / "results")],
        cwd=ROOT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = ""

    def read() -> str:
        nonlocal shown
        if select.select([ours], [], [], 0.05)[0]:
            try:
                shown += os.read(ours, 65536).decode()
            except OSError:  # the other end is closed
                return shown
        return shown

    try:
        wait_for(lambda: read().count("no driver: nothing runs") >= 2)
        assert "0/4 done" in shown
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "no longer watched" in read())
        assert process.wait(timeout=240) == 4
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
