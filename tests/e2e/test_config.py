# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that follow a git repository: nodes of one deployment pull, those of the other are pushed to."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from lab import Run
from tiny import Tiny

from ansible_collections.immutable.compose.plugins.module_utils.describe.addresses import gateway
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.netns import Namespace

pytestmark = pytest.mark.story

NETWORK = "10.89.0.0/16"
COMPOSITION = """
{
  roles.app.follow."/etc/app" = {
    repository = "%s";
    revision = "main";
    check = "! grep bad %%s/conf";
    reload = "cp /etc/app/conf /run/loaded";
    %s
  };
}
"""
PULLS = 'every = "2s"; }; roles.app.files."/usr/bin/git" = { source = ./git;'


class Config:
    """A repository with a file ``conf``, and the server that gives it to one network."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.server: subprocess.Popen[bytes] | None = None

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        command = ["git", "-C", str(self.directory), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str) -> str:
        (self.directory / "conf").write_text(f"{text}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", text)
        return self.git("rev-parse", "HEAD")

    def serve(self, network: Namespace) -> None:
        where = [f"--listen={gateway(NETWORK)}", f"--base-path={self.directory.parent}"]
        self.server = subprocess.Popen(network.enter("git", "daemon", "--export-all", "--reuseaddr", *where))

    def stop(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.wait()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Config]:
    config = Config(tmp_path_factory.mktemp("config") / "config.git")
    yield config
    config.stop()


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny], config: Config) -> Tiny:
    lab = tiny_of(["pulls"], ["pushed1", "pushed2"], network=NETWORK)
    lab.write_two(at_most={"app": 1})
    for composition, url, more in (
        (lab.composition, f"git://{gateway(NETWORK)}/config.git", PULLS),
        (lab.composition.with_name("other"), f"file://{config.directory}", ""),
    ):
        (composition / "composition.nix").write_text(COMPOSITION % (url, more))
    # To install the packages of git takes longer than all else together: the image has this host's program instead.
    lock = json.loads((lab.composition / "compose.lock.json").read_text())
    lock["roles"]["app"]["requested"] = ["ca-certificates", "git"]
    (lab.composition / "compose.lock.json").write_text(json.dumps(lock))
    shutil.copy("/usr/bin/git", lab.composition)
    return lab


def conf(lab: Tiny, *nodes: str) -> list[str]:
    """What services of nodes have loaded."""
    return [lab.on(node, "cat /run/loaded").strip() for node in nodes]


def failed(run: Run) -> dict[str, int]:
    return {host: counts["failed"] for host, counts in run.recap.items()}


def test_without_a_repository_nothing_is_released(lab: Tiny) -> None:
    run = lab.play("deploy", expect=2)
    assert failed(run) == {"pulls": 1, "pushed1": 1, "pushed2": 1}
    assert run.said("compose-follow@etc-app.service") and run.said("and there is no revision yet")
    assert run.said("has no branch or tag 'main'") and not (lab.state.with_name("two") / "nodes").exists()


def test_nodes_boot_with_what_they_follow(lab: Tiny, config: Config) -> None:
    commit = config.commit("one")
    network = Namespace("one", str(lab.state))
    network.create(NETWORK)
    config.serve(network)
    run = lab.play("deploy")
    assert len(run.said(f"main at {commit[:12]}")) >= 3
    assert conf(lab, "pulls", "pushed1", "pushed2") == ["one"] * 3


def test_what_is_refused_is_not_taken_and_new_commits_are(lab: Tiny, config: Config) -> None:
    boots = [lab.boot_of(node) for node in ("pulls", "pushed1")]
    bad = config.commit("bad")
    run = lab.play("config", expect=2)
    assert failed(run) == {"pulls": 1, "pushed1": 1, "pushed2": 1}
    assert run.said(f"{bad} is not taken: '! grep bad %s/conf' failed") and run.said("left as it was: pushed1")
    good = config.commit("two")
    pretended = lab.play("config", "--check", "--diff", "--limit", "deployment_two")
    assert "-one" in pretended.output and "+two" in pretended.output and conf(lab, "pushed1") == ["one"]
    run = lab.play("config")
    assert {host: counts["changed"] for host, counts in run.recap.items()} == {"pulls": 1, "pushed1": 1, "pushed2": 1}
    assert conf(lab, "pulls", "pushed1", "pushed2") == ["two"] * 3
    third = config.commit("three")
    end = time.monotonic() + 30
    while conf(lab, "pulls") != ["three"]:  # its own timer
        assert time.monotonic() < end
        time.sleep(0.2)
    assert [lab.boot_of(node) for node in ("pulls", "pushed1")] == boots and good != third != bad


def test_what_was_changed_is_drift(lab: Tiny, config: Config) -> None:
    lab.on("pushed2", "echo more >>/etc/app/conf")
    run = lab.play("drift", expect=2)
    assert failed(run) == {"pulls": 0, "pushed1": 0, "pushed2": 1}
    assert run.said("/etc/app differs from") and not run.said("files changed")
