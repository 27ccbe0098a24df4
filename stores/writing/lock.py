"""One job at a time on a store: a lock that says who holds it, and that a dead holder loses.

The lock is a key in the store, `lock.json`, and is gone when the job ends. Readers take no notice of it. A holder is
dead when its process is gone (same machine), or when it sent no heartbeat for `limit` seconds and sends none while
we watch (another machine: clocks may differ, so an old time alone proves nothing).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from ..errors import AugliftError, MissingFileError, StoreLockedError, StoreWriteError
from ..locations.base import PARTIAL, Location

LOCK = "lock.json"
BEAT_SECONDS = 15.0
LIMIT_SECONDS = 120.0
ATTEMPTS = 20
GARBAGE_SECONDS = 0.5  # where a lock cannot appear whole (no hard links), it is whole after that


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    machine   boot and process namespace: where it is equal, `pid` means the same process to both of us
    started   when the process began, in the machine's own ticks: a pid that was given again is another process
    nonce     of this very lock
    since     when the lock was taken, beat when it last sent a heartbeat; seconds since 1970 by its own clock
    """

    host: str
    machine: str
    pid: int
    started: int
    nonce: str
    since: float
    beat: float

    @classmethod
    def here(cls) -> Holder:
        now = time.time()
        pid = os.getpid()
        return cls(socket.gethostname(), _machine(), pid, _started(pid) or 0, uuid.uuid4().hex, now, now)

    @classmethod
    def from_json(cls, data: bytes) -> Holder | None:
        """Read a lock; None where the bytes are none."""
        try:
            holder = cls(**json.loads(data))
            return replace(holder, pid=int(holder.pid), since=float(holder.since), beat=float(holder.beat))
        except (ValueError, TypeError):
            return None

    def alive(self, limit: float) -> bool | None:
        """Return whether the holder lives; None where one look does not show it: another machine, an old heartbeat."""
        if self.machine == _machine():
            return _started(self.pid) == self.started
        return True if 0 <= time.time() - self.beat <= limit else None

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self)) + "\n").encode()


class StoreLock:
    """Hold a store for writing.

    with StoreLock(location):
        ...

    beat    seconds between heartbeats
    limit   a holder on another machine is presumed dead after so many seconds without one
    Raises StoreLockedError, with the holder's host, process and age, where a live process holds it.
    """

    def __init__(self, location: Location, beat: float = BEAT_SECONDS, limit: float = LIMIT_SECONDS):
        self.location = location
        self.beat = beat
        self.limit = limit
        self.lost = False
        self._mine: Holder | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> StoreLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except AugliftError:
            if error is None:  # the error that ended the job says more
                raise

    def acquire(self) -> None:
        mine = Holder.here()
        for attempt in range(ATTEMPTS):
            if self.location.create(LOCK, mine.to_json()):
                break
            found = self._read(LOCK)
            if found == mine.to_json():
                break  # ours after all: the response was lost, and the request repeated
            if found is not None and self._take_over(found, mine):
                break
            time.sleep(0.01 * attempt)  # it was let go, or changed hands, as we looked
        else:
            raise StoreWriteError(f"{LOCK} in {self.location.url} can neither be read nor created; delete it")
        self._mine = mine
        self.lost = False
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep_alive, name="store-lock", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raise StoreLockedError where another job took the store over, as this one sent no heartbeat for too long."""
        if self.lost:
            data = self._read(LOCK)
            other = Holder.from_json(data) if data is not None else None
            by = f" by process {other.pid} on {other.host}" if other is not None else ""
            raise StoreLockedError(
                f"{self.location.url} was taken over{by}: this process sent no heartbeat for {self.limit:.0f} s; "
                "what it finished is kept, and the other job goes on"
            )

    def release(self) -> None:
        if self._mine is None:
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        nonce, self._mine = self._mine.nonce, None
        if self._is_held_by(nonce):
            self.location.delete(LOCK)

    def _take_over(self, found: bytes, mine: Holder) -> bool:
        """Replace the lock of a dead holder. False where it changed meanwhile: look again.

        Of all that try, one may: the one that creates the claim, named after the very bytes that it replaces. A claim
        whose own holder died is claimed in turn. Claims end in `.partial`, so what is left of them is swept.
        """
        if Holder.from_json(found) is None and self._changes(LOCK, found, GARBAGE_SECONDS):
            return False
        self._refuse_if_alive(LOCK, found)
        claims = [_claim(found)]
        while not self.location.create(claims[-1], mine.to_json()):
            claim = self._read(claims[-1])
            if claim is None:
                return False
            if claim == mine.to_json():
                break
            self._refuse_if_alive(claims[-1], claim)
            claims.append(_claim(claim))
        # Only who holds the claim may change these bytes, and who held it before changed them before letting it go.
        unchanged = self._read(LOCK) == found
        if unchanged:
            self.location.write(LOCK, mine.to_json())
        for claim in claims if unchanged else claims[-1:]:
            self.location.delete(claim)
        return unchanged

    def _refuse_if_alive(self, key: str, data: bytes) -> None:
        holder = Holder.from_json(data)
        if holder is None:
            return  # garbage: nobody alive leaves that
        alive = holder.alive(self.limit)
        if alive is None:
            alive = self._changes(key, data, 2 * self.beat)
        if alive:
            raise StoreLockedError(
                f"{self.location.url} is being written by process {holder.pid} on {holder.host}, begun "
                f"{_age(holder.since)} ago, last heartbeat {_age(holder.beat)} ago; wait for it to end (if it died, "
                f"this command works {self.limit:.0f} s after its last heartbeat)"
            )

    def _changes(self, key: str, data: bytes, seconds: float) -> bool:
        """Whether a lock changes while we watch."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(seconds / 20)
            if self._read(key) != data:
                return True
        return False

    def _keep_alive(self) -> None:
        while not self._stop.wait(self.beat):
            mine = self._mine
            if mine is None:
                return
            with contextlib.suppress(AugliftError):  # a full disk or a lost connection: the next beat tries again
                if not self._is_held_by(mine.nonce):
                    self.lost = True
                    return
                self.location.write(LOCK, replace(mine, beat=time.time()).to_json())

    def _is_held_by(self, nonce: str) -> bool:
        data = self._read(LOCK)
        holder = Holder.from_json(data) if data is not None else None
        return holder is not None and holder.nonce == nonce

    def _read(self, key: str) -> bytes | None:
        try:
            return self.location.read(key)
        except MissingFileError:
            return None


def holder_of(location: Location, limit: float = LIMIT_SECONDS) -> Holder | None:
    """Return who is writing the store, as far as one look shows; None where no job is."""
    try:
        holder = Holder.from_json(location.read(LOCK))
    except MissingFileError:
        return None
    return holder if holder is not None and holder.alive(limit) else None


def _claim(dead: bytes) -> str:
    return f"{LOCK}.{hashlib.sha256(dead).hexdigest()[:16]}{PARTIAL}"


def _machine() -> str:
    """What two processes share exactly where they see each other's pids: a container has pids of its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None where there is no such process, or only its corpse."""
    if Path("/proc/self/stat").exists():
        try:
            # The name, in brackets, may hold blanks: count from its end. State is field 3, the start field 22.
            state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if state in "ZX" else int(rest[18])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0


def _age(since: float) -> str:
    seconds = max(0, round(time.time() - since))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
