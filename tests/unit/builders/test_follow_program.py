"""The program of a node by which directories follow a git repository."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from .conftest import REPOSITORY

PROGRAM = REPOSITORY / "nix/debian/follow/follow"
#: Where it has its things on a node.
PLACES = {
    "/usr/lib/compose/follow.json": "settings.json",
    "/run/compose": "run",
    "/var/lib/compose/follow$": "home$",
    "/var/lib/compose/follow\n": "home\n",
}


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Node:
    """A directory in place of a node, with one that follows ``main`` of a repository beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = root / "repository"
        self.repository.mkdir()
        git(self.repository, "init", "--quiet", "--initial-branch=main")
        text = PROGRAM.read_text()
        for place, mine in PLACES.items():
            text = text.replace(place, f"{root}/{mine}")
        assert "/var/lib" not in text.partition("set -eu")[2]
        text = text.replace("sleep $tries", "true")
        self.program = root / "follow"
        self.program.write_text(text)
        self.program.chmod(0o755)
        (root / "run").mkdir()
        (root / "run/node.json").write_text(json.dumps({"secrets": {"token": "hunter2"}}))
        self.path = root / "etc/app"
        self.path.parent.mkdir()
        self.home = root / f"home{self.path}"
        self.path.symlink_to(self.home / "current")
        self.loaded = root / "loaded"
        self.settings: dict[str, t.Any] = {
            "repository": f"file://{self.repository}",
            "revision": "main",
            "check": "! grep bad %s/conf",
            "reload": f"cat {self.path}/conf >>{self.loaded} && ! grep unloadable {self.path}/conf",
        }

    def commit(self, text: str) -> str:
        """A commit that has ``text`` in the file ``conf``."""
        (self.repository / "conf").write_text(text)
        git(self.repository, "add", "--all")
        git(self.repository, "commit", "--quiet", "--message", text)
        return git(self.repository, "rev-parse", "HEAD")

    def __call__(self, *arguments: str, data: bytes = b"", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the program."""
        self.settings.update(settings)
        (self.root / "settings.json").write_text(json.dumps({str(self.path): self.settings}))
        done = subprocess.run([str(self.program), *arguments], input=data, capture_output=True, check=False, timeout=60)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def pull(self, **settings: str) -> subprocess.CompletedProcess[str]:
        return self("pull", str(self.path), **settings)

    def report(self) -> dict[str, t.Any]:
        key, _space, told = self("report").stdout.strip().partition(" ")
        assert key == "follow"
        return t.cast("dict[str, t.Any]", json.loads(told))

    @property
    def conf(self) -> str:
        return (self.path / "conf").read_text()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_what_the_branch_is_at_is_taken_once(node: Node) -> None:
    first = node.commit("one\n")
    assert node.pull().returncode == 0
    assert node.conf == "one\n" and node.loaded.read_text() == "one\n"
    assert node.pull().stdout == ""
    second = node.commit("two\n")
    assert second in node.pull().stdout
    assert node.conf == "two\n" and node.loaded.read_text() == "one\ntwo\n"
    report = node.report()
    assert 0 <= report.pop("age") < 30
    assert report == {"path": str(node.path), "revision": second, "seen": second, "problem": "", "differs": []}
    third = node.commit("three\n")
    node.pull()
    kept = {entry.name.partition("-")[0] for entry in (node.home / "revisions").iterdir()}
    assert kept == {second, third} and first not in kept
    assert not (node.home / "git").exists() and [entry.name for entry in (node.root / "run").iterdir()] == ["node.json"]


@pytest.mark.parametrize(
    ("text", "words"), [("bad\n", "failed with exit code 1: bad"), ("unloadable\n", "failed with exit code 1")]
)
def test_what_is_refused_is_not_taken_and_is_said(node: Node, text: str, words: str) -> None:
    first = node.commit("one\n")
    node.pull()
    second = node.commit(text)
    done = node.pull()
    assert done.returncode == 1 and words in done.stderr
    assert node.conf == "one\n" and node.loaded.read_text().endswith("one\n")
    report = node.report()
    assert (report["revision"], report["seen"]) == (first, second)
    assert second in report["problem"] and words in report["problem"]
    node.commit("three\n")
    assert node.pull().returncode == 0 and node.conf == "three\n" and node.report()["problem"] == ""


def test_the_first_may_be_refused_too(node: Node) -> None:
    node.commit("unloadable\n")
    assert node.pull().returncode == 1
    assert node.report()["revision"] == "" and not node.path.exists()


def test_without_its_repository_a_node_keeps_what_it_has(node: Node) -> None:
    commit = node.commit("one\n")
    node.repository.rename(node.root / "gone")
    done = node.pull()
    assert done.returncode == 1 and "no revision yet" in done.stderr and str(node.repository) in done.stderr
    assert node.report()["age"] == -1
    (node.root / "gone").rename(node.repository)
    node.pull()
    node.repository.rename(node.root / "gone")
    os.utime(node.home / "seen", (1, 1))
    done = node.pull()
    assert done.returncode == 0 and f"stays at {commit}" in done.stderr
    report = node.report()
    assert report["revision"] == commit and report["age"] > 1000 and str(node.repository) in report["problem"]
    assert node.pull(revision="other").returncode == 0 and node.conf == "one\n"


def test_tags_and_commits(node: Node) -> None:
    first = node.commit("one\n")
    git(node.repository, "tag", "--annotate", "--message=x", "main")  # as the branch is called: a tag goes first
    git(node.repository, "branch", "feature/main", "HEAD")
    node.commit("two\n")
    node.pull()
    assert node.report()["revision"] == first
    second = node.commit("three\n")
    node.commit("four\n")
    assert node.pull(revision=second).returncode == 0 and node.conf == "three\n"
    assert node.pull(revision="refs/heads/main").returncode == 0 and node.conf == "four\n"
    assert node.pull(revision="HEAD").returncode == 0
    assert node.pull(revision=first).returncode == 0 and node.conf == "one\n"
    done = node.pull(revision="f" * 40)
    assert done.returncode == 0 and "stays at" in done.stderr and node.conf == "one\n"
    done = node.pull(revision="none")
    assert "no branch or tag" in done.stderr


def test_what_was_changed_is_told(node: Node) -> None:
    (node.repository / "kept").mkdir()
    (node.repository / "kept/a b").write_text("x")
    (node.repository / "gone").write_text("x")
    node.commit("one\n")
    node.pull()
    assert node.report()["differs"] == []
    stamp = (node.path / "conf").stat()
    (node.path / "conf").write_text("two\n")
    os.utime(node.path / "conf", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (node.path / "gone").unlink()
    (node.path / "kept/more\nlines").touch()
    assert sorted(node.report()["differs"]) == ["conf", "gone", "kept/more?lines"]
    node.path.unlink()
    node.path.mkdir()
    assert "." in node.report()["differs"]


def test_a_run_that_was_killed_before_it_told_the_services_is_finished(node: Node) -> None:
    node.commit("one\n")
    node.pull()
    (node.home / "unloaded").touch()
    node.pull()
    assert node.loaded.read_text() == "one\none\n" and not (node.home / "unloaded").exists()
    assert node.pull().stdout == ""


def test_what_is_pushed_needs_no_git(node: Node) -> None:
    commit = node.commit("one\n")
    archive = subprocess.run(["git", "-C", str(node.repository), "archive", commit], check=True, capture_output=True)
    done = node("take", str(node.path), commit, data=archive.stdout, repository="https://nobody.invalid/x")
    assert done.returncode == 0, done.stderr
    assert node.conf == "one\n" and node.report()["revision"] == commit
    assert node("take", str(node.path), "f" * 40, data=b"no archive").returncode == 1
    assert node.conf == "one\n" and node.report()["seen"] == "f" * 40
    assert node("pull", "/etc/other").returncode == 1


def test_a_secret_is_on_no_command_line(node: Node) -> None:
    node.commit("one\n")
    bin_ = node.root / "bin"
    bin_.mkdir()
    (bin_ / "git").write_text(
        f'#!/bin/sh\necho "$@" >>{node.root}/lines; echo $GIT_SSH_COMMAND >>{node.root}/lines\n'
        f"cd {node.root}/run/follow-*; cat key >{node.root}/key; stat -c %a key >>{node.root}/key\n"
        f"$GIT_ASKPASS \"Password for 'https://x'\" >{node.root}/password\n"
        f"$GIT_ASKPASS \"Username for 'https://x'\" >{node.root}/user\nexit 1\n"
    )
    (bin_ / "git").chmod(0o755)
    node.settings["secret"] = "token"
    node.program.write_text(node.program.read_text().replace("set -eu", f"PATH={bin_}:$PATH; set -eu", 1))
    node.pull()
    assert (node.root / "key").read_text() == "hunter2\n600\n"
    assert (node.root / "password").read_text() == "hunter2\n" and (node.root / "user").read_text() == "git\n"
    assert "hunter2" not in (node.root / "lines").read_text()
    done = node.pull(secret="other")
    assert done.returncode == 1 and "no secret 'other'" in done.stderr
