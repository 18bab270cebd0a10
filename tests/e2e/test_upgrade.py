# SPDX-License-Identifier: GPL-3.0-or-later
"""Two versions of the collection on one deployment: the newer takes it over and nothing boots; the older refuses.

The older ones are commits of this repository: of each version of a release's record that is still read, the last one
that wrote it. They are built and installed beside what is here, as two releases would be.
"""

from __future__ import annotations

import re
import subprocess
import typing as t
from contextlib import contextmanager
from pathlib import Path

import pytest
from installed import Installed, install, last_without
from lab import ROOT, changed
from tiny import Tiny

from ansible_collections.immutable.compose.plugins.module_utils.model import shape
from ansible_collections.immutable.compose.plugins.module_utils.model.release import Release

#: Versions of a release's record, the oldest first.
RECORDS = [*sorted(Release.migrations), str(shape.schema_of(Release))]
REMEDY = "a newer version of immutable.compose wrote it; install that version here"
#: What a run reads of a deployment that is there: the document's name → where it lies.
READ = {
    "state": "deployment.json",
    "addresses": "addresses.json",
    "release": "releases/1.json",
    "machine": "nodes/app1/current.json",
    "owner": "volumes/app1/owner.json",
}


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(tmp_path_factory.mktemp("newer"))


class Upgrade:
    """A deployment of an older version, in the hands of the newer one."""

    def __init__(self, lab: Tiny, newer: Installed, older: Installed, commit: str) -> None:
        self.lab = lab
        self._newer, self._older, self._commit = newer, older, commit
        (lab.inventory / "two.compose.yml").unlink()
        del lab.deployment["stable_for"]  # younger than some of them
        lab.write()
        with self.by_the_older():
            lab.play("deploy")

    @contextmanager
    def by_the_older(self) -> t.Iterator[Tiny]:
        """The deployment, for a while in the hands of the older version."""
        self.lab.collections = self._older.collections
        try:
            yield self.lab
        finally:
            self.lab.collections = self._newer.collections

    def builds_the_same(self) -> bool:
        """Whether nothing has changed in how images are built."""
        command = ["git", "diff", "--quiet", self._commit, "--", "nix/debian"]
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0

    def built(self) -> dict[str, Path]:
        """Image → where the store has it."""
        return {path.name: path.readlink() for path in (self.lab.state / "roots").iterdir()}


@pytest.fixture(scope="module")
def upgrade_of(
    tiny_of: t.Callable[..., Tiny], tmp_path_factory: pytest.TempPathFactory, newer: Installed
) -> t.Callable[[str], Upgrade]:
    """Deploys by the last version that wrote such records."""

    def make(record: str) -> Upgrade:
        commit = last_without(RECORDS[RECORDS.index(record) + 1])
        upgrade = Upgrade(tiny_of(2, 0), newer, install(tmp_path_factory.mktemp("older"), commit), commit)
        assert upgrade.lab.read_release()["schema"] == record
        return upgrade

    return make


@pytest.fixture(scope="module", params=RECORDS[:-1])
def upgrade(request: pytest.FixtureRequest, upgrade_of: t.Callable[[str], Upgrade]) -> Upgrade:
    return upgrade_of(request.param)


def test_what_an_older_version_deployed_is_taken_over(upgrade: Upgrade) -> None:
    lab = upgrade.lab
    boots, images, built = lab.boots(), lab.images(), upgrade.built()
    assert lab.play("verify").changed == 0
    again = lab.play("deploy")
    assert changed(boots, lab.boots()) == changed(images, lab.images())
    if upgrade.builds_the_same():
        assert (again.changed, lab.boots(), upgrade.built()) == (0, boots, built)


def test_it_grows_without_a_boot(upgrade: Upgrade) -> None:
    lab = upgrade.lab
    boots = lab.boots()
    lab.write(roles={"app": 3})
    lab.play("deploy")
    assert changed(boots, lab.boots()) == {"app3"}
    assert lab.read_release()["schema"] == RECORDS[-1]
    assert lab.read_release()["nodes"].keys() == {"app1", "app2", "app3"}


def test_the_older_version_refuses_it_and_says_what_to_do(upgrade: Upgrade) -> None:
    lab = upgrade.lab
    boots, release = lab.boots(), lab.release()
    lab.write(roles={"app": 2})
    for playbook in ("plan", "deploy", "verify", "rollback"):
        with upgrade.by_the_older():
            said = " ".join(lab.play(playbook, expect=2).output.split())
        assert f"{lab.state}/" in said and re.search("install that version here|Use that version", said), playbook
        assert (lab.boots(), lab.release()) == (boots, release)
    lab.write(roles={"app": 3})
    assert lab.play("deploy").changed == 0
    assert lab.boots() == boots


@pytest.mark.parametrize("record", RECORDS[:-1])
def test_a_run_of_an_older_version_that_was_killed_is_ended(
    upgrade_of: t.Callable[[str], Upgrade], record: str
) -> None:
    upgrade = upgrade_of(record)
    upgrade.lab.write(setup={"v": 2})
    with upgrade.by_the_older() as lab:
        lab.kill_when("compose | switch app1: started")
    assert (lab.state / "journal.json").exists()
    lab.play("deploy")
    assert {lab.on(node, "cat /etc/greeting") for node in ("app1", "app2")} == {"v2\n"}
    assert lab.release() == 2
    assert lab.play("deploy").changed == 0


@pytest.fixture(scope="module")
def current(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, 0)
    (lab.inventory / "two.compose.yml").unlink()
    lab.play("deploy")
    return lab


@pytest.mark.parametrize("name", READ)
def test_each_document_of_a_newer_version_is_refused(current: Tiny, name: str) -> None:
    path, boots = current.state / READ[name], current.boots()
    right = path.read_text()
    another = re.sub(rf'("immutable\.compose/{name}/)\d+"', r'\g<1>99"', right)
    for newer in (another, right.replace("{", '{"later": 1, ', 1)):
        path.write_text(newer)
        for playbook in ("deploy", "rollback", "destroy"):
            said = " ".join(current.play(playbook, "-e", "compose_data=true", expect=2).output.split())
            assert f"{path}: {name}" in said and REMEDY in said and "remove the" not in said, playbook
            assert current.boots() == boots
    path.write_text(right)
    assert current.play("deploy").changed == 0
