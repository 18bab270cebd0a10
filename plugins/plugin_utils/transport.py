# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one fleet module on the host that builds, and shows its progress meanwhile. PRIVATE to the collection.

What the module needs goes there as a :class:`Parcel` and not as arguments, and none of it comes back in the result.
"""

from __future__ import annotations

import base64
import binascii
import copy
import os
import shlex
import threading
import typing as t
import uuid
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.immutable.compose.plugins.module_utils.builders.revision import git_revision, source_at
from ansible_collections.immutable.compose.plugins.module_utils.deploy.parcel import Parcel, described
from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run
from ansible_collections.immutable.compose.plugins.module_utils.describe.values import Unchecked
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Beside, Deployment
from ansible_collections.immutable.compose.plugins.module_utils.progress import BECAME, END, SEEN
from ansible_collections.immutable.compose.plugins.module_utils.shipped import PACKED, Packed, Place, pack
from ansible_collections.immutable.compose.plugins.module_utils.temporary import TemporaryDirectory
from ansible_collections.immutable.compose.plugins.plugin_utils.terminal import Screen, screen

display = Display()

_COLLECTION = Path(__file__).resolve().parents[2]
NIX, CODE = _COLLECTION / "nix", _COLLECTION / "plugins/module_utils"

#: Seconds between two looks at a progress file of this host.
POLL = 0.1
#: Seconds that a look at one of another host waits for news, and between two looks with news.
REMOTE_POLL = 5
REMOTE_PAUSE = 0.5
#: Days after which what was sent and is not used any more is removed there.
KEPT = 7
#: Where another host has a step's parcel until the module has taken it: in memory, where there is such a place.
_PARCELS = "p=/dev/shm; [ -d $p ] && [ -w $p ] || p=/tmp"
#: Where another host has progress files.
_PROGRESS = "/tmp"


@dataclass(frozen=True)
class _Content:
    """What the module needs besides its parcel, all of it packed."""

    code: Packed
    support: Packed
    deployment: Packed
    composition: Packed | None
    revision: str | None

    def all(self) -> list[Packed]:
        return [part for part in (self.code, self.support, self.deployment, self.composition) if part is not None]


class Transport:
    """To the host of one task.

    :param action: the running action plugin, whose module has the same name.
    :param whose: stands before each line of progress, where there are several deployments.
    """

    def __init__(self, action: ActionBase, task_vars: dict[str, t.Any], whose: str = "") -> None:
        self._action = action
        self._whose = whose
        self._task_vars = task_vars
        connection = action._connection
        self._local = connection.transport == "local"
        self._run = Run.of_worker()
        #: The module shares files and memory with this process.
        self._near = self._local and connection.become is None and hasattr(os, "memfd_create")

    def run(
        self,
        deployment: Deployment,
        batch: t.Sequence[str],
        args: Unchecked,
        *,
        absent: t.Sequence[str] = (),
        beside: t.Sequence[Beside] = (),
        carried: t.Mapping[str, tuple[str, ...]] | None = None,
        problem: str = "",
        hooked: t.Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """The module's result for one deployment.

        :param deployment: with secrets and credentials as far as the step needs them.
        :param absent: members of the deployment whose hosts the inventory of the run lacks.
        :param beside: other deployments on the same host, which the run has planned before.
        :param carried: other deployment → nodes on machines of this one, which the run starts again afterwards.
        :param problem: why the run has given up the deployment.
        :param hooked: what the hook came to that an earlier step has asked for.
        :param args: arguments that the task gives to the module.
        :raises ComposeError: what the module needs cannot be brought to its host.
        """
        acted_on = [node for node in deployment.nodes if node.name in batch]
        with self._progress_file() as progress:
            parcel = Parcel(
                deployment,
                tuple(batch),
                Place(str(NIX)),
                self._run,
                tuple(absent),
                tuple(beside),
                carried or {},
                problem,
                hooked or {},
                progress_file=progress,
            )
            with self._delivered(parcel) as path:
                return self._result({**args, "parcel": path}, progress, screen(self._run.pid, acted_on))

    def follow(self, args: Unchecked) -> dict[str, object]:
        """The result of a module that needs no parcel, only its run and somebody who shows its progress."""
        with self._progress_file() as progress:
            told = {"progress_file": progress, "run": asdict(self._run)}
            return self._result({**args, **told}, progress, Screen())

    @contextmanager
    def _progress_file(self) -> t.Iterator[str]:
        """Where the module tells how it fares."""
        name = f"compose-progress-{uuid.uuid4().hex}"
        if self._near:
            try:
                own = TemporaryDirectory("progress")
            except OSError as error:
                raise ComposeError(f"no temporary directory can be made: {error}") from None
            with own as directory:
                yield os.path.join(directory, name)
        else:
            yield os.path.join(_PROGRESS, name)

    def _result(self, args: Unchecked, progress: str, on: Screen) -> dict[str, object]:
        result = self._follow(args, progress, on)
        result.pop("invocation", None)  # ansible-core 2.19 and 2.20: all arguments, once more
        if not self._action._task.diff:
            result.pop("diff", None)  # nobody is going to see it
        return result

    # -- there ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _delivered(self, parcel: Parcel) -> t.Iterator[str]:
        """Path at which the module finds its parcel."""
        if self._near:
            with _in_memory(parcel.to_text(Place(str(CODE)))) as path:
                yield path
        elif self._local:
            yield self._put(parcel.to_text(Place(str(CODE))), None, [])
        else:
            content = _content(parcel.deployment)
            shipped = os.path.join(parcel.deployment.state, "shipped")

            def place(packed: Packed) -> Place:
                return Place(os.path.join(shipped, packed.digest, PACKED), packed.name)

            parcel = replace(
                parcel,
                support=place(content.support),
                composition=place(content.composition) if content.composition else None,
                revision=content.revision,
            )
            text = parcel.to_text(place(content.code), place(content.deployment).path)
            yield self._put(text, shipped, content.all())

    def _put(self, parcel: str, shipped: str | None, parts: t.Sequence[Packed]) -> str:
        """Bring a parcel to the host, after all parts that it does not have yet."""
        name = f"compose-parcel-{uuid.uuid4().hex}"
        lines = ["umask 077", _PARCELS, "find $p -maxdepth 1 -name 'compose-parcel-*' -mmin +5 -exec rm -f {} +"]
        lines.append(f"find {_PROGRESS} -maxdepth 1 -name 'compose-progress-*' -mtime +0 -exec rm -f {{}} +")
        if shipped is not None:
            directory = shlex.quote(shipped)
            lines += [
                f"mkdir -p {directory} && cd {directory} || exit 1",
                f"for d in {' '.join(part.digest for part in parts)}; do",
                f"  if [ -e $d/{PACKED} ]; then touch $d; else echo missing $d; m=1; fi",
                "done",
                f"find . -mindepth 1 -maxdepth 1 -mtime +{KEPT} -exec rm -rf {{}} +",
                "[ -z $m ] || exit 0",
            ]
        lines.append(f"cat >$p/{name} && echo parcel $p/{name}")
        told = self._command("\n".join(lines), parcel.encode(), "what the step needs")
        for part in parts:
            if f"missing {part.digest}" in told:
                self._ship(part, t.cast(str, shipped))
        for line in told.splitlines():
            word, dummy, path = line.strip().partition(" ")
            if word == "parcel":
                return path
        return self._put(parcel, shipped, parts)

    def _ship(self, part: Packed, shipped: str) -> None:
        if part.name:
            display.display(f"  compose | sending {part.name} ({len(part.content) / 1024:.0f} KiB)")
        target, new = (shlex.quote(os.path.join(shipped, part.digest, name)) for name in (PACKED, f"{PACKED}.new"))
        # A connection that breaks is the end of a file, too.
        arrived = f"[ $(wc -c <{new}) = {len(part.content)} ] && sync {new} && mv {new} {target}"
        folder = shlex.quote(os.path.join(shipped, part.digest))
        self._command(f"umask 077; mkdir -p {folder} && cat >{new} && {arrived}", part.content, part.name)

    def _command(self, command: str, data: bytes, what: str) -> str:
        done = self._action._low_level_execute_command(command, in_data=data)
        if done["rc"] != 0:
            words = (done["stderr"] or done["stdout"]).strip()
            raise ComposeError(f"sending {what} to the host of the task failed (exit code {done['rc']}): {words}")
        return str(done["stdout"])

    # -- meanwhile -----------------------------------------------------------------------------------------------

    def _follow(self, args: Unchecked, progress: str, on: Screen) -> dict[str, object]:
        outcome: dict[str, object] = {}

        def work() -> None:
            try:
                outcome.update(
                    self._action._execute_module(
                        module_name=self._action._task.action, module_args=dict(args), task_vars=self._task_vars
                    )
                )
            except Exception as error:  # shown as the task's own failure, from the main thread
                outcome.update(failed=True, msg=f"{type(error).__name__}: {error}")

        worker = threading.Thread(target=work)
        worker.start()
        follower = Follower(_Here(progress) if self._near else _There(self._action, progress), on, self._whose)
        try:
            # A module elsewhere takes the run for dead when nobody looks any more: nobody must, once it is.
            while worker.is_alive() and not follower.ended and self._run.alive is not False:
                worker.join(POLL if self._near else REMOTE_PAUSE)
                follower.show()
            worker.join()
            follower.show(last=True)
        finally:
            on.end()
            follower.file.remove()
        return outcome


class ProgressFile(t.Protocol):
    """A file that lines are appended to."""

    def read(self, offset: int, *, wait: bool) -> bytes:
        """What it has from there on. :param wait: for a while, if it has nothing."""

    def remove(self) -> None:
        """Remove it, if it is there."""


class Follower:
    """Shows the lines of a progress file, each once it is complete.

    :param on: what they are shown on.
    :param whose: stands before each line.
    """

    def __init__(self, file: ProgressFile, on: Screen, whose: str = "") -> None:
        self.file = file
        self._on = on
        self._whose = whose
        #: The module has nothing more to say.
        self.ended = False
        self._offset = 0

    def show(self, *, last: bool = False) -> None:
        """Show what is new.

        :param last: nothing more can come.
        """
        if self.ended:
            return
        text = self.file.read(self._offset, wait=not last)
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.decode("utf-8", "replace").split("\n")[:-1]:
            if line == END:
                self.ended = True
            elif line.startswith(BECAME):
                node, _space, state = line.removeprefix(BECAME).partition(" ")
                self._on.became(node, state)
            else:
                self._on.line(f"  compose | {self._whose}{line}")


class _Here:
    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, offset: int, *, wait: bool) -> bytes:
        try:
            with open(self._path, "rb") as stream:
                stream.seek(offset)
                return stream.read()
        except FileNotFoundError:
            return b""

    def remove(self) -> None:
        if os.path.exists(self._path):
            os.unlink(self._path)


class _There:
    """Read by commands of the action's connection; a copy, for the module's own commands use it at the same time."""

    def __init__(self, action: ActionBase, path: str) -> None:
        self._action = copy.copy(action)
        self._action._connection = copy.copy(action._connection)
        if action._connection.become is not None:
            self._action._connection.set_become_plugin(copy.copy(action._connection.become))
        self._path = path

    def read(self, offset: int, *, wait: bool) -> bytes:
        path = shlex.quote(self._path)
        looks = 2 * REMOTE_POLL if wait else 0
        # Terminals change line ends, and commands are cut anywhere: base64 arrives as it is, or not at all. How the
        # step ends is heard over the module's own connection.
        try:
            shown = self._action._low_level_execute_command(
                f": >{shlex.quote(self._path + SEEN)}; n=0;"
                f" while [ $n -lt {looks} ] && [ $({{ wc -c <{path} || echo 0; }} 2>/dev/null) -le {offset} ];"
                f" do sleep 0.5; n=$((n+1)); done; tail -c +{offset + 1} {path} 2>/dev/null | base64"
            )
            return base64.b64decode("".join(str(shown["stdout"]).split()), validate=True)
        except (AnsibleConnectionFailure, binascii.Error):
            return b""

    def remove(self) -> None:
        command = f"rm -f {shlex.quote(self._path)} {shlex.quote(self._path + SEEN)}"
        with suppress(AnsibleConnectionFailure):  # the next run removes it
            self._action._low_level_execute_command(command)


@contextmanager
def _in_memory(text: str) -> t.Iterator[str]:
    """Path of a file that only the memory of this process has, for its children."""
    handle = os.memfd_create("compose-parcel")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        yield f"/proc/{os.getpid()}/fd/{handle}"


def _content(deployment: Deployment) -> _Content:
    code, support, itself = pack(str(CODE)), pack(str(NIX)), Packed("", described(deployment).encode())
    if deployment.broken:  # without its composition it gets only steps that need none
        return _Content(code, support, itself, None, None)
    source = source_at(deployment.composition, deployment.revision)
    return _Content(
        code=code,
        support=support,
        deployment=itself,
        composition=pack(source.path),
        revision=source.revision or git_revision(source.path, display.warning),
    )
