"""Leases: one driver at a time whatever the clocks say, told by nothing but the storage."""

import dataclasses
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import wait_for, write_sweep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from orchestrator import claims as claims_module
from orchestrator import numbered as numbered_module
from orchestrator.claims import Claims
from orchestrator.lease import HEARTBEAT, MISSED, Holder, Lease, Leases, Watch
from orchestrator.machine import process_lives, started
from orchestrator.numbered import Numbered
from orchestrator.plan import Trial, make_plan
from orchestrator.shard import Shard
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage, ObjectStorage, Storage, StorageError
from stcnas_core.errors import InputError

EXPIRY = MISSED * HEARTBEAT


@pytest.fixture(params=["local", "objects"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path) if request.param == "local" else ObjectStorage(MemoryStore(), "s3://b/p")


def holder(shard: str | None = None, **changes: object) -> Holder:
    return dataclasses.replace(Holder.here(Shard.parse(shard) if shard else None), **changes)  # type: ignore[arg-type]


def elsewhere(shard: str | None = None, **changes: object) -> Holder:
    """A driver of another machine."""
    return holder(shard, machine="another", host="far", **changes)


def held_by(storage: Storage, *holders: Holder) -> Leases:
    leases = Leases(storage, "s")
    assert leases.change(leases.holders()[0], list(holders))
    return leases


class Clock:
    """A monotonic clock that moves only while somebody waits; `each` is called at each wait."""

    def __init__(self, each: Callable[[float], None] = lambda now: None) -> None:
        self.now, self.each = 1000.0, each

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.each(self.now)


def acquire(leases: Leases, me: Holder, clock: Clock | None = None) -> list[str]:
    """Take a lease; returns what was said. Without a clock nothing may take time."""
    said: list[str] = []
    stopped = Clock(lambda now: pytest.fail("waited"))
    clock = clock or stopped
    Lease(leases, me, said.append).acquire(clock.wait, Watch(leases.storage, clock))
    return said


def test_the_second_is_refused_with_who_and_since_when(storage: Storage) -> None:
    leases = Leases(storage, "s")
    first = holder()
    assert acquire(leases, first) == []
    with pytest.raises(InputError) as caught:
        acquire(leases, holder())
    for part in (first.host, f"pid {os.getpid()}", first.user, first.since, f"kill {os.getpid()}", storage.uri):
        assert part in str(caught.value)
    assert leases.holders()[1] == [first]
    assert storage.keys("leases/s/beats") == [f"leases/s/beats/{first.token}.json"]


def test_a_release_frees_it_at_once(storage: Storage) -> None:
    leases = Leases(storage, "s")
    lease = Lease(leases, holder(), pytest.fail)
    lease.acquire()
    with lease.kept(pytest.fail):
        pass
    assert leases.holders()[1] == []
    assert storage.keys("leases/s/beats") == []
    assert acquire(leases, holder()) == []


def test_another_sweep_is_another_lease(storage: Storage) -> None:
    for name in ("s", "t"):
        assert acquire(Leases(storage, name), holder()) == []


def test_a_dead_process_of_this_machine_is_followed_at_once(storage: Storage) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = holder(pid=process.pid, started=started(process.pid))
    leases = held_by(storage, gone)
    with pytest.raises(InputError, match="already being run"):
        acquire(leases, holder())
    process.kill()
    # A zombie until its parent asks after it.
    wait_for(lambda: started(process.pid) is None)
    me = holder()
    assert "taking over" in acquire(leases, me)[0]
    assert leases.holders()[1] == [me]
    process.communicate()


def test_a_later_process_of_the_same_number_is_not_the_holder() -> None:
    mine = started(os.getpid())
    assert process_lives(os.getpid(), mine)
    assert not process_lives(os.getpid(), "1")
    assert not process_lives(os.getpid(), None)


@pytest.mark.parametrize("since", ["1970-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"])
def test_a_silent_driver_of_another_machine_is_waited_for_whatever_its_clock_says(storage: Storage, since: str) -> None:
    gone = elsewhere(since=since)
    leases = held_by(storage, gone)
    clock, me = Clock(), holder()
    said = acquire(leases, me, clock)
    assert EXPIRY <= clock.now - 1000 <= EXPIRY + 3
    assert [line.split(" ")[0] for line in said] == ["s", "taking"]
    assert f"waiting up to {EXPIRY:.0f} s" in said[0]
    assert "far" in said[0]
    assert leases.holders()[1] == [me]


def test_a_driver_of_another_machine_that_beats_is_left_alone(storage: Storage) -> None:
    other = elsewhere()
    leases = held_by(storage, other)
    beats = Lease(leases, other, pytest.fail)
    clock = Clock(lambda now: beats._beat() if now >= 1000 + HEARTBEAT else None)
    with pytest.raises(InputError, match="on far"):
        acquire(leases, holder(), clock)
    assert clock.now - 1000 <= HEARTBEAT + 2
    assert leases.holders()[1] == [other]


def test_an_observer_that_slept_does_not_count_its_sleep(storage: Storage) -> None:
    clock = Clock()
    watch = Watch(storage, clock)
    other = elsewhere()
    assert watch.lives("s", other) is None
    clock.wait(10 * EXPIRY)
    assert watch.lives("s", other) is None
    Lease(Leases(storage, "s"), other, pytest.fail)._beat()
    assert watch.lives("s", other) is True
    for _ in range(int(EXPIRY)):
        clock.wait(1.0)
        dead = watch.lives("s", other)
    assert dead is False


def test_of_many_at_once_one_gets_it(storage: Storage) -> None:
    for turn in range(6):
        gone = holder(pid=2**22 + 1, started="1")
        name = f"s{turn}"
        if turn % 2:
            Leases(storage, name).change(0, [gone])
        barrier, got = threading.Barrier(6), []

        def attempt(name: str = name, barrier: threading.Barrier = barrier, got: list[Holder] = got) -> None:
            me = holder()
            barrier.wait()
            try:
                Lease(Leases(storage, name), me, lambda line: None).acquire(lambda seconds: None)
            except InputError:
                return
            got.append(me)

        threads = [threading.Thread(target=attempt) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Leases(storage, name).holders()[1] == got
        assert len(got) == 1


def test_whoever_was_taken_over_hears_of_it(storage: Storage) -> None:
    leases, me = Leases(storage, "s"), holder(heartbeat=0.02)
    lease, lost = Lease(leases, me, pytest.fail), []
    lease.acquire()
    with lease.kept(lost.append):
        held_by(storage, elsewhere())
        wait_for(lambda: lost)
    assert lost[0].startswith("s was taken over by ")
    assert "on far" in lost[0]
    assert [other.host for other in leases.holders()[1]] == ["far"]


def test_a_storage_that_fails_for_a_while_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    said: list[str] = []
    leases, me = Leases(storage, "s"), holder(heartbeat=0.02)
    lease = Lease(leases, me, said.append)
    lease.acquire()
    replace, failed = storage.replace, []

    def failing(key: str, data: bytes) -> None:
        if len(failed) < 5:
            failed.append(key)
            raise StorageError("cannot write: gone")
        replace(key, data)

    monkeypatch.setattr(storage, "replace", failing)
    with lease.kept(pytest.fail):
        wait_for(lambda: len(failed) == 5)
        time.sleep(0.1)
    assert len(said) == 1
    assert "cannot be renewed: cannot write: gone" in said[0]
    assert leases.holders()[1] == []


def test_a_storage_that_is_gone_is_not_a_takeover_and_nothing_is_written_there(tmp_path: Path) -> None:
    storage, said = LocalStorage(tmp_path / "results"), []
    lease = Lease(Leases(storage, "s"), holder(heartbeat=0.02), said.append)
    lease.acquire()
    with lease.kept(pytest.fail):
        (tmp_path / "results").rename(tmp_path / "aside")
        (tmp_path / "results").mkdir()
        wait_for(lambda: said)
        time.sleep(0.1)
        assert not list((tmp_path / "results").iterdir())
        (tmp_path / "results").rmdir()
        (tmp_path / "aside").rename(tmp_path / "results")
    assert len(said) == 1
    assert f"cannot be renewed: nothing is left of it in {storage.uri}" in said[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"holders": [{"pid": 1}]}', b"\xff"])
def test_a_damaged_lease_says_what_to_do(storage: Storage, content: bytes) -> None:
    storage.create("leases/s/log/00000001.json", content)
    with pytest.raises(StorageError, match=r"00000001.json is damaged .*delete .*/leases/s"):
        acquire(Leases(storage, "s"), holder())


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (None, "1/2", False),
        ("1/2", None, False),
        ("1/2", "1/2", False),
        ("1/2", "2/2", True),
        ("1/2", "2/3", False),
        ("1/1", None, False),
    ],
)
def test_which_drivers_may_run_together(
    storage: Storage, first: str | None, second: str | None, together: bool
) -> None:
    leases = Leases(storage, "s")
    acquire(leases, holder(first))
    if together:
        assert acquire(leases, holder(second)) == []
        assert [entry.shard for entry in leases.holders()[1]] == [first, second]
    else:
        with pytest.raises(InputError, match="same number" if second == "2/3" else "already being run"):
            acquire(leases, holder(second))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_numbers_have_one_order_however_long_a_writer_sleeps(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, bool]]
) -> None:
    """Writers look and write when they like; a write succeeds exactly where nothing was written since its look."""
    monkeypatch.setattr(numbered_module, "KEPT", 3)
    log = Numbered(ObjectStorage(MemoryStore(), "s3://b"), "log")
    seen: dict[int, int] = {}
    truth: tuple[int, bytes | None] = (0, None)
    for turn, (writer, looks) in enumerate(steps):
        if looks or writer not in seen:
            assert log.newest() == truth
            seen[writer] = truth[0]
        else:
            content = str(turn).encode()
            written = log.append(seen[writer], content)
            assert written == (seen[writer] == truth[0])
            truth = (truth[0] + 1, content) if written else truth
    assert log.newest() == truth
    assert len(log.storage.keys("log")) <= 5


