"""A workflow: what was asked for, how it goes, and what is told about it (``kaworkflow.rb``)."""

from __future__ import annotations

import threading
import time
import typing as t
import uuid
from dataclasses import dataclass, field

from .errors import KadeployError
from .nodesets import ordered

Json = dict[str, t.Any]


class Output:
    """Lines that are given once, to whoever asks first.

    :param level: lines above it are not said
    :param now: time for the lines
    :param prefix: of a cluster, where there are several
    """

    def __init__(self, level: int, now: t.Callable[[], float], prefix: str = "") -> None:
        self.level = level
        self.prefix = prefix
        self._now = now
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def push(self, level: int, message: str, nodeset: int = 0) -> None:
        """A line about a part of the nodes."""
        if level <= self.level:
            with self._lock:
                self._lines.append(f"{self._now():.5f}|{self.mark(nodeset)}{message}\n")

    def mark(self, nodeset: int = 0) -> str:
        """What is put before a line."""
        number = str(nodeset) if nodeset > 0 else ""
        inner = f"{self.prefix}.{number}" if self.prefix and number else self.prefix or number
        return f"[{inner}] " if inner else ""

    def pop(self) -> str:
        """Everything that was not given yet."""
        with self._lock:
            lines, self._lines = self._lines, []
        return "".join(lines)

    def take(self, other: Output) -> None:
        """Lines of another one."""
        with self._lock:
            self._lines.append(other.pop())

    def __bool__(self) -> bool:
        return any(self._lines)


@dataclass
class Part:
    """The part of one cluster.

    :param nodes: without those that were discarded
    :param stage: the macrostep and microstep of each set of nodes, and since when
    """

    cluster: str
    output: Output
    nodes: list[str]
    ok: list[str] = field(default_factory=list)
    ko: list[str] = field(default_factory=list)
    stage: dict[int, tuple[str, str, list[str], float]] = field(default_factory=dict)
    done: bool = False

    def status(self, now: float) -> Json:
        """What every set of nodes does."""
        found: Json = {}
        for macro, micro, nodes, since in list(self.stage.values()):
            about = {"nodes": {"OK": [], "KO": [], "**": ordered(nodes)}, "time": int(now - since)}
            found.setdefault(macro, {})[micro] = about
        if self.ok:
            found["OK"] = ordered(self.ok)
        if self.ko:
            found["KO"] = ordered(self.ko)
        return found


class Workflow:
    """A deployment, reboot, or power operation.

    :param kind: ``deploy``, ``reboot`` or ``power``
    :param body: what was asked for
    :param environment: its number, owner, name and version, if there is one
    :param level: how much is said
    :param pace: real seconds in a simulated one
    """

    def __init__(
        self,
        kind: str,
        user: str,
        nodes: list[str],
        clusters: dict[str, list[str]],
        body: Json,
        environment: Json | None,
        level: int,
        pace: float,
    ) -> None:
        self.kind = kind
        self.wid = f"{kind[0].upper()}-{uuid.uuid4()}"
        self.user = user
        self.nodes = nodes
        self.body = body
        self.environment = environment
        self.started = time.time()
        self._pace = pace or 1
        self._ended: float | None = None
        self.output = Output(level, self.now)
        self.states: dict[str, Json] = {}
        self.nodes_ok: list[str] = []
        self.nodes_ko: list[str] = []
        self.done = False
        self.error: KadeployError | None = None
        self.cancelled = threading.Event()
        self.lock = threading.RLock()
        prefixes = [f"c{number}" for number, _cluster in enumerate(clusters, 1)] if len(clusters) > 1 else [""]
        self.parts = [
            Part(cluster, Output(level, self.now, prefix), list(members))
            for prefix, (cluster, members) in zip(prefixes, clusters.items(), strict=True)
        ]
        self.clusters = list(clusters)

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/{'deployment' if self.kind == 'deploy' else self.kind}/{self.wid}"

    @property
    def over(self) -> bool:
        return self.done or self.error is not None

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return self.started + (time.time() - self.started) / self._pace

    def created(self) -> Json:
        """What the call that made it answers."""
        logs = {cluster: f"{self.path}/logs/{cluster}?user={self.user}" for cluster in self.clusters}
        resources: Json = {"resource": f"{self.path}/", "log": f"{self.path}/logs", "logs": logs}
        resources |= {name: f"{self.path}/{name}" for name in ("state", "status", "error")}
        return {"wid": self.wid, "resources": resources}

    def about(self, everything: bool) -> Json:
        """What is told about it.

        :param everything: to its user
        """
        with self.lock:
            told: Json = {"wid": self.wid, "user": self.user, "done": self.over, "error": self.error is not None}
            told["start_time"] = int(self.started)
            if not everything:
                return {**told, "nodes": self.nodes}
            if self.environment is not None:
                told["environment"] = {**self.environment, **({"id": None} if self.over else {})}
            if self.error is None:
                told["logs"] = bool(self.output) or any(part.output for part in self.parts if not part.done)
                told["nodes"] = self._nodes()
            told["time"] = round((self._ended or self.now()) - self.started, 2)
            return told

    def _nodes(self) -> Json:
        if self.done:
            return {"ok": self.nodes_ok, "ko": self.nodes_ko}
        return {"ok": [], "ko": [], "processing": [node for part in self.parts for node in part.nodes]}

    def logs(self, cluster: str | None = None) -> str | None:
        """The lines since the last call; ``None`` where there cannot be any."""
        if self.error is not None:
            return None
        chosen = [part for part in self.parts if part.cluster == cluster]
        if chosen and not self.over:
            return None if chosen[0].done else chosen[0].output.pop()
        text = self.output.pop()
        if not self.over:
            text += "".join(part.output.pop() for part in self.parts if not part.done)
        return text

    def status(self) -> Json:
        """What it does now."""
        if self.over:
            return {}
        now = self.now()
        return {part.cluster: part.status(now) for part in self.parts}

    def set_state(self, nodes: t.Iterable[str], state: str, macro: str = "", micro: str = "", error: str = "") -> None:
        """What is told of nodes; what is empty stays."""
        with self.lock:
            for node in nodes:
                known = self.states.setdefault(node, {})
                new = {"macro": macro, "micro": micro, "state": state, "error": error}
                known |= {key: value for key, value in new.items() if value}

    def set_ok(self, nodes: t.Iterable[str], state: str = "ok") -> None:
        """Nodes that are through."""
        with self.lock:
            for node in nodes:
                known = self.states.setdefault(node, {})
                known |= {key: None for key in ("macro", "micro", "error") if known.get(key)}
                known["state"] = state

    def finish(self) -> None:
        """All parts have ended."""
        with self.lock:
            self._ended = self.now()
            self.nodes_ok = ordered(node for part in self.parts for node in part.ok)
            self.nodes_ko = ordered(node for part in self.parts for node in part.ko)
            for part in self.parts:
                self.output.take(part.output)
            self.done = True

    def fail(self, error: KadeployError) -> None:
        """It has failed as a whole."""
        with self.lock:
            self.error = error
