"""File locks of the nodes: exclusive or shared, with a time-out, re-entrant for the thread that holds them."""

from __future__ import annotations

import threading
import time
import typing as t
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass

from .errors import ApiError

if t.TYPE_CHECKING:
    from .clock import Clock
    from .faults import Faults


@dataclass(eq=False)
class _Hold:
    #: How often the thread has taken the lock.
    count: int
    #: Simulated seconds that it had let pass when it took it first.
    slept: float


class _Lock:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.changed = threading.Condition()
        self.holds: dict[int, _Hold] = {}
        self.queue: list[int] = []
        self.exclusive = False

    def acquire(self, shared: bool, timeout: float, patience: float) -> bool:
        """Waits until the holders have let ``timeout`` simulated seconds pass, or ``patience`` real ones are over."""
        me, passed, deadline = threading.get_ident(), 0.0, time.monotonic() + patience
        with self.changed:
            self.queue.append(me)
            seen = {hold: self._clock.slept(thread) for thread, hold in self.holds.items()}
            while not self._free(me, shared) and passed < timeout and time.monotonic() < deadline:
                self.changed.wait(min(0.05, max(0.001, timeout * self._clock.pace / 10)))
                now = {hold: self._clock.slept(thread) for thread, hold in self.holds.items()}
                passed += max((now[hold] - seen.get(hold, hold.slept) for hold in now), default=0.0)
                seen = now
            taken = self._free(me, shared)
            if taken:
                self.exclusive = self.exclusive or not shared
                self.holds.setdefault(me, _Hold(0, self._clock.slept(me))).count += 1
            self.queue.remove(me)
            self.changed.notify_all()
            return taken

    def _free(self, me: int, shared: bool) -> bool:
        if set(self.holds) == {me}:
            return True
        return self.queue[0] == me and (not self.holds or (shared and not self.exclusive))

    @property
    def is_mine(self) -> bool:
        """This thread holds it already."""
        return threading.get_ident() in self.holds

    def release(self) -> None:
        me = threading.get_ident()
        with self.changed:
            self.holds[me].count -= 1
            if not self.holds[me].count:
                del self.holds[me]
            if not self.holds:
                self.exclusive = False
            self.changed.notify_all()


class Locks:
    """All locks by name."""

    #: Real seconds that a lock is waited for at least where the clock is fast: holders do real work, too.
    PATIENCE = 300.0

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self._all: dict[str, _Lock] = defaultdict(lambda: _Lock(clock))
        self._guard = threading.Lock()
        #: Called where the lock of a VM is held.
        self.held: t.Callable[[], object] = lambda: None

    @contextmanager
    def config(self, vmid: int, timeout: float = 10, *, shared: bool = False) -> t.Iterator[None]:
        """The lock of a VM's configuration file.

        :param timeout: simulated seconds
        """
        error = f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout"
        with self._held(f"vm {vmid}", timeout, shared, error, vmid=vmid):
            self.held()
            yield

    @contextmanager
    def storage(self, storage: str, *, shared: bool, timeout: float = 10) -> t.Iterator[None]:
        """The lock under which volumes of a storage are made and removed."""
        error = (
            f"cfs-lock 'storage-{storage}' error: got lock request timeout"
            if shared
            else f"can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout"
        )
        with self._held(f"storage {storage}", timeout, False, error, storage=storage):
            yield

    @contextmanager
    def _held(self, name: str, timeout: float, shared: bool, error: str, **what: t.Any) -> t.Iterator[None]:
        """Holds a lock.

        :param timeout: simulated seconds
        """
        with self._guard:
            lock = self._all[name]
        deadline = time.monotonic() + timeout * self._clock.pace
        while not lock.is_mine and self._faults.locked(**what):
            if time.monotonic() >= deadline:
                self._faults.locked(count=True, **what)
                raise ApiError(error)
            time.sleep(min(0.05, timeout * self._clock.pace / 4))
        patience = timeout if self._clock.pace >= 1 else max(timeout * self._clock.pace, self.PATIENCE)
        if not lock.acquire(shared, timeout, patience):
            raise ApiError(error)
        try:
            yield
        finally:
            lock.release()
