"""One driver for each sweep, or for each shard of it, agreed on by nothing but the storage.

`leases/<sweep>/log/<n>.json` says who holds what, whole, after the n-th change; the highest number is the truth, and a
change is the creation, if absent, of the next number. So changes happen one after the other on any storage that
creates conditionally. A holder also rewrites `leases/<sweep>/beats/<token>.json` every few seconds. Whoever wants what
another holds watches that file by its own monotonic clock, since clocks of two machines may differ; on the holder's
own machine it looks for the process instead.
"""

import contextlib
import getpass
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.machine import machine, process_lives, started
from orchestrator.numbered import Numbered
from orchestrator.shard import Shard
from orchestrator.storage import Storage, StorageError
from stcnas_core.errors import InputError

HEARTBEAT = 10.0
"""Seconds between a holder's signs of life."""

MISSED = 6
"""A holder that misses so many of them is taken for dead."""

POLL = 1.0
"""Seconds between looks at another's signs of life."""


@dataclass(frozen=True)
class Holder:
    """One driver, as it is written down for the others."""

    token: str
    """Drawn at random for each start of a driver."""
    shard: str | None
    host: str
    machine: str | None
    """Boot and process namespace, where they can be known: processes of equal ones see each other."""
    pid: int
    started: str | None
    """When the process began, in its machine's own count."""
    user: str
    since: str
    """UTC by the holder's clock, for people."""
    heartbeat: float
    """Seconds between its signs of life."""

    @classmethod
    def here(cls, shard: Shard | None) -> "Holder":
        """This process, as a holder from now on."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = f"user {os.getuid()}"
        return cls(
            secrets.token_hex(8),
            None if shard is None else str(shard),
            socket.gethostname(),
            machine(),
            os.getpid(),
            started(os.getpid()),
            user,
            datetime.now(UTC).isoformat(timespec="seconds"),
            HEARTBEAT,
        )

    def excludes(self, other: "Holder") -> bool:
        """Whether the two may not run at once: shards may, where they are different ones of the same number."""
        if self.shard is None or other.shard is None:
            return True
        mine, theirs = Shard.parse(self.shard), Shard.parse(other.shard)
        return mine.of != theirs.of or mine == theirs

    def listed(self) -> dict[str, Any]:
        """What a person or a script asks of a driver."""
        names = ("user", "host", "pid", "shard", "since")
        return {name: getattr(self, name) for name in names}

    def lives_here(self) -> bool | None:
        """Whether its process lives; None where it is one of another machine."""
        if self.machine is None or self.machine != machine():
            return None
        return process_lives(self.pid, self.started)

    def described(self) -> str:
        """In a person's words."""
        what = f", shard {self.shard}" if self.shard else ""
        return f"{self.user} on {self.host} (pid {self.pid}{what}) since {self.since}"


@dataclass
class _Watched:
    beat: bytes | None
    looked: float
    silent: float = 0.0


@dataclass
class Watch:
    """Tells living holders from dead ones by looking again and again; remembers what it saw."""

    storage: Storage
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, _Watched] = field(default_factory=dict)

    def lives(self, sweep: str, holder: Holder) -> bool | None:
        """Whether a holder lives; None while that takes more looking."""
        local = holder.lives_here()
        if local is not None:
            return local
        beat = self.storage.read(_beat(sweep, holder.token))
        now = self.clock()
        seen = self._seen.get(holder.token)
        if seen is None:
            self._seen[holder.token] = _Watched(beat, now)
            return None
        if beat != seen.beat:
            self._seen[holder.token] = _Watched(beat, now)
            return True
        # A gap between looks may be this process's own: stopped, suspended, or cut off from the storage.
        seen.silent += min(now - seen.looked, holder.heartbeat)
        seen.looked = now
        return False if seen.silent >= MISSED * holder.heartbeat else None


class Leases:
    """Who drives one sweep in one storage."""

    def __init__(self, storage: Storage, sweep: str) -> None:
        self.storage, self.sweep = storage, sweep
        self.log = Numbered(storage, f"leases/{sweep}/log")

    def holders(self) -> tuple[int, list[Holder]]:
        """The number of the last change, and the holders since; dead ones stay until someone takes their place.

        Raises StorageError where the newest file is not one of these.
        """
        number, content = self.log.newest()
        if content is None:
            return number, []
        try:
            return number, [Holder(**entry) for entry in json.loads(content)["holders"]]
        except (ValueError, KeyError, TypeError):
            raise StorageError(
                f"{self.storage.uri}/{self.log.key(number)} is damaged or of another version; make sure that no "
                f"driver runs the sweep, and delete {self.storage.uri}/leases/{self.sweep}"
            ) from None

    def change(self, number: int, holders: list[Holder]) -> bool:
        """Write down new holders after change `number`; False, and nothing changed, where another was first."""
        entry = {"holders": [asdict(holder) for holder in holders]}
        return self.log.append(number, json.dumps(entry, indent=1).encode())


