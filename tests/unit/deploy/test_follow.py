# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that follow a git repository: whole runs of the engine, with a repository and without real nodes."""

from __future__ import annotations

import json
import subprocess
import tarfile
import typing as t
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.audit import audit
from ansible_collections.immutable.compose.plugins.module_utils.deploy.follow import push
from ansible_collections.immutable.compose.plugins.module_utils.deploy.looking import verify
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Limit
from ansible_collections.immutable.compose.plugins.module_utils.model.follow import Follow
from ansible_collections.immutable.compose.plugins.module_utils.model.step import Fared
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output

from .conftest import Shell, Site

PATH = "/etc/app"


@dataclass
class Nodes:
    """What nodes have taken."""

    site: Site
    directory: Path
    #: Node → commit, that of the boot which it was pushed to.
    at: dict[str, str] = field(default_factory=dict)
    #: Text that no node takes.
    refused: str = "bad\n"
    problems: dict[str, str] = field(default_factory=dict)
    edited: set[str] = field(default_factory=set)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        command = ["git", "-C", str(self.directory), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str) -> str:
        (self.directory / "conf").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", text)
        return self.git("rev-parse", "HEAD")

    def report(self, name: str) -> str:
        told: dict[str, t.Any] = {"path": PATH, "revision": self.at.get(name, ""), "age": 1}
        told["problem"] = self.problems.get(name, "")
        told["seen"] = "f" * 40 if told["problem"] else told["revision"]
        told["differs"] = ["conf"] if name in self.edited else []
        return f"follow {json.dumps(told)}\n"

    def take(self, name: str, commit: str, data: bytes) -> Output:
        self.site.calls.append(("take", name))
        with tarfile.open(fileobj=BytesIO(data)) as archive:
            (member,) = archive
            assert (member.name, member.mode, member.uid, member.uname) == ("conf", 0o644, 0, "root")
            text = t.cast("t.IO[bytes]", archive.extractfile(member)).read().decode()
        if text == self.refused:
            self.problems[name] = f"{commit} is not taken: no"
            return Output(1, b"", b"no")
        self.problems.pop(name, None)
        self.edited.discard(name)
        self.at[name] = commit
        return Output(0, b"", b"")

    def push(self, *, pretend: bool = False) -> Fared:
        self.site.calls.clear()
        return push(self.site.engine(), pretend=pretend)