@given(st.integers(1, 7), st.lists(st.text("0123456789abcdef", min_size=20, max_size=20), unique=True))
def test_every_search_belongs_to_one_shard(of: int, ids: list[str]) -> None:
    shards = [Shard(index + 1, of) for index in range(of)]
    assert all(sum(shard.holds(name) for shard in shards) == 1 for name in ids)
    assert all(Shard.parse(str(shard)) == shard for shard in shards)


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/1001", "1 / 2", "１/２"])
def test_refuses_what_is_no_shard(text: str) -> None:
    with pytest.raises(InputError, match="must be i/n"):
        Shard.parse(text)


class TestClaims:
    @pytest.fixture
    def trial(self, tmp_path: Path) -> Trial:
        plan = make_plan(load_sweep(write_sweep(tmp_path / "s.yaml")))
        cell = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"
        return plan.retrainings(plan.searches[0], cell)[0]

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(claims_module, "POLL", 0.0)

    def two(self, storage: Storage, say: Callable[[str], None] = pytest.fail) -> tuple[Leases, list[Claims]]:
        holders = [holder("1/2"), holder("2/2")]
        return held_by(storage, *holders), [Claims(storage, "s", each, say) for each in holders]

    def test_one_of_two_has_it_until_it_is_recorded(self, storage: Storage, trial: Trial) -> None:
        said: list[str] = []
        _, (one, two) = self.two(storage, said.append)
        assert one.take(trial)
        assert one.take(trial)
        assert [two.take(trial) for _ in range(3)] == [False] * 3
        assert len(said) == 1
        assert "shard 1/2" in said[0]
        one.drop(trial.id)
        assert storage.keys("claims") == []
        assert two.take(trial)

    def test_searches_need_none(self, storage: Storage, trial: Trial) -> None:
        _, pair = self.two(storage)
        search = dataclasses.replace(trial, stage="search")
        assert all(claims.take(search) for claims in pair)
        assert storage.keys("claims") == []

    def test_a_claim_ends_with_its_driver(self, storage: Storage, trial: Trial) -> None:
        leases, (one, two) = self.two(storage, lambda line: None)
        assert one.take(trial)
        assert not two.take(trial)
        number, holders = leases.holders()
        leases.change(number, holders[1:])
        assert two.take(trial)
        restarted = Claims(storage, "s", holder("1/2"), lambda line: None)
        assert not restarted.take(trial)

    def test_a_damaged_claim_is_none(self, storage: Storage, trial: Trial) -> None:
        _, (one, two) = self.two(storage, lambda line: None)
        storage.create(f"claims/{trial.id}/00000001.json", b"{")
        assert one.take(trial)
        assert not two.take(trial)