class Lease:
    """This driver's hold on a sweep; `say` is told what a person should know, also from a thread."""

    def __init__(self, leases: Leases, me: Holder, say: Callable[[str], None]) -> None:
        self.leases, self.me, self.say = leases, me, say
        self._ended = threading.Event()
        self._beats = 0

    def acquire(self, pause: Callable[[float], Any] = time.sleep, watch: Watch | None = None) -> None:
        """Take the lease; waits where only time can tell whether another holder lives.

        Raises InputError that says who holds it, where somebody does.
        """
        watch = watch or Watch(self.leases.storage)
        told: set[str] = set()
        self._beat()
        try:
            while not self._attempt(watch, told):
                pause(POLL)
        except BaseException:
            with contextlib.suppress(StorageError):
                self.leases.storage.delete(_beat(self.leases.sweep, self.me.token))
            raise

    def _attempt(self, watch: Watch, told: set[str]) -> bool:
        sweep = self.leases.sweep
        number, holders = self.leases.holders()
        rivals = [holder for holder in holders if holder.excludes(self.me)]
        alive = {rival.token: watch.lives(sweep, rival) for rival in rivals}
        for rival in rivals:
            if alive[rival.token]:
                raise InputError(self._refusal(rival))
        for rival in rivals:
            if alive[rival.token] is None and rival.token not in told:
                told.add(rival.token)
                self.say(
                    f"{sweep} was being run by {rival.described()}; "
                    f"waiting up to {MISSED * rival.heartbeat:.0f} s to see whether that driver lives"
                )
        if any(alive[rival.token] is None for rival in rivals):
            return False
        if not self.leases.change(number, [*(holder for holder in holders if holder not in rivals), self.me]):
            return False
        for rival in rivals:
            self.say(f"taking over from {rival.described()}, which is gone")
        known = {_beat(sweep, holder.token) for holder in [*holders, self.me] if holder not in rivals}
        for left in set(self.leases.storage.keys(f"leases/{sweep}/beats")) - known:
            # Of one that waits as this one did: it writes its next sign all the same.
            self.leases.storage.delete(left)
        return True

    def _refusal(self, rival: Holder) -> str:
        sweep, uri = self.leases.sweep, self.leases.storage.uri
        held = f"{sweep} in {uri} is already being run by {rival.described()}"
        if rival.shard and self.me.shard and Shard.parse(rival.shard).of != Shard.parse(self.me.shard).of:
            return f"{held}; all drivers of a sweep must divide it by the same number, as in --shard 1/2 and 2/2"
        return (
            f"{held}; let it go on (`stcnas status` shows how far it is), or stop it with `kill {rival.pid}` on "
            f"{rival.host}; several drivers may share a sweep by --shard 1/2 and --shard 2/2"
        )

    @contextlib.contextmanager
    def kept(self, lost: Callable[[str], None]) -> Iterator[None]:
        """Show signs of life until the context ends, then release the lease.

        `lost` is told, from a thread, who took over where somebody did.
        """
        thread = threading.Thread(target=self._keep, args=(lost,), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self._release()

    def _keep(self, lost: Callable[[str], None]) -> None:
        ailing = False
        while not self._ended.wait(self.me.heartbeat):
            try:
                number, holders = self.leases.holders()
                if number == 0:
                    # No takeover leaves nothing; whoever writes next finds out what has become of the storage.
                    raise StorageError(f"nothing is left of it in {self.leases.storage.uri}")
                self._beat()
                ailing = False
            except StorageError as error:
                if not ailing:
                    self.say(f"note: the lease on {self.leases.sweep} cannot be renewed: {error}")
                ailing = True
                continue
            if self.me not in holders:
                others = [holder.described() for holder in holders if holder.excludes(self.me)]
                lost(f"{self.leases.sweep} was taken over by {' and '.join(others) or 'another driver'}")
                return

    def _beat(self) -> None:
        self._beats += 1
        self.leases.storage.replace(_beat(self.leases.sweep, self.me.token), json.dumps({"beat": self._beats}).encode())

    def _release(self) -> None:
        try:
            while True:
                number, holders = self.leases.holders()
                left = [holder for holder in holders if holder != self.me]
                if left == holders or self.leases.change(number, left):
                    break
            self.leases.storage.delete(_beat(self.leases.sweep, self.me.token))
        except StorageError as error:
            self.say(f"note: the lease on {self.leases.sweep} could not be released: {error}")


def _beat(sweep: str, token: str) -> str:
    return f"leases/{sweep}/beats/{token}.json"
