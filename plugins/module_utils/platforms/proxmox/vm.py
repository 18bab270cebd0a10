# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One VM of Proxmox VE: read, change, stop, start. PRIVATE to the collection.

Every change names the configuration that it was decided on (``digest``), so that what somebody else did meanwhile is
never overwritten. A call whose answer was lost is never just repeated: the VM is asked first whether it took effect.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, replace

from ...errors import ComposeError
from ...model.answer import answer
from .answers import Snapshot, Status, Values, Volume
from .client import LostAnswer, ProxmoxError
from .cluster import Cluster
from .config import Config
from .record import Record
from .tasks import TaskError, wait_for

T = t.TypeVar("T")

#: Seconds between two looks at something that changes by itself.
_POLL = 1.0
#: How often a call is made again whose answer was lost, or whose task met a lock.
_TRIES = 4
#: How often it is looked whether such a call has an effect.
_LOOKS = 20
#: Seconds that a shutdown may take beyond its deadline: for the guest to be killed, and its disks to be let go.
_GRACE = 60


@dataclass(frozen=True)
class Patience:
    """Deadlines, in seconds."""

    #: For a guest to shut down before it is switched off.
    shutdown: int = 60
    #: For any task.
    task: int = 1800
    #: For a lock (a backup, for example) to go away.
    lock: int = 60


class ChangedError(ComposeError):
    """A VM was changed between reading and changing its configuration."""

    def __init__(self, vmid: int) -> None:
        super().__init__(f"VM {vmid} was changed by someone else meanwhile: left as they made it; run again")


