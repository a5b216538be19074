"""The watchdog: real processes that hang, in Python and below it, are ended and say where; others are left alone."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.watchdog import watched

SCRIPT = """
import ctypes, sys, threading, time
from pathlib import Path
from orchestrator import watchdog

watchdog.GRACE = 0.5
told = Path(sys.argv[1])

def tell(where):
    told.write_text(where)

def tell_a_storage_that_hangs(where):
    time.sleep(60)

def waits_for_what_never_comes():
    threading.Event().wait(60)

def holds_the_lock():
    ctypes.PyDLL(None).sleep(60)

def is_in_time():
    pass

{how}
"""


def run(tmp_path: Path, how: str) -> tuple[int, str, str | None]:
    """Exit code, standard error, and what the process told before it was ended."""
    told = tmp_path / "told"
    command = [sys.executable, "-c", SCRIPT.format(how=how), str(told)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    return done.returncode, done.stderr, told.read_text() if told.exists() else None


def test_a_process_that_hangs_says_where_and_is_ended(tmp_path: Path) -> None:
    code, _, told = run(tmp_path, "with watchdog.watched(0.005, tell):\n    waits_for_what_never_comes()")
    assert code == 1
    assert told is not None
    assert "in waits_for_what_never_comes" in told
    assert "in end" not in told, "the stack is of the thread that hangs"
    assert told.endswith("\nNo epoch for 0.005 minutes: its process was ended")


def test_the_thread_that_is_watched_need_not_be_the_main_one(tmp_path: Path) -> None:
    how = """
def work():
    with watchdog.watched(0.005, tell):
        waits_for_what_never_comes()

threading.Thread(target=work).start()
is_in_time()
"""
    code, _, told = run(tmp_path, how)
    assert code == 1
    assert told is not None
    assert "in waits_for_what_never_comes" in told


@pytest.mark.parametrize(
    ("tell", "hangs"), [("tell", "holds_the_lock"), ("tell_a_storage_that_hangs", "waits_for_what_never_comes")]
)
def test_one_that_cannot_say_it_is_ended_all_the_same(tmp_path: Path, tell: str, hangs: str) -> None:
    code, err, told = run(tmp_path, f"with watchdog.watched(0.005, {tell}):\n    {hangs}()")
    assert code == 1
    assert told is None
    assert f"in {hangs}" in err


@pytest.mark.parametrize("minutes", ["0.01", "None"])
def test_one_that_is_in_time_lives_on(tmp_path: Path, minutes: str) -> None:
    how = f"""
for _ in range(3):
    with watchdog.watched({minutes}, tell):
        is_in_time()
time.sleep(1.5)
sys.exit(7)
"""
    assert run(tmp_path, how) == (7, "", None)


def test_an_error_inside_ends_the_watch() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="of its own"), watched(60, lambda where: None):
        raise ValueError("of its own")
    assert not [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, threading.Timer) and not thread.finished.is_set()
    ]
    assert threading.active_count() <= before + 1