@pytest.fixture
def nodes(rack: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    directory = tmp_path / "config"
    directory.mkdir()
    nodes = Nodes(rack, directory)
    nodes.git("init", "--quiet", "--initial-branch=main")
    answers = Shell.run

    def run(shell: Shell, command: str, timeout: float) -> Output:
        if command.startswith("[ ! -x /usr/lib/compose/follow ]"):
            shell.open(timeout)
            return Output(0, nodes.report(shell.name).encode(), b"")
        if command.startswith("systemctl start"):
            rack.calls.append(("look", shell.name))
            return Output(0, b"", b"")
        said = answers(shell, command, timeout)
        return replace(said, stdout=nodes.report(shell.name).encode() + said.stdout)

    def feed(shell: Shell, command: str, data: bytes, timeout: float) -> Output:
        program, verb, path, commit = command.split()
        assert (program, verb, path) == ("/usr/lib/compose/follow", "take", PATH)
        return nodes.take(shell.name, commit, data)

    monkeypatch.setattr(Shell, "run", run)
    monkeypatch.setattr(Shell, "feed", feed, raising=False)
    rack.follow = {PATH: Follow(f"file://{directory}", "main")}
    return nodes


def test_nodes_that_boot_get_what_is_pushed_to_them_before_they_are_checked(rack: Site, nodes: Nodes) -> None:
    commit = nodes.commit("one\n")
    rack.set(at_most={"web": Limit(("web1", "web2", "web3"), 1)})
    result = rack.deploy()
    assert result["settle"]["release"] == 1
    assert {name: each["follow"] for name, each in result["settle"]["nodes"].items()} == dict.fromkeys(
        ("web1", "web2", "web3"), {PATH: commit}
    )
    rack.means["web"] = "v2"
    nodes.at.clear()
    assert rack.deploy()["settle"]["release"] == 2
    order = [" ".join(call) for call in rack.called("switch", "take", "check")]
    assert order[:6] == ["switch web1", "take web1", "check web1", "switch web2", "take web2", "check web2"]


def test_without_its_repository_nothing_is_touched(rack: Site, nodes: Nodes) -> None:
    with pytest.raises(InputError, match="has no branch or tag 'main'"):
        rack.deploy()
    assert not rack.machines and not rack.called("switch")


def test_what_is_refused_at_boot_goes_back(rack: Site, nodes: Nodes) -> None:
    first = nodes.commit("one\n")
    rack.deploy()
    nodes.commit("bad\n")
    rack.means["web"] = "v2"
    rack.set(at_most={"web": Limit(("web1", "web2", "web3"), 1)})
    result = rack.deploy()["settle"]
    assert result["release"] == 1 and "is not taken: no" in result["veto"]
    assert rack.runs() == {"web1": "v1", "web2": "v1", "web3": "v1"} and nodes.at["web2"] == first
    assert [call[1:] for call in rack.called("switch")] == [("web1",)]


def test_a_push_ends_with_who_refuses_and_leaves_alone_who_is_there(rack: Site, nodes: Nodes) -> None:
    first = nodes.commit("one\n")
    rack.deploy()
    result = nodes.push()
    assert not result.changed and not rack.called("take")
    nodes.edited.add("web2")
    assert nodes.push().nodes["web2"].changed and rack.called("take") == [("take", "web2")]
    nodes.commit("bad\n")
    rack.set(at_most={"web": Limit(("web1", "web2", "web3"), 2)})
    result = nodes.push()
    assert set(result.failed_nodes) == {"web1", "web2", "web3"} and not result.changed
    assert len(rack.called("take")) == 2 and result.nodes["web3"].left and nodes.at["web1"] == first
    assert "is not taken: no" in result.nodes["web1"].message
    third = nodes.commit("three\n")
    assert nodes.push(pretend=True).changed and not rack.called("take")
    result = nodes.push()
    assert result.changed and not result.failed_nodes and set(nodes.at.values()) == {third}
    assert result.nodes["web1"].follow == {PATH: third}
    (diff,) = result.diff
    assert (diff.before, diff.after) == ("conf:\none\n", "conf:\nthree\n")


def test_whoever_pulls_is_told_to_look(rack: Site, nodes: Nodes) -> None:
    commit = nodes.commit("one\n")
    nodes.at = dict.fromkeys(("web1", "web2", "web3"), commit)
    rack.follow = {PATH: Follow("https://nobody.invalid/x", "main", every="5min")}
    rack.deploy()
    assert not rack.called("take", "look")
    nodes.push(pretend=True)
    assert not rack.called("look")
    nodes.push()
    assert len(rack.called("look")) == 3
    nodes.problems["web2"] = "no answer"
    assert nodes.push().failed_nodes == ["web2"]


def test_a_secret_that_a_node_has_not_is_refused_with_the_plan(rack: Site, nodes: Nodes) -> None:
    nodes.commit("one\n")
    rack.follow = {PATH: replace(rack.follow[PATH], repository="https://nobody.invalid/x", secret="key")}
    first = replace(rack.deployment.nodes[0], secrets={"key": "x"})
    rack.set(nodes=(first, *rack.deployment.nodes[1:]))
    with pytest.raises(InputError) as refused:
        rack.deploy()
    assert "web2, web3: roles.web.follow./etc/app: no secret 'key'" in str(refused.value)
    assert not rack.called("stage")


def test_a_commit_that_is_pinned_is_checked(rack: Site, nodes: Nodes) -> None:
    commit = nodes.commit("one\n")
    nodes.commit("two\n")
    rack.follow = {PATH: replace(rack.follow[PATH], revision=commit)}
    assert rack.deploy()["settle"]["release"] == 1
    assert set(nodes.at.values()) == {commit}
    nodes.at["web2"] = "a" * 40
    found = verify(rack.engine(), "current")
    assert found.failed_nodes == ["web2"]
    assert f"follow {PATH}: is at aaaaaaaaaaaa, expected {commit[:12]}" in found.nodes["web2"].message


def test_an_audit_says_which_commit_nodes_are_at(rack: Site, nodes: Nodes) -> None:
    commit = nodes.commit("one\n")
    rack.deploy()
    rack.silent.add("web2")
    found = audit(rack.engine(), {"id": "CVE-1", "package": "x", "versions": ["> 0"]})
    assert found.nodes["web1"].follow == {PATH: commit}
    assert f"{PATH} is at {commit}: web1 web3" in found.table
    assert "node web2: what it follows: config, web2: no answer" in found.unknown
