# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment of containers that boot in an instant, under the steps that the modules take: lives in seconds."""

from __future__ import annotations

import os
import shutil
import signal
import traceback
import typing as t
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.deploy.parcel import Parcel
from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run
from ansible_collections.immutable.compose.plugins.module_utils.deploy.step import take
from ansible_collections.immutable.compose.plugins.module_utils.files import replace_link
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.nodes import refresh
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.shipped import Place

from ..contract.platforms.nspawn import Containers
from ..contract.site import ILL, Answers, Maker, Site
from .picture import Picture, differences
from .picture import take as picture_of
from .remains import Remains
from .steps import NAMES, STEPS, Step
from .tape import Tape, save

#: Version of a step → identity of its image.
_IMAGES = {1: "v1", 2: "v2", 3: ILL}


@dataclass(frozen=True)
class Ended:
    """How a step of a life ended."""

    #: As that of ``ansible-playbook``; negative if it was killed.
    code: int
    #: Every failure in its words.
    said: str


class Life:
    """On the file system ``disk`` in a directory.

    :ivar at: the step that it is at the end of; empty before the first, ``None`` if nobody knows.
    """

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.disk = directory / "disk"
        name = directory.parent.name  # of this process of pytest: there are others
        self.state = self.disk / "state" / name
        self.state.parent.mkdir()
        self.site = Site(
            Containers(directory, directory / "images", patch),
            Deployment(name, name, "maker", "nspawn", (), network="10.87.0.0/24", state=str(self.state)),
            data=1,
        )
        self.tape = directory / "tape"
        self.remains = Remains(self.state, self.state, "web")
        self.at: str | None = ""
        self._said = directory / "said"
        self._undisturbed: dict[str, Picture] = {}
        #: Step → how many deeds it takes.
        self.deeds: dict[str, int] = {}
        builder = type("Linker", (_Linker,), {"sites": {name: self.site}, "bundles": directory / "bundles"})
        patch.setitem(t.cast("dict[str, t.Any]", BUILDERS), "maker", builder)
        patch.setattr(PLATFORMS["nspawn"], "shell", lambda platform, node: Answers(self.site, node.name))
        patch.setattr(refresh, "push_document", lambda *what: None)

    def live(self, name: str, at: int = 0, happen: t.Callable[[Tape], None] = lambda tape: None) -> Ended:
        """Take a step, in a process of its own; before a deed of that number, something happens."""
        step = STEPS[name]
        self.site.count(step.count)
        self.site.means = _IMAGES[step.version]
        self._said.write_text("")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # no other thread holds what the child needs
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                tape = Tape(self.state.parent, at, happen)
                code = self._steps(step)
                save(tape, self.tape)
            except BaseException:
                self._say(traceback.format_exc())
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Ended(code, self._said.read_text())

    def _say(self, text: str) -> None:
        with self._said.open("a") as stream:
            stream.write(f"{text}\n")

    def _steps(self, step: Step) -> int:
        """As the playbooks take them."""
        if step.playbook == "destroy":
            return self._take("destroy", data=step.data)[0]
        code, plan = self._take("plan", release=step.release or None, replace=[], retire=True, hold=True)
        if code:
            return code
        problem = ""
        for name in ("build", "stage", "switch", "verify") if plan["pending"] else ("verify",):
            code, _result = self._take(name, plan=plan, reproducible=False)
            if code:
                problem = self._said.read_text()
                break
        code, result = self._take("settle", problem, plan=plan, keep_failed=False)
        return 2 if code or result["failed_nodes"] else 0

    def _take(self, name: str, problem: str = "", **params: t.Any) -> tuple[int, dict[str, t.Any]]:
        run = Run.of_process(os.getpid())
        deployment, batch = self.site.deployment, tuple(self.site.names)
        parcel = Parcel(deployment, batch, Place("/support"), run, problem=problem, progress_file=None)
        ended = take(name, parcel.to_text(Place("")).splitlines()[1], params, check_mode=False)
        if ended.failed:
            self._say(ended.result["msg"])
        for node, result in sorted(ended.result.get("nodes", {}).items()):
            if not result.get("ok", True):
                self._say(f"{name} {node}: {result['message']}")
        return 2 if ended.failed or ended.result.get("failed_nodes") else 0, ended.result

    # -- as in world.py -------------------------------------------------------------------------------------------

    def finish(self, name: str) -> None:
        """Take a step to its end, undisturbed."""
        ended = self.live(name)
        assert ended.code == STEPS[name].code and "Traceback" not in ended.said, ended
        self.at = name
        for volume in self.state.glob("volumes/*/data"):
            if not (volume / "marker").exists():
                assert name in ("deploy", "grow"), f"the data in {volume} are gone"
                (volume / "marker").write_text(f"{volume.parent.name}\n")

    def reach(self, name: str) -> None:
        """Be where a step begins, once each of them is known."""
        if not self._undisturbed:
            self.wipe()
            for each in NAMES:
                self.finish(each)
                self._undisturbed[each] = self.picture()
                self.deeds[each] = int(self.tape.read_text().split('"deeds": ')[1].split(",")[0])
        before = ["", *NAMES][NAMES.index(name)]
        if not before or self.at != before:
            self.wipe()
            for each in NAMES[: NAMES.index(name)]:
                self.finish(each)

    def picture(self) -> Picture:
        """All that there is of the deployment, without what is another one each time."""
        runs = {f"{node} runs": what for node, what in self.site.runs().items()}
        return {**picture_of(self.state), **runs, **self.remains.picture()}

    def check(self, name: str, *, rebooted: bool = False) -> None:
        """A step has come to the end that it comes to undisturbed.

        :param rebooted: images that no node runs are mounted again once one does.
        """
        meant, found = self._undisturbed[name], self.picture()
        if rebooted:
            meant = {**meant, "mounts": found["mounts"]}
        wrong = differences(meant, found)
        if wrong:
            self.at = None
        assert not wrong, "\n".join(wrong)

    def wipe(self) -> None:
        """Be as new."""
        self.remains.end()
        if self.state.exists():
            shutil.rmtree(self.state)
        self.at = ""


class _Linker(Maker):
    """Its images are elsewhere, as in a store: the state directory has links to them."""

    bundles: t.ClassVar[Path]

    def build(self, path: str, parameters: t.Any, roles: t.Any, formats: t.Any, roots: str) -> dict[str, Image]:
        images = super().build(path, parameters, roles, formats, str(self.bundles))
        os.makedirs(roots, exist_ok=True)
        for image in images.values():
            replace_link(os.path.join(roots, image.identity), str(self.bundles / image.identity))
        return images


def die(tape: Tape) -> None:
    """The process ends at once."""
    os.kill(os.getpid(), signal.SIGKILL)
