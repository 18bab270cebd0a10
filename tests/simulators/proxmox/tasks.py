"""Worker tasks: UPIDs, states, logs; they run beside the call that started them."""

from __future__ import annotations

import contextvars
import re
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ApiError
from .options import Options

if t.TYPE_CHECKING:
    from .clock import Clock
    from .faults import Faults

UPID = re.compile(
    r"UPID:(?P<node>[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?):(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9})"
    r":(?P<starttime>[0-9A-Fa-f]{8}):(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)

#: Simulated seconds of a task that never ends.
FOREVER = 1e9


@dataclass
class Task:
    """One task."""

    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    user: str
    lines: list[str] = field(default_factory=list)
    warnings: int = 0
    #: Exit status: OK, ``WARNINGS: n`` or the error; ``None`` while it runs.
    status: str | None = None
    endtime: int | None = None
    #: Simulated seconds that it takes, besides what it does, from now on.
    seconds: float = 0
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def upid(self) -> str:
        """The name of the task."""
        return (
            f"UPID:{self.node}:{self.pid:08X}:{self.pstart:08X}:{self.starttime:08X}:{self.type}:{self.id}:{self.user}:"
        )

    def describe(self) -> dict[str, t.Any]:
        """The task as all calls show it; the user apart from the token."""
        user, bang, token = self.user.partition("!")
        result = {
            "upid": self.upid,
            "node": self.node,
            "pid": self.pid,
            "pstart": self.pstart,
            "starttime": self.starttime,
            "type": self.type,
            "id": self.id,
            "user": user,
        }
        return {**result, "tokenid": token} if bang else result

    def belongs_to(self, user: str) -> bool:
        """The user, or the user of the token, may see the task without a privilege."""
        return user in (self.user, self.user.partition("!")[0])


_current: contextvars.ContextVar[Task | None] = contextvars.ContextVar("task", default=None)


def say(text: str) -> None:
    """A line of the log of the task that runs here; lost where a call is answered at once."""
    task = _current.get()
    if task is not None:
        task.lines += text.rstrip("\n").split("\n")


def warn(text: str) -> None:
    """A warning, which the exit status counts."""
    task = _current.get()
    if task is not None:
        task.warnings += 1
    say(f"WARN: {text}")


class Tasks:
    """All tasks, kept in the state directory: an index of what ended, and a log for each."""

    def __init__(self, state: Path, options: Options, clock: Clock, faults: Faults) -> None:
        self._directory = state / "tasks"
        self._directory.mkdir(exist_ok=True)
        self._options, self._clock, self._faults = options, clock, faults
        self._lock = threading.Lock()
        self._pid = 1000
        self._started = clock.time() - 1000
        self._all: dict[str, Task] = {}
        self._load()

    def _load(self) -> None:
        for line in self._read("index"):
            match = UPID.match(line)
            if match:
                task = self._parse(match)
                end, dummy, status = line[match.end() :].strip().partition(" ")
                # A worker that died with its daemon left no status.
                task.endtime, task.status = int(end, 16) if end else task.starttime, status or "unexpected status"
                self._pid = max(self._pid, task.pid)
                self._all[task.upid] = task
                task.ended.set()
        for task in self._all.values():
            task.lines = self._read(self._name(task))

    @staticmethod
    def _parse(match: re.Match[str]) -> Task:
        pid, pstart, starttime = (int(match[key], 16) for key in ("pid", "pstart", "starttime"))
        return Task(match["node"], pid, pstart, starttime, match["type"], match["id"], match["user"])

    @staticmethod
    def _name(task: Task) -> str:
        return f"{task.starttime:08X}-{task.pid:08X}.log"

    def _read(self, name: str) -> list[str]:
        path = self._directory / name
        return path.read_text().splitlines() if path.exists() else []

    def _append(self, text: str, name: str = "index") -> None:
        with self._lock, (self._directory / name).open("a") as file:
            file.write(text + "\n")

    def get(self, upid: str) -> Task:
        """A task by name; 400 where there is none."""
        if not UPID.fullmatch(upid):
            raise ApiError("Parameter verification failed.", 400, {"upid": "unable to parse worker upid"})
        if upid not in self._all:
            raise ApiError("Parameter verification failed.", 400, {"upid": "no such task"})
        return self._all[upid]

    def known(self, upid: str) -> bool:
        """There is, or was, a task of this name."""
        return upid in self._all

    def all(self) -> list[Task]:
        """Every task, the newest first."""
        with self._lock:
            return list(self._all.values())[::-1]

    def running(self, kind: str, identifier: str) -> list[Task]:
        """Tasks of a type that have not ended."""
        return [task for task in self.all() if task.status is None and (task.type, task.id) == (kind, identifier)]

    def fork(self, node: str, kind: str, identifier: object, user: str, work: t.Callable[[], object]) -> str:
        """Starts a task and answers its UPID."""
        now = self._clock.time()
        with self._lock:
            self._pid += 1
            ticks = int(max(0.0, now - self._started) * 100)
            task = Task(node, self._pid, ticks, int(now), kind, "" if identifier is None else str(identifier), user)
            self._all[task.upid] = task
        self._append(task.upid)
        threading.Thread(target=self._run, args=(task, work), name=task.upid, daemon=True).start()
        return task.upid

    def _run(self, task: Task, work: t.Callable[[], object]) -> None:
        _current.set(task)
        began = time.time()
        try:
            self._work(task, work)
            task_status = f"WARNINGS: {task.warnings}" if task.warnings else "OK"
            say(f"TASK {task_status}")
        except ApiError as error:
            task_status = error.exitstatus
            say(f"TASK ERROR: {task_status}")
        except Exception as error:  # a fault of the simulator must be seen, not hang a client
            task_status = f"simulator: {type(error).__name__}: {error}"
            say(f"TASK ERROR: {task_status}")
        task.endtime = int(self._clock.time())
        (self._directory / self._name(task)).write_text("\n".join(task.lines) + "\n")
        self._append(f"{began:.3f} {time.time():.3f} {task.upid} {task_status}", "times")
        task.status = task_status
        self._append(f"{task.upid} {task.endtime:08X} {task.status}")
        task.ended.set()

    def _work(self, task: Task, work: t.Callable[[], object]) -> None:
        fault = self._faults.task(task.node, task.type, task.id) or {}
        at_end = fault.get("when") == "end"
        task.seconds = FOREVER if fault.get("hang") and not at_end else self._options.task_seconds.get(task.type, 0)
        if not task.type.startswith("qm") or ("error" in fault and not at_end):
            self.spend()
        if task.stop.is_set():
            raise ApiError("received interrupt")
        if "error" in fault and not at_end:
            raise ApiError(fault["error"])
        work()
        self.spend()
        if fault.get("hang"):
            self.wait(FOREVER, task)
        if "error" in fault:
            raise ApiError(fault["error"])

    def spend(self) -> None:
        """Lets the time pass that the task takes; tasks of VMs do so when they hold the lock of the VM."""
        task = _current.get()
        if task is not None and task.seconds:
            seconds, task.seconds = task.seconds, 0
            self.wait(seconds, task)

    def wait(self, seconds: float, task: Task | None = None) -> None:
        """Lets simulated seconds pass in a task; dies when it is stopped."""
        task = task or _current.get()
        self._clock.sleep(seconds, task.stop if task else None)
        if task and task.stop.is_set():
            raise ApiError("received interrupt")

    def interrupt(self, node: str) -> None:
        """Ends all tasks of a node that went down."""
        for task in self.all():
            if task.node == node and task.status is None:
                task.stop.set()
