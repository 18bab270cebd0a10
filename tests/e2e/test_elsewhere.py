# SPDX-License-Identifier: GPL-3.0-or-later
"""Another host than the controller builds and runs the nodes; another revision than the checked out one is deployed."""

from __future__ import annotations

import subprocess
import typing as t

import pytest
from builder import NAME, builder_of
from lab import NEW, Lab

pytestmark = pytest.mark.story

ROLE = "database"


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("elsewhere", "web", platform="nspawn", roles={"proxy": 0, "backend": 0})
    lab.drop_kernels()
    lab.drop_test_script()
    return lab


@pytest.fixture(scope="module")
def host(lab: Lab) -> t.Iterator[str]:
    with builder_of(lab):
        yield NAME


def git(lab: Lab, *arguments: str) -> str:
    identity = ["-c", "user.name=lab", "-c", "user.email=lab@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=lab.composition, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def revisions(lab: Lab) -> list[str]:
    """Two commits of the composition: an image that other tests have built, too, and a new one; it is checked out."""
    git(lab, "init", "--quiet")
    git(lab, "add", ".")
    git(lab, "commit", "--quiet", "--message", "first")
    lab.edit("appendonly", f"# second {NEW}\nappendonly", "redis.conf")
    git(lab, "commit", "--quiet", "--all", "--message", "second")
    return [git(lab, "rev-parse", commit) for commit in ("HEAD~1", "HEAD")]


def test_another_host_builds_and_runs_the_nodes(lab: Lab, host: str, revisions: list[str]) -> None:
    run = lab.play("deploy", "-e", f"compose_host={host}")
    assert run.recap["database"]["failed"] == 0
    assert run.said(f"[{ROLE} -> {host}")
    assert run.said("compose | build database")  # its progress is shown here
    release = lab.read_release()
    assert release["revision"] == revisions[1]
    # The composition and the collection's data came along.
    assert [path.name for path in (lab.state / "shipped").glob("*/*")].count("web") == 1
    assert lab.play("deploy", "-e", f"compose_host={host}").changed == 0


def test_an_older_revision_is_one_variable(lab: Lab, revisions: list[str]) -> None:
    newer = lab.images()
    run = lab.play("deploy", "-e", f"compose_revision={revisions[0][:10]}")
    assert run.recap["database"]["failed"] == 0
    assert lab.images() != newer
    assert "second" in (lab.composition / "redis.conf").read_text()  # nothing was checked out
    assert lab.read_release()["revision"] == revisions[0]
    assert lab.ssh("database", "grep -c '# second' /etc/redis/redis.conf").stdout.strip() == "0"


@pytest.mark.usefixtures("revisions")
def test_a_revision_that_does_not_exist_is_refused(lab: Lab) -> None:
    run = lab.play("plan", "-e", "compose_revision=no-such-thing", expect=2)
    assert run.said("compose_revision") and run.said("no-such-thing")
