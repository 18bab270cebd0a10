# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulated Proxmox VE answered in each step of a deployment's life; again, with one answer harmed."""

from __future__ import annotations

import random
import threading
import time
import typing as t
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import (
    agent,
    client,
    consoles,
    ha,
    tasks,
    terminal,
    vm,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox

from ..unit.model.samples import document as told
from ..unit.proxmox.conftest import STORAGES, World
from ..unit.proxmox.conftest import start as start_server
from ..unit.proxmox.wire import QuickImages, Wire, images
from .harm import Json, harm
from .services import Clock

Options = t.Mapping[str, t.Any]
DATA = {"data": Volume("/data", 16)}

#: By name: options of the nodes.
LIVES: t.Mapping[str, Options] = {
    "import": {"storage": "local", "staging": "import", "snapshot": "vm"},
    "clone": {"storage": "ceph", "staging": "clone", "memory": 128},
    "adopted": {"storage": "local", "staging": "import", "vmid": 300, "adopt": True},
}


@dataclass
class Tape:
    """The answers in one step, in the order in which each was asked for."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[tuple[str, str], list[Json]] = field(default_factory=dict)

    def keep(self, verb: str, path: str, answer: Json) -> None:
        self.calls.append((verb, path))
        self.answers.setdefault((verb, path), []).append(answer)


@dataclass
class Replay:
    """Answers once more.

    :param number: of the answer that comes to harm.
    """

    tape: Tape
    number: int
    chance: random.Random
    values: t.Sequence[Json]
    harmed: int = 0
    _asked: int = 0
    _given: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, verb: str, path: str, _params: object) -> Json:
        """In place of what sends a call over the network."""
        with self._lock:
            key = (verb, path)
            known = self.tape.answers.get(key)
            if known is None:
                raise client.ProxmoxError(verb, path, 500, "nobody has asked for that")
            index = self._given.get(key, 0)
            self._given[key] = index + 1
            hit = self._asked == self.number
            self._asked += 1
            answer = known[min(index, len(known) - 1)]
            if not hit:
                return answer
            self.harmed += 1
            return harm(answer, self.chance, self.values)


def steps(platform: Callable[[], Proxmox], world: World) -> t.Iterator[tuple[str, Callable[[], object]]]:
    """A life, step by step: each as a process of its own, which knows nothing."""

    def tell(_name: str, _outcome: NodeResult) -> None:
        pass

    def targets(identity: str) -> t.Any:
        return world.targets(platform(), identity, f"d-{identity}", **DATA)

    def asked() -> object:
        there = platform()
        nodes = there.deployment.nodes
        found: list[object] = []
        for node in nodes:
            with suppress(ComposeError):
                found += [there.interfaces(node), there.endpoint(node)]
        return [*found, there.lost(nodes), there.volumes([node.name for node in nodes]), there.shares()]

    for identity, release in (("one", 1), ("two", 2)):
        yield f"check {identity}", lambda: refuse(platform().check(platform().deployment.nodes))
        yield f"observe {identity}", lambda: platform().observe(platform().deployment.nodes)
        yield f"stage {identity}", lambda identity=identity: platform().stage(targets(identity))  # type: ignore[misc]
        yield f"switch {identity}", lambda identity=identity: platform().switch(targets(identity), tell)  # type: ignore[misc]
        yield f"ask {identity}", asked
        if release == 1:
            yield "commit", lambda: platform().commit(platform().deployment.nodes, 1)
            yield "prune", lambda: platform().prune(["one"])
    yield "revert", lambda: platform().revert(platform().deployment.nodes, tell)
    yield (
        "refresh",
        lambda: platform().refresh(platform().deployment.nodes[0], told(platform().deployment.nodes[0]), "new"),
    )
    yield "remove", lambda: platform().remove([node.name for node in platform().deployment.nodes], data=True, tell=tell)
    yield "teardown", lambda: platform().teardown()


@contextmanager
def without_network(call: Callable[[str, str, t.Any], Json], clock: object) -> t.Iterator[None]:
    """Calls go elsewhere, and no console is listened to.

    :param clock: in place of the module :mod:`time`.
    """

    def once(_client: client.Client, verb: str, path: str, params: t.Any) -> Json:
        return call(verb, path, params)

    def follow(_consoles: consoles.Consoles, vms: t.Mapping[str, vm.Vm]) -> None:
        for each in vms.values():
            with suppress(ComposeError), terminal.console(each):
                pass

    def no_connection(*_ignored: object) -> None:
        raise OSError("there is none")

    with ExitStack() as stack:
        for module in (agent, client, ha, tasks, vm):
            stack.enter_context(mock.patch.object(module, "time", clock))
        stack.enter_context(mock.patch.object(client.Client, "_once", once))
        stack.enter_context(mock.patch.object(consoles.Consoles, "follow", follow))
        stack.enter_context(mock.patch.object(terminal, "_connected", no_connection))
        yield


class Quick:
    """Time as it is, for those who do not sleep for long."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(min(seconds, 0.01))


class Life:
    """A deployment with such options, and what it was answered."""

    def __init__(self, directory: Path, options: Options) -> None:
        directory.mkdir()
        self._options = options
        server = start_server(directory / "state", 0, _server_options())
        (directory / "images").mkdir()
        self.world = World(server, directory, directory / "images")
        self.tapes: dict[str, Tape] = {}
        try:
            self._record()
        finally:
            server.shutdown()
            server.server_close()
            for vmid in server.cluster.files.find():
                server.cluster.guests.forget(vmid)

    def platform(self) -> Proxmox:
        return (
            self.world.platform("web1", "web2", **self._options)
            if "vmid" not in self._options
            else self.world.platform("web1", **self._options)
        )

    def _record(self) -> None:
        wire = Wire(self.world.server.cluster, "root@pam!sim")
        if "vmid" in self._options:
            self.world.call(
                "POST",
                "/nodes/pve1/qemu",
                vmid=300,
                name="old",
                scsi0="local:1,format=qcow2",
                net0="virtio=BC:24:11:00:00:01,bridge=vmbr0",
                boot="order=scsi0",
            )
            self.world.settle()

        def kept(verb: str, path: str, params: t.Any) -> Json:
            answer = wire.call(verb, path, params)
            tape.keep(verb, path, answer)
            return answer

        with mock.patch.object(images, "qemu_img", QuickImages()), without_network(kept, Quick()):
            for name, step in steps(self.platform, self.world):
                tape = self.tapes[name] = Tape()
                step()

    def again(self, name: str, number: int, chance: random.Random, values: t.Sequence[Json]) -> int:
        """A step once more, with one of its answers harmed; how many were."""
        replay = Replay(self.tapes[name], number, chance, values)
        with without_network(replay.call, Clock()):
            try:
                dict(steps(self.platform, self.world))[name]()
            except ComposeError as error:
                message = str(error)
                assert message.strip() and len(message) < 4000, message[:500]
        return replay.harmed


def _server_options() -> t.Any:
    from proxmox.options import Options as ServerOptions

    return ServerOptions(pace=0.005, resources_seconds=0, storages=STORAGES, guest={"shutdown": 1})
