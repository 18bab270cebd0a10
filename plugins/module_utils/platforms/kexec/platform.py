# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``kexec``: machines whose own Linux starts the node, from memory. PRIVATE to the collection.

No disk is written: a machine has forgotten its node with the next reboot, and runs its own Linux again. So the way to
another image, and the way back, lead through that; and a node that nobody confirms goes there alone (init.sh of the
images). What runs is asked of the machine.
"""

from __future__ import annotations

import json
import os
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ...describe.document import own_address
from ...describe.options import Option
from ...errors import ComposeError, InputError
from ...model.boot import Seen, Target
from ...model.deployment import Deployment, Node
from ...model.image import ARCHITECTURES, Image
from ...model.result import NodeResult
from ...nodes.endpoint import Endpoint
from ...nodes.keys import Keys
from ...process import need
from ...progress import Progress, listed
from ..base import Lost, Tell, per_node
from ..forgetful import ForgetfulPlatform
from ..ledger import Ledger
from . import overlay, scripts
from .answer import Answer
from .faults import fault_of
from .machine import COMMAND, Machine, login_of

#: Machines that are worked on at the same time.
PARALLEL = 32
#: Builders whose images look for their root file system on a disk only.
_NEED_A_DISK = ("guix", "nixos", "nxc")
#: Memory that an image takes before it is started: as it was staged, as it is loaded, and as it is when it starts.
_COPIES, _SPARE = 3, 64 << 20
#: Seconds between two questions whether a node that is waited for has gone back.
LOOK = 10.0
_PATH, _A_PATH = "[/~].*", "an absolute path, or one that begins with ~"


class Kexec(ForgetfulPlatform):
    """Nodes on machines that have a Linux of their own."""

    name = "kexec"
    formats = ("root", "kernel", "initrd")
    options = {
        "host": Option(
            str,
            None,
            "Name or address by which SSH reaches the machine. By default the node's address.",
            pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
            expected="a host name or an IPv4 address",
        ),
        "port": Option(int, 22, "Port of the SSH server of the machine's own Linux.", least=1),
        "user": Option(
            str, "root", "User of the machine's own Linux.", pattern="[A-Za-z_][A-Za-z0-9_.-]*", expected="a user name"
        ),
        "key": Option(
            str,
            None,
            "Private key of that user. By default what C(ssh) takes by itself.",
            pattern=_PATH,
            expected=_A_PATH,
        ),
        "known_hosts": Option(
            str,
            None,
            "File that has the host key of the machine. By default what C(ssh) takes by itself.",
            pattern=_PATH,
            expected=_A_PATH,
        ),
        "become": Option(bool, True, "Whether a user other than root becomes root, with C(sudo) without a password."),
        "ssh_port": Option(int, 22, "Port of O(host) that leads to the SSH server of the node.", least=1),
        "confirm_within": Option(
            int,
            900,
            "Seconds after its start in which a node must be verified and settled. Then the machine goes back to its "
            "own Linux by itself.",
            least=60,
        ),
        "reboot_timeout": Option(int, 600, "Seconds for the machine to boot its own Linux.", least=1),
    }
    host_variables = {
        "host": "ansible_host",
        "port": "ansible_port",
        "user": "ansible_user",
        "key": "ansible_ssh_private_key_file",
    }

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        super().__init__(deployment, progress)
        self._keys = Keys(self.state)
        self._machines: dict[str, Machine] = {}
        #: What each machine said when it was asked last; ``None``: nothing.
        self._answers: dict[str, Answer | None] = {}
        self._looked = 0.0
        self._nodes = {node.name: node for node in deployment.nodes}

    # -- machines ------------------------------------------------------------------------------------------------

    def _options(self, name: str) -> dict[str, t.Any]:
        """Of a node, or of one that the deployment does not have any more."""
        if name in self._nodes:
            node = self._nodes[name]
            options, address = {key: self.option(node, key) for key in self.options}, node.address
        else:
            told = Ledger(self.state, name).readable()[0]
            if told is None:
                raise ComposeError("nothing is known of its machine", node=name)
            options, address = dict(told.options), own_address(told.document)
        return {**options, "host": options["host"] or address}

    def _machine(self, name: str) -> Machine:
        if name not in self._machines:
            self._machines[name] = Machine(name, login_of(self._options(name)), self._keys)
        return self._machines[name]

    def _ask(self, names: t.Collection[str]) -> dict[str, str]:
        """Ask all of these machines; those that do not work out, and why."""
        wrong = {}

        def ask(name: str) -> None:
            try:
                self._answers[name] = self._machine(name).ask()
            except ComposeError as error:
                self._answers[name] = None
                wrong[name] = error.message

        if names:
            waiting = self.progress.waiting(lambda: f"asking the machines of {listed(sorted(names))}")
            with waiting, ThreadPoolExecutor(max_workers=min(PARALLEL, len(names))) as pool:
                list(pool.map(ask, names))
        return wrong

    def _owner(self, name: str) -> str:
        return f"{self.deployment.name}/{name}"

    def _is_ours(self, name: str, answer: Answer | None) -> bool:
        return answer is not None and answer.node is not None and answer.node.owner == self._owner(name)

    # -- before anything is touched ------------------------------------------------------------------------------

    def check(self, nodes: t.Sequence[Node]) -> None:
        super().check(nodes)
        need("ssh")
        if self.deployment.builder in _NEED_A_DISK:
            raise InputError(f"images of the builder {self.deployment.builder!r} cannot be started from memory yet")
        for node in nodes:
            if node.address is None:
                raise InputError(f"node {node.name!r} has no address on {self.deployment.network}")
            for option in ("key", "known_hosts"):
                path = self.option(node, option)
                if path is not None and not os.access(os.path.expanduser(path), os.R_OK):
                    raise InputError(f"node {node.name!r}: {option} is {path}, which is no file that can be read here")
        machines: dict[tuple[str, int], str] = {}
        for name in self._nodes:
            options = self._options(name)
            machine = (options["host"], options["port"])
            if machines.setdefault(machine, name) != name:
                raise InputError(f"nodes {machines[machine]!r} and {name!r} have the same machine, {options['host']}")
        wrong = self._ask([node.name for node in nodes])
        for node in nodes:
            if node.name not in wrong and not self._is_ours(node.name, self._answers[node.name]):
                fault = self._fault(node)
                if fault:
                    wrong[node.name] = fault
        if wrong:
            raise InputError("\n".join(f"{name}: {wrong[name]}" for name in sorted(wrong)))

    def _fault(self, node: Node) -> str:
        answer = self._answers[node.name]
        if answer is not None:
            return fault_of(answer, str(node.address))
        if Ledger(self.state, node.name).exists():
            return ""  # it may run, and be silent: the engine knows what to do then
        return (
            f"its machine does not answer: {self._machine(node.name).why}. known_hosts must have its host key already: "
            "no machine is trusted on first use"
        )

    # -- what nodes are told -------------------------------------------------------------------------------------

    def interfaces(self, node: Node) -> list[dict[str, t.Any]]:
        """The network that the machine has, whatever runs there."""
        if node.name not in self._answers:
            self._ask(list(self._nodes))
        answer, told = self._answers[node.name], Ledger(self.state, node.name).readable()[0]
        if answer is not None:
            return answer.interfaces
        if told is not None:
            return t.cast("list[dict[str, t.Any]]", told.document["interfaces"])
        raise ComposeError(f"its machine does not answer: {self._machine(node.name).why}", node=node.name)

    def endpoint(self, node: Node) -> Endpoint:
        options = self._options(node.name)
        return Endpoint(options["host"], options["ssh_port"], forwarded=options["host"] != node.address)

    # -- what runs -----------------------------------------------------------------------------------------------

    def ask(self, names: t.Collection[str]) -> dict[str, Seen]:
        for name, why in self._ask(names).items():
            self.progress.say(f"{name}: {why}")
        seen = {}
        for name in names:
            answer = self._answers[name]
            if answer is None:
                seen[name] = Seen("silent")
            elif answer.node is not None and self._is_ours(name, answer):
                seen[name] = Seen("running", answer.node.identity)
        return seen

    def observe(self, nodes: t.Sequence[Node]) -> dict[str, Seen]:
        seen = super().observe(nodes)
        for name, each in seen.items():
            answer = self._answers[name]
            if each.state == "running" and answer is not None and answer.node is not None:
                # A run that was killed may have left it unconfirmed: then it does not stay.
                seen[name] = replace(each, leftovers=each.leftovers or not answer.node.confirmed)
        return seen

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, Lost]:
        """Those that went back. Machines are asked now and then only: most of the time they are busy with booting."""
        if time.monotonic() - self._looked < LOOK:
            return {}
        self._ask([node.name for node in nodes])
        self._looked = time.monotonic()
        answers = {node.name: self._answers[node.name] for node in nodes}
        why = "its machine runs its own Linux again: it was shut down, or ended by itself"
        return {
            name: Lost(why, certain=True) for name, answer in answers.items() if answer is not None and not answer.node
        }

    # -- images --------------------------------------------------------------------------------------------------

    def stage(self, targets: t.Sequence[Target]) -> bool:
        """Copy images to machines that run their own Linux; the others get theirs when they have left their node."""
        images = {target.node.name: target.image for target in targets}
        for image in images.values():
            if image.volumes:
                volumes = ", ".join(image.volumes)
                raise InputError(f"role {image.role!r} has data volumes ({volumes}), and platform kexec writes no disk")

        def act(name: str) -> NodeResult:
            answer = self._machine(name).ask()
            if answer is None or answer.node is not None:
                return NodeResult()
            return NodeResult(changed=self._bring(name, images[name], answer))

        outcomes = self._per_node("stage", images, act, lambda name, outcome: None)
        _require_all(outcomes)
        return any(outcome.changed for outcome in outcomes.values())

    def _bring(self, name: str, image: Image, answer: Answer) -> bool:
        """Copy an image to the memory of a machine; whether it was not there yet."""
        here = ARCHITECTURES.get(answer.architecture, answer.architecture)
        if image.architecture != here:
            raise ComposeError(f"image {image.identity} is for {image.architecture}, its machine is {here}", node=name)
        if image.identity in answer.staged:
            return False
        kernel, initrd, root = (image.path(format_) for format_ in ("kernel", "initrd", "root"))
        if os.path.getsize(root) > overlay.LARGEST:
            raise ComposeError(f"the root file system of {image.identity} has more than 4 GiB", node=name)
        length = overlay.length_with_root(initrd, root)
        needed = _COPIES * length + _SPARE
        if answer.available < needed:
            raise ComposeError(
                f"its machine has {answer.available >> 20} MiB of memory free, {needed >> 20} MiB are needed (3 times "
                "the image)",
                node=name,
            )
        self.progress.say(f"{name}: copying {image.identity}, {length >> 20} MiB")
        machine = self._machine(name)
        kernel_file, system = f"{image.identity}.kernel", f"{image.identity}.system"
        size = str(os.path.getsize(kernel))
        machine.do("copying the kernel", scripts.KEEP, kernel_file, size, content=overlay.content(kernel))
        machine.do("copying the system", scripts.KEEP, system, str(length), content=overlay.with_root(initrd, root))
        return True

    # -- nodes ---------------------------------------------------------------------------------------------------

    def boot(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        by_name = {target.node.name: target for target in targets}

        def act(name: str) -> NodeResult:
            self._leave(name, patient=True)
            self._start(by_name[name])
            return NodeResult(changed=True, message=f"boots {by_name[name].image.identity}")

        return self._per_node("switch", by_name, act, tell)

    def _start(self, target: Target) -> None:
        """Have the machine's own Linux start an image."""
        name, image = target.node.name, target.image
        machine = self._machine(name)
        answer = machine.ask()
        if answer is None or answer.node is not None:
            raise ComposeError(f"its machine's own Linux does not answer any more: {machine.why}", node=name)
        self._bring(name, image, answer)
        self.progress.say(f"{name}: starting {image.identity}")
        files = {
            "kexec/": b"",
            "kexec/deadline": b"%d\n" % self.option(target.node, "confirm_within"),
            "kexec/in/": b"",
            "kexec/in/owner": f"{self._owner(name)}\n".encode(),
            "kexec/in/node.json": json.dumps(target.document).encode(),
        }
        length = str(overlay.length_with_root(image.path("initrd"), image.path("root")))
        what = (image.identity, length, image.cmdline)
        content = [overlay.archive(files)]
        machine.do("starting the image with kexec", scripts.BOOT, *what, content=content, may_break=True)
        # Whoever asks for the node must not meet the Linux before it, which is shutting down.
        machine.wait(lambda now: now is None or now.boot != answer.boot, COMMAND, "leaving its machine's own Linux")

    def _leave(self, name: str, *, patient: bool) -> bool:
        """See to it that the machine runs its own Linux; whether a node had to end for that.

        :param patient: if nobody answers, wait for a machine that goes back by itself.
        """
        machine, options = self._machine(name), self._options(name)
        answer = machine.ask()
        seconds = options["reboot_timeout"]
        if answer is None:
            if not patient:
                raise ComposeError(f"its machine does not answer: {machine.why}", node=name)
            self.progress.say(f"{name}: does not answer; its machine goes back by itself unless the node is confirmed")
            seconds += options["confirm_within"]
        elif answer.node is None:
            return False
        elif not self._is_ours(name, answer):
            raise ComposeError(f"its machine runs another node, {answer.node.owner}", node=name)
        else:
            self.progress.say(f"{name}: back to its machine's own Linux")
            machine.do("rebooting", scripts.LEAVE, may_break=True)
        machine.wait(lambda now: now is not None and now.node is None, seconds, "booting its machine's own Linux")
        return True

    def release(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        return self._end(names, tell, patient=False)

    def stop(self, names: t.Sequence[str], tell: Tell) -> dict[str, NodeResult]:
        return self._end(names, tell, patient=True)

    def _end(self, names: t.Sequence[str], tell: Tell, *, patient: bool) -> dict[str, NodeResult]:
        def act(name: str) -> NodeResult:
            known = name in self._nodes or Ledger(self.state, name).readable()[0] is not None
            return NodeResult(changed=known and self._leave(name, patient=patient))

        return self._per_node("remove", names, act, tell)

    def commit(self, nodes: t.Sequence[Node], release: int) -> None:
        """Confirm the nodes: from now on they stay."""

        def act(name: str) -> NodeResult:
            machine = self._machine(name)
            if not self._is_ours(name, machine.ask()):
                raise ComposeError("cannot be confirmed: its machine went back, or does not answer", node=name)
            machine.do("confirming", scripts.CONFIRM, str(release))
            return NodeResult(changed=True)

        _require_all(self._per_node("confirm", [node.name for node in nodes], act, lambda name, outcome: None))
        super().commit(nodes, release)

    def _per_node(
        self, step: str, names: t.Iterable[str], act: t.Callable[[str], NodeResult], tell: Tell
    ) -> dict[str, NodeResult]:
        missing = set(names)

        def told(name: str, outcome: NodeResult) -> None:
            missing.discard(name)
            tell(name, outcome)

        with self.progress.waiting(lambda: f"{step}: waiting for {listed(sorted(missing))}"):
            return per_node(sorted(missing), act, told, step=step, parallel=PARALLEL)

    def console(self, node: Node, lines: int = 50) -> str:
        """Nobody sees it from here."""
        return ""

    def prune(self, keep: t.Collection[str]) -> None:
        """What was staged is gone with the Linux that it was staged in, or once it gets another image."""

    def teardown(self) -> None:
        path = os.path.join(self.state, "nodes")
        if os.path.isdir(path) and not os.listdir(path):
            os.rmdir(path)


def _require_all(outcomes: t.Mapping[str, NodeResult]) -> None:
    wrong = sorted(outcome.message for outcome in outcomes.values() if not outcome.ok)
    if wrong:
        raise ComposeError("\n".join(wrong))
