# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``podman``: nodes are containers of Podman on this host; needs root. PRIVATE to the collection.

Containers are never started again: each start makes a new one of the image, with nothing of what the one before wrote.
"""

from __future__ import annotations

import os
import re
import resource
import threading
import time
import typing as t
from dataclasses import dataclass, field

from ...describe.options import Option, words_of
from ...errors import CommandError, InputError
from ...images.handover import is_nxc
from ...model.answer import answer, json_of
from ...model.boot import Boot, Target
from ...model.deployment import Deployment, Node
from ...model.document import Interface
from ...model.free import Json
from ...model.image import Image
from ...model.result import Problem
from ...nodes.endpoint import Endpoint
from ...process import Completed, need, run
from ...progress import Progress
from ..base import distinct_images
from ..hands import HasCable
from ..local import machine
from ..local.devices import DEVICES, unusable
from ..local.limits import CONTAINER, Needs
from ..local.netns import Namespace, inside
from ..local.platform import LocalPlatform, image_files
from ..problems import missing, noting

T = t.TypeVar("T")

#: Labels of containers.
DEPLOYMENT, NODE, IDENTITY, STATE = (
    f"immutable.compose.{what}" for what in ("deployment", "node", "identity", "state")
)

#: What systemd and the units of packages take for granted, besides Podman's own choice: setting the host name and
#: confining services (SYS_ADMIN; for ``PrivateDevices=`` MKNOD, for ``ProtectProc=`` SYS_PTRACE), priorities
#: (SYS_NICE), sessions (AUDIT_WRITE), the node's own network (NET_ADMIN), ping (NET_RAW).
CAPABILITIES = ("AUDIT_WRITE", "MKNOD", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_NICE", "SYS_PTRACE")

#: Podman's own process beside each container.
_KEEPER = Needs(tasks=1)

#: Seconds for a command that loads no image and stops no container.
_TIMEOUT = 120
#: Seconds to load an image.
_LOAD_TIMEOUT = 1800
#: Seconds, beyond those that a container has to stop, for Podman to kill it and clean up.
_STOP_EXTRA = 60
#: Seconds to wait for each time that something else still holds what is to be removed.
_BUSY = (0.5, 2, 5)


@dataclass(frozen=True)
class _Container:
    """A container in a list, as Podman spells it."""

    ignores_unknown: t.ClassVar[bool] = True

    Labels: dict[str, str] = field(default_factory=dict)  # pylint: disable=invalid-name
    Pid: int = 0  # pylint: disable=invalid-name


@dataclass(frozen=True)
class _Image:
    """An image in a list, as Podman spells it."""

    ignores_unknown: t.ClassVar[bool] = True

    Names: list[str] | None = None  # pylint: disable=invalid-name


class Podman(LocalPlatform, HasCable):
    """Containers that boot systemd, on a network of Podman's of their own."""

    name = "podman"
    formats = ("oci",)
    boots_kernel = False
    options = {
        "runtime": Option(
            str, "", "OCI runtime that runs the containers, such as V(crun) or V(runc). By default Podman's own choice."
        ),
        "devices": DEVICES,
    }

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self.namespace = Namespace(deployment.name, self.state)
        #: Name of the images' repository, and first part of the names of containers.
        self.shared = self.namespace.name
        self._lock = threading.Lock()

    # -- before anything is touched ------------------------------------------------------------------------------

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        self.require_root()
        need("podman")  # it is asked what runs
        problems = missing("ip", "nsenter", "nc")
        for node in nodes:
            runtime = self.option(node, "runtime")
            if runtime:
                with noting(problems, node.name, key="runtime"):
                    need(runtime)
        if "," in self.state:  # it would end the part of an option of Podman
            why = f"platform 'podman' cannot mount directories of {self.state}: there is a comma in it"
            problems.append(Problem(why, key="state_dir"))
        return problems + unusable(nodes, self.deployment.nodes) + super().check(nodes)

    def needs(self, node: Node) -> Needs:
        return CONTAINER + _KEEPER

    # -- addresses -----------------------------------------------------------------------------------------------

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        return self.namespace.interfaces(str(node.address), self.deployment.network)

    def endpoint(self, node: Node) -> Endpoint:
        return self.namespace.endpoint(str(node.address))

    # -- images --------------------------------------------------------------------------------------------------

    def reference(self, identity: str) -> str:
        """Name of an image in Podman's storage; it is of this deployment only, so that each forgets its own."""
        return f"localhost/{self.shared}:{re.sub('[^0-9A-Za-z_.-]', '_', identity)[:128]}"

    def stage(self, targets: t.Sequence[Target]) -> bool:
        images = distinct_images(targets)
        for image in images:
            if is_nxc(image):
                raise InputError(f"role {image.role!r}: platform 'podman' does not start images of NixOS Compose")
        image_files(images, self.formats)
        done = [self._load(image) for image in images]
        return any(done)

    def _load(self, image: Image) -> bool:
        """Make an image available under its :meth:`reference`; whether anything had to be done."""
        reference = self.reference(image.identity)
        with self._lock:
            if self._podman("image", "exists", reference, check=False).returncode == 0:
                return False
            with self.progress.waiting(lambda: f"stage {image.identity}: loading"):
                loaded = self._podman("load", "--quiet", "--input", image.path("oci"), timeout=_LOAD_TIMEOUT)
            own = loaded.stdout.split()[-1]  # "Loaded image: NAME"
            number = self._podman("image", "inspect", "--format={{.Id}}", own).stdout.strip()
            self._podman("untag", own, own)
            # Last: what a killed run left undone before is done again.
            self._podman("tag", number, reference)
            return True

    def prune(self, keep: t.Collection[str]) -> None:
        self._drop_images({self.reference(identity) for identity in {*keep, *self.used()}})

    def _drop_images(self, keep: set[str]) -> None:
        for reference in self._images():
            if reference not in keep:
                self._podman("rmi", "--ignore", reference)  # others remove names of the same image meanwhile

    def _images(self) -> list[str]:
        """References of the images of this deployment."""
        repository = self.reference("").rstrip(":")
        images = self._listed(_Image, "images", "--filter", f"reference={repository}")
        names = [reference for image in images for reference in image.Names or ()]
        return [reference for reference in names if reference.startswith(f"{repository}:")]

    # -- nodes ---------------------------------------------------------------------------------------------------

    def running(self, names: t.Iterable[str]) -> dict[str, int]:
        wanted = set(names)
        return {
            container.Labels[NODE]: container.Pid
            for container in self._containers("--filter", "status=running")
            if container.Labels.get(NODE) in wanted
        }

    def places(self) -> set[str]:
        containers = self._listed(_Container, "ps", "--all", "--filter", f"label={STATE}", "--filter", "status=running")
        return {container.Labels[STATE] for container in containers if STATE in container.Labels}

    def start(self, name: str, record: Boot) -> None:
        self._load(record.image)  # needed again after someone cleaned up Podman's storage
        self.namespace.create(self.deployment.network)
        self._podman(*self.command(name, record, self.namespace.attach(name)))

    def command(self, name: str, record: Boot, network: str) -> list[str]:
        """Arguments that start a container.

        :param network: path of the network namespace. Podman's own networks do not let go of the address of a container
            whose start was killed.
        """
        state = self.node_state(name)
        return [
            "run",
            "--detach",
            f"--name={self._container(name)}",
            f"--label={DEPLOYMENT}={self.shared}",
            f"--label={NODE}={name}",
            f"--label={IDENTITY}={record.image.identity}",
            f"--label={STATE}={self.state}",
            *([f"--runtime={record.options['runtime']}"] if record.options["runtime"] else []),
            "--systemd=always",
            *(f"--device={os.path.realpath(device)}:{device}" for device in words_of(record.options, "devices")),
            f"--cap-add={','.join(CAPABILITIES)}",
            "--security-opt=label=disable",  # the directories below are not labelled for containers
            *_limits(),
            f"--hostname={name}",
            f"--network=ns:{network}",
            "--dns=none",  # nodes know each other by /etc/hosts
            "--pull=never",
            "--tty",  # else systemd has no console to write to
            "--log-driver=k8s-file",
            f"--log-opt=path={state.console}",
            f"--log-opt=max-size={machine.LONGEST}b",
            f"--mount=type=bind,source={state.document_directory},destination=/run/compose/in,ro=true",
            *(
                f"--mount=type=bind,source={source},destination={target}"
                for source, target in state.mounts(record.image.volumes)
            ),
            self.reference(record.image.identity),
        ]

    def halt(self, name: str, pid: int, seconds: int, step: str) -> None:
        self._podman("stop", f"--time={seconds}", self._container(name), timeout=seconds + _STOP_EXTRA)

    def cut_power(self, name: str, pid: int) -> None:
        self._podman("kill", self._container(name))

    def plug(self, node: Node, *, plugged: bool) -> None:
        self.namespace.plug(self.namespace.path_of(node.name), plugged=plugged)

    def way_around(self, node: Node) -> Endpoint:
        return inside(self.namespace.path_of(node.name))

    def after_stop(self, name: str) -> None:
        # One that a killed run was stopping still has its time.
        remove = ("rm", "--force", "--ignore", f"--time={self.stop_deadline}", self._container(name))
        for patience in (*_BUSY, 0):
            try:
                self._podman(*remove, timeout=self.stop_deadline + _STOP_EXTRA)
                break
            except CommandError as error:
                # A process that was started meanwhile has a copy of the container's mounts, for a moment.
                if not patience or "device or resource busy" not in error.output:
                    raise
                time.sleep(patience)
        self.namespace.detach(name)

    def shares(self) -> list[str]:
        containers = [f"container {container.Labels.get(NODE)}" for container in self._containers()]
        return [*containers, *(f"image {reference}" for reference in self._images()), *self.namespace.there()]

    def teardown(self) -> None:
        super().teardown()
        for container in self._containers():  # of nodes whose records are lost
            self.after_stop(container.Labels.get(NODE, ""))
        self._drop_images(set())
        self.namespace.remove()

    def _container(self, name: str) -> str:
        return f"{self.shared}-{name}"

    def _containers(self, *options: str) -> list[_Container]:
        return self._listed(_Container, "ps", "--all", "--filter", f"label={DEPLOYMENT}={self.shared}", *options)

    def _listed(self, type_: type[T], *command: str) -> list[T]:
        told = json_of(self._podman(*command, "--format=json").stdout, f"podman {command[0]}")
        return [answer(type_, entry, f"podman {command[0]}") for entry in answer(list[Json], told or [], "podman")]

    def _podman(self, *arguments: str, timeout: float = _TIMEOUT, check: bool = True) -> Completed:
        return run(["podman", *arguments], timeout=timeout, check=check)


def _limits() -> list[str]:
    """Options that give a container the limits of this process: Podman's own may be higher than it may set."""
    with open("/proc/sys/kernel/pid_max", encoding="ascii") as stream:
        processes = int(stream.read())
    soft, hard = (
        processes if limit == resource.RLIM_INFINITY else min(limit, processes)
        for limit in resource.getrlimit(resource.RLIMIT_NPROC)
    )
    files = "{}:{}".format(*resource.getrlimit(resource.RLIMIT_NOFILE))
    return [f"--ulimit=nofile={files}", f"--ulimit=nproc={soft}:{hard}"]