class Vm:
    """A VM, wherever it is now."""

    def __init__(self, cluster: Cluster, vmid: int, patience: Patience) -> None:
        self.cluster = cluster
        self.vmid = vmid
        self.patience = patience

    @property
    def node(self) -> str:
        """Node of the cluster on which the VM is."""
        return self.cluster.node_of(self.vmid)

    def call(self, verb: str, suffix: str, **params: t.Any) -> t.Any:
        """A call below the VM; a second time where it has moved meanwhile."""
        try:
            return self._call(verb, suffix, params)
        except ProxmoxError as error:
            if not error.missing or not self.cluster.moved(self.vmid):
                raise
            return self._call(verb, suffix, params)

    def _call(self, verb: str, suffix: str, params: t.Mapping[str, t.Any]) -> t.Any:
        return self.cluster.client.call(verb, f"/nodes/{self.node}/qemu/{self.vmid}{suffix}", **params)

    def ask(self, type_: type[T], suffix: str, **params: t.Any) -> T:
        """:meth:`call` with GET, as a type of answers.py. :raises WrongAnswer: it is none."""
        return answer(type_, self.call("GET", suffix, **params), f"Proxmox: GET {suffix} of VM {self.vmid}")

    def config(self, **params: t.Any) -> Config:
        """The configuration, with changes that wait for the next start."""
        return Config(self.ask(Values, "/config", **params))

    def running_config(self) -> Config:
        """The configuration as it was at the last start, but for what could be changed since."""
        return self.config(current=1)

    def snapshots(self) -> list[str]:
        """Names of the snapshots, and ``current``."""
        return [str(entry.name) for entry in self.ask(list[Snapshot], "/snapshot")]

    def volumes_on(self, storage: str) -> dict[str, int]:
        """The VM's volumes on a storage, and their sizes in bytes."""
        path = f"/nodes/{self.node}/storage/{storage}/content"
        entries = self.cluster.client.get(list[Volume], path, content="images", vmid=self.vmid)
        return {entry.volid: entry.size or 0 for entry in entries}

    def has(self, volume: str) -> bool:
        """A volume is there, and the VM's own, whether it is in a drive or not."""
        return volume in self.volumes_on(volume.partition(":")[0])

    def free(self) -> Config:
        """The configuration, once nothing else is being done to the VM.

        :raises ComposeError: it stays locked.
        """
        end = time.monotonic() + self.patience.lock
        while True:
            config = self.config()
            if not config.lock:
                return config
            if time.monotonic() > end:
                raise ComposeError(
                    f"VM {self.vmid} is locked ({config.lock}): left alone; run again when that is over, or, if "
                    f"nothing is being done to it, as root on {self.node}: qm unlock {self.vmid}"
                )
            time.sleep(_POLL)

    def becomes(self, wanted: t.Callable[[Config], bool]) -> bool:
        """Whether the configuration comes to be as a call would have made it whose answer was lost."""
        for _attempt in range(_LOOKS):
            if wanted(self.config()):
                return True
            time.sleep(_POLL)
        return False

    def change(self, config: Config, values: t.Mapping[str, t.Any]) -> None:
        """Change the configuration that was read; nothing is copied. A running VM may follow at its next start only.

        :param values: with ``description``, by which the change is known again.
        :raises ChangedError: the VM was changed meanwhile.
        """
        lost, end = 0, time.monotonic() + self.patience.task
        while True:
            try:
                self.call("PUT", "/config", digest=config.digest, **values)
                return
            except ProxmoxError as error:
                if error.stale:
                    if lost and _has(self.config(), values):
                        return
                    raise ChangedError(self.vmid) from None
                if lost and error.passing and time.monotonic() < end:
                    continue  # it may be this change that holds the lock
                # What cannot be plugged is refused, but stored all the same.
                if "hotplug problem" not in error.text or not _has(self.config(), values):
                    raise
                return
            except LostAnswer:
                lost += 1
                now = self.config()
                if now.digest != config.digest:
                    if _has(now, values):
                        return
                    raise ChangedError(self.vmid) from None
                if lost == _TRIES:
                    raise

    def known(self, config: Config) -> Record:
        """The record in a configuration. :raises ComposeError: it is gone."""
        record = Record.read(config.get("description"), f"description of VM {self.vmid}")
        if record is None:
            raise ComposeError(f"VM {self.vmid} lost the record in its description; run again")
        return record

    def record(self, config: Config, record: Record, more: t.Mapping[str, t.Any] | None = None) -> None:
        """Write a record into the description and the tags, in one change with ``more``."""
        description = record.into(config.get("description"))
        tags = record.tags(set(config.get("tags").replace(",", ";").split(";")) - {"", " "})
        self.change(config, {"description": description, "tags": tags, **(more or {})})

    def detach(
        self, config: Config, record: Record, keys: t.Iterable[str], more: t.Mapping[str, t.Any] | None = None
    ) -> None:
        """:meth:`record`, and take out drives, whose volumes stay; protection forbids that, and is lifted so long."""
        known = self.known(config)
        if config.get("protection") == "1":
            self.record(config, replace(known, protected=True, tidy=False), {"protection": 0})
            config = self.config()
            known = self.known(config)
        again = {"protection": 1} if known.protected else {}
        self.record(config, replace(record, protected=False), {**(more or {}), **again, "delete": ",".join(keys)})

    def rewrite(self, record: Record) -> None:
        """Write a record, whatever the rest of the configuration is now."""
        self.record(self.config(), record)

    def task(self, verb: str, suffix: str, what: str, **params: t.Any) -> None:
        """A call that starts a task, to the task's end.

        :param what: is done, for messages.
        """
        self.done(str(self.call(verb, suffix, **params) or ""), what)

    def done(self, upid: str, what: str, seconds: float | None = None) -> None:
        """Wait for the end of a task that was started for the VM; of none if it has no name.

        :param seconds: deadline, if it is not that of all tasks.
        """
        if not upid:
            return
        wait_for(self.cluster.client, upid, f"{what} of VM {self.vmid}", seconds or self.patience.task)

    # -- power ---------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """The exact state: ``running`` or ``stopped``, and what high availability has to do with it."""
        return self.ask(Status, "/status/current")

    def is_running(self) -> bool:
        """It runs, or is paused."""
        return self.status().status == "running"

    def stop(self) -> bool:
        """Shut the guest down, by force after a while; whether it ran."""
        status = self.status()
        if status.status != "running":
            return False
        try:
            seconds = self.patience.shutdown + _GRACE
            self._power("shutdown", "stopped", seconds, timeout=self.patience.shutdown, forceStop=1)
        except TaskError as error:
            if error.locked:
                raise
            self._stop_now(status)
        return True

    def cut_power(self) -> None:
        """End it at once, if it runs."""
        status = self.status()
        if status.status == "running":
            self._stop_now(status)

    def _stop_now(self, status: Status) -> None:
        # A shutdown that has not ended holds the VM's lock; that of the HA manager is not for us to end.
        self._power("stop", "stopped", **({} if status.ha.managed else {"overrule-shutdown": 1}))

    def start(self) -> None:
        """Start it, unless it runs."""
        self._power("start", "running")

    def _power(self, action: str, wanted: str, seconds: float | None = None, **params: t.Any) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                self.done(str(self.call("POST", f"/status/{action}", **params) or ""), action, seconds)
            except LostAnswer:
                if attempt == _TRIES:
                    raise
            except TaskError as error:
                if self.status().status == wanted:  # it was so already
                    return
                if attempt == _TRIES or not error.passing:
                    raise
            if self._reaches(wanted):
                return
            time.sleep(_POLL)
        raise ComposeError(f"VM {self.vmid} is not {wanted} after {action}")

    def _reaches(self, wanted: str) -> bool:
        """Whether it comes into a state; where the high availability acts, a task only asks for it."""
        begin = time.monotonic()
        while True:
            status = self.status()
            if status.status == wanted:
                return True
            managed = status.ha.managed
            if time.monotonic() > begin + (self.patience.task if managed else 5 * _POLL):
                return False
            time.sleep(_POLL)


def _has(config: Config, values: t.Mapping[str, t.Any]) -> bool:
    return config.get("description").strip() == str(values["description"]).strip()


def comes_to_be(cluster: Cluster, vmid: int, name: str, seconds: float) -> bool:
    """Whether a VM is made under a number and a name, by a call of which no answer came; waits for the end of that.

    :param seconds: deadline.
    """
    begin = time.monotonic()
    while vmid not in cluster.vms(anew=True):
        if time.monotonic() > begin + _LOOKS * _POLL:
            return False
        time.sleep(_POLL)
    try:
        config = Vm(cluster, vmid, Patience(lock=int(seconds))).free()
    except ProxmoxError as error:
        if not error.missing:
            raise
        return False  # its making failed
    return config.get("name") == name
