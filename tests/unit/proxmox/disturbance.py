"""Runs of a deployment to which something happens, and what must hold afterwards whatever it was."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import typing as t
from pathlib import Path

from proxmox.vm_power import start_vm, stop_vm

from ansible_collections.immutable.compose.plugins.module_utils.deploy.plan import plan_node
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.plan import SWITCHED
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.record import short

from .conftest import World
from .wire import Wire

DATA = {"data": Volume("/data", 16)}


class Lab:
    """A deployment whose VMs run image ``one``, verified, with data; it can be had again as it was then."""

    def __init__(self, world: World, wire: Wire, *names: str, **options: t.Any) -> None:
        self.world, self.wire = world, wire
        self.names = names or ("web1",)
        self.options = options
        self.cluster = world.server.cluster
        #: Data volumes that the image ``two`` has.
        self.volumes_of_two = DATA
        #: Images that no verification lets pass.
        self.rejected: set[str] = set()
        #: Number of the call with which a step of the last run began.
        self.steps: dict[str, int] = {}
        self.converged: set[str] = set()
        self.empty = self.save()
        for identity in ("one", "two"):
            (world.images / identity).mkdir()
            _write_image(world.images / identity / "disk.qcow2", f"system {identity}", 8)
        assert self.run("one", "d1") == []
        self.vmids = self._vmids()
        for name in self.names:
            _write_image(self._file(self._drive(name, "data")), f"data of {name}", 16)
        self.written = True
        self.began = {name: self._guest(name) for name in self.names}
        self.check(["one"], running=True)
        self.begin_here()

    def begin_here(self) -> None:
        """What is there now is the beginning."""
        self._start = self.save()

    # -- runs ----------------------------------------------------------------------------------------------------

    def platform(self) -> Proxmox:
        """As a step has it that begins: it knows nothing."""
        return self.world.platform(*self.names, **self.options)

    def run(self, identity: str, document: str, keep: t.Collection[str] = ()) -> list[str]:
        """A run as the engine makes it, each step for itself; what went wrong.

        :param keep: images of former releases.
        """
        step = "plan"
        self.steps = {}
        try:
            targets, settled = self._plan(identity, document)
            step = "stage"
            self.steps[step] = len(self.wire.calls)
            if targets:
                self.platform().stage(targets)
        except ComposeError as error:
            return [_said(error, step)]
        self.steps["switch"] = len(self.wire.calls)
        if targets:
            try:
                outcomes = self.platform().switch(targets, self.world.tell)
                wrong = [outcome.message for outcome in outcomes.values() if not outcome.ok]
            except ComposeError as error:
                wrong = [_said(error, "switch")]
            # Stands for the verification.
            strange = [name for name in self.names if self._guest(name).get("serial") != short(identity)]
            wrong = wrong or [f"verify, {name}: another image" for name in strange]
            if identity in self.rejected:
                wrong = wrong or [f"verify, {name}: rejected" for name in self.names]
            if wrong:
                self.steps["revert"] = len(self.wire.calls)
                return [*wrong, *self._revert()]
        self.steps["commit"] = len(self.wire.calls)
        try:
            if not settled:
                platform = self.platform()
                platform.observe(platform.deployment.nodes)
                platform.commit(platform.deployment.nodes, 1)
                seen = platform.observe(platform.deployment.nodes).values()
                used = {word for one in seen for word in (one.identity, one.verified) if word}
                platform.prune({*used, *keep})
        except ComposeError as error:
            return [_said(error, "commit")]
        return []

    def _plan(self, identity: str, document: str) -> tuple[list[Target], bool]:
        """What is to be switched, and whether there is nothing to do at all."""
        platform = self.platform()
        nodes = platform.deployment.nodes
        refuse(platform.check(nodes))
        seen = platform.observe(nodes)
        volumes = self.volumes_of_two if identity == "two" else DATA
        targets = [
            target
            for target in self.world.targets(platform, identity, document, **volumes)
            if plan_node(target.node, identity, document, seen[target.node.name]).action in SWITCHED
        ]
        return targets, not targets and all(one.verified == identity and not one.leftovers for one in seen.values())

    def _revert(self) -> list[str]:
        try:
            platform = self.platform()
            platform.observe(platform.deployment.nodes)
            outcomes = platform.revert(platform.deployment.nodes, self.world.tell)
            return [f"NOT back: {outcome.message}" for outcome in outcomes.values() if not outcome.ok]
        except ComposeError as error:
            return [f"NOT back: {_said(error, 'revert')}"]

    # -- what is there -------------------------------------------------------------------------------------------

    def save(self) -> Path:
        """A copy of what is on the cluster."""
        self.settle()
        copy = self.world.directory / f"saved-{secrets.token_hex(4)}"
        for part in ("etc", "volumes", "run"):
            (self.cluster.state / part).mkdir(exist_ok=True)
            shutil.copytree(self.cluster.state / part, copy / part)
        return copy

    def restore(self, copy: Path | None = None) -> None:
        """Have the cluster as it was at the beginning, or when a copy was made; what comes to happen is over."""
        self.world.faults()
        self.wire.begin()
        self.settle()
        for part in ("etc", "volumes", "run"):
            shutil.rmtree(self.cluster.state / part)
            shutil.copytree((copy or self._start) / part, self.cluster.state / part)

    def settle(self) -> None:
        """Wait for all tasks."""
        for task in self.cluster.tasks.all():
            assert task.ended.wait(120), task

    def state(self) -> str:
        """What is there, in words that are the same for the same."""
        configs = {
            vmid: {**self.world.config(vmid), "vmgenid": "", "smbios1": "", "meta": ""} for vmid in self.world.vmids()
        }
        booted = {vmid: (self.cluster.guests.record(vmid) or {}).get("serial") for vmid in configs}
        return json.dumps([configs, booted, sorted(self.volumes()), sorted(self.uploads())], sort_keys=True)

    def told(self) -> str:
        """All progress until now."""
        return (self.world.directory / "progress").read_text()

    def volumes(self) -> set[str]:
        """All volumes of VMs."""
        return {volume for volume in self._content() if ":import/" not in volume}

    def uploads(self) -> set[str]:
        """All files that wait to be imported."""
        return {volume.rpartition("/")[2] for volume in self._content() if ":import/" in volume}

    def _content(self) -> set[str]:
        return {
            one["volid"]
            for node in self.cluster.options.nodes
            for storage in self.cluster.volumes.all()
            for one in self.wire.ask("GET", f"/nodes/{node}/storage/{storage}/content")
        }

    def _vmids(self) -> dict[str, int]:
        return {name: self.world.vmid(name) for name in self.names}

    def _config(self, name: str) -> dict[str, t.Any]:
        return self.world.config(self.vmids[name])

    def _drive(self, name: str, serial: str) -> str:
        """The volume of the drive with a serial number."""
        drives = [str(value) for value in self.world.config(self.world.vmid(name)).values()]
        found = [drive.partition(",")[0] for drive in drives if f"serial={serial}" in drive.split(",")]
        assert len(found) == 1, drives
        return found[0]

    def _file(self, volume: str) -> Path:
        for node in self.cluster.options.nodes:
            storage, name = self.cluster.volumes.find(node, volume)
            if storage.exists(name):
                return storage.file(name)
        raise AssertionError(f"{volume} does not exist")

    def holds(self, volume: str) -> str:
        """What was written into a volume, or into what it is a clone of: ``system one``."""
        file = self._file(volume)
        while True:
            content = file.read_bytes()
            found = re.search(rb"(system (one|two)|data of \w+|\"what\": \"d\d)", content)
            if found:
                return found[1].decode()
            offset, size = int.from_bytes(content[8:16], "big"), int.from_bytes(content[16:20], "big")
            assert offset, f"nothing in {volume}"
            file = (file.parent / content[offset : offset + size].decode()).resolve()

    def _guest(self, name: str) -> dict[str, t.Any]:
        """What runs; empty if nothing does."""
        tagged = [vmid for vmid in self.world.vmids() if f".{name}" in str(self.world.config(vmid).get("tags"))]
        return (self.cluster.guests.record(tagged[0]) if tagged else None) or {}

    # -- what must hold ------------------------------------------------------------------------------------------

    def check(self, images: t.Collection[str], *, running: bool = False) -> None:
        """Every VM has its data and a system disk with one of the images, and runs or can be started."""
        for name, vmid in self.vmids.items():
            config = self._config(name)
            node = self.cluster.files.find()[vmid]
            data = self._drive(name, "data")
            assert self._file(data).exists()
            if self.written:
                assert self.holds(data) == f"data of {name}"
            order = re.fullmatch(r"order=(\w+)", config["boot"])
            assert order, config
            volume = config[order[1]].partition(",")[0]
            assert self.holds(volume) in {f"system {identity}" for identity in images}, config
            assert self.holds(self._drive(name, "compose-node")).startswith('"what"')
            if running:
                assert self._guest(name).get("serial") in {short(identity) for identity in images}, config
            elif not self._guest(name):
                start_vm(self.cluster, node, vmid)
                assert self._guest(name)["serial"] in {short(identity) for identity in images}
                stop_vm(self.cluster, node, vmid, hard=True)

    def is_untouched(self) -> bool:
        """No VM was stopped since the beginning."""
        return all(self._guest(name) == self.began[name] for name in self.names)

    def converge(self, identity: str = "two", document: str = "d2", *, lost: t.Collection[str] = ()) -> bool:
        """The next run, to which nothing happens, ends well, and leaves what is needed and nothing else.

        It is left out where the same was there already; false then.

        :param lost: volumes that nobody could know of.
        """
        self.world.faults()
        self.wire.begin()
        quiet = all(task.ended.is_set() for task in self.cluster.tasks.all())
        key = f"{identity} {self.state()}" if quiet else ""
        if quiet and key in self.converged:
            return False
        wrong = self.run(identity, document)
        assert wrong == [], wrong
        self.vmids = self.vmids if self.written else self._vmids()
        self.check([identity], running=True)
        seen = self.world.observed(self.platform())
        assert seen == dict.fromkeys(self.names, Seen("running", identity, document, identity)), seen
        files = {f"compose.lab.{short(identity)}.qcow2"}
        assert self.uploads() <= files, self.uploads()
        named = self.world.named()
        assert self.volumes() <= named | set(lost), self.volumes() - named
        superfluous = [key for name in self.names for key in self._config(name) if key.startswith(("unused", "parent"))]
        assert not superfluous, superfluous
        # What Proxmox itself left when it was interrupted while it made a VM: no volumes, and only root may remove it.
        begun = {vmid for vmid in self.world.vmids() if self.world.config(vmid) == {"lock": "create"}}
        others = set(self.world.vmids()) - set(self.vmids.values()) - begun
        assert all(self.world.config(vmid).get("template") for vmid in others), others
        assert len(others) == (1 if self.options["staging"] == "clone" else 0), others
        assert self._plan(identity, document) == ([], True)
        if quiet:
            self.converged.add(key)
        return True


def _said(error: ComposeError, step: str) -> str:
    """As the module of the step tells it."""
    error.step = error.step or step
    return str(error)


def _write_image(path: Path, text: str, size: int) -> None:
    """An image of so many MiB in which a text is found."""
    raw = path.with_suffix(".source")
    raw.write_bytes(text.encode().ljust(512, b"\0"))
    with raw.open("r+b") as file:
        file.truncate(size << 20)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)], check=True)
    raw.unlink()
