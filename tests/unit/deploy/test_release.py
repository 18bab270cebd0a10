# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases and the deployment's lock."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.release import ReleaseStore
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.lock import deployment_lock
from ansible_collections.immutable.compose.plugins.module_utils.model.release import Release
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

FIRST = Release(0, "d", "c1", None, {"web": "w1"}, {"web1": "web"}, {"web": [80]}, "", "2026-01-01T00:00:00Z")


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(str(tmp_path))


def test_the_same_state_is_recorded_once(store: ReleaseStore) -> None:
    assert store.record(FIRST, ["web1"]) == (True, 1)
    assert store.record(FIRST, ["web1"]) == (False, 1)


def test_batches_of_one_rollout_share_a_release(store: ReleaseStore) -> None:
    store.record(FIRST, ["web1", "web2", "db"])
    store.record(replace(FIRST, nodes={"web2": "web"}), ["web1", "web2", "db"])
    store.record(replace(FIRST, nodes={"db": "db"}, images={"db": "d1"}), ["web1", "web2", "db"])
    release = store.current()
    assert release is not None and release.number == 1
    assert release.nodes == {"web1": "web", "web2": "web", "db": "db"}
    assert release.images == {"web": "w1", "db": "d1"}


def test_another_image_is_another_release_that_knows_the_one_before(store: ReleaseStore) -> None:
    store.record(FIRST, ["web1"])
    store.record(replace(FIRST, composition="c2", images={"web": "w2"}), ["web1"])
    release = store.find("current")
    assert (release.number, release.previous, release.images) == (2, 1, {"web": "w2"})
    assert store.find("previous").images == store.find("1").images == {"web": "w1"}


def test_a_record_that_a_killed_run_left_unfinished_is_written_over(store: ReleaseStore) -> None:
    store.record(FIRST, ["web1"])
    second = replace(FIRST, composition="c2", images={"web": "w2"})
    store.record(second, ["web1"])
    with open(os.path.join(store.directory, "current"), "w", encoding="ascii") as stream:
        stream.write("1")
    assert store.record(second, ["web1"]) == (True, 2)
    assert store.find("current").previous == 1


def test_retired_nodes_leave_the_record(store: ReleaseStore) -> None:
    store.record(replace(FIRST, nodes={"web1": "web", "web2": "web"}), ["web1", "web2"])
    store.record(FIRST, ["web1"])
    assert store.find("current").nodes == {"web1": "web"}


def test_nodes_that_wait_keep_their_image(store: ReleaseStore) -> None:
    members = ["web1", "web2", "db"]
    store.record(
        replace(FIRST, nodes={"web1": "web", "web2": "web", "db": "db"}, images={"web": "w1", "db": "d1"}), members
    )
    second = replace(FIRST, composition="c2", images={"web": "w2"})
    store.record(second, members)
    release = store.find("current")
    assert (release.number, release.images, release.node_images) == (2, {"web": "w2", "db": "d1"}, {"web2": "w1"})
    assert release.identities == {"w1", "w2", "d1"}
    # A canary of a third one, and then back to the second on it alone: nobody else's image is another.
    store.record(replace(FIRST, composition="c3", images={"web": "w3"}), members)
    assert store.find("current").node_images == {"web2": "w1"}
    store.record(replace(second, nodes={"web2": "web"}), members)
    release = store.find("current")
    assert (release.number, release.images["web"], release.node_images) == (4, "w2", {"web1": "w3"})
    store.record(second, members)
    assert (store.find("current").number, store.find("current").node_images) == (4, {})


def test_a_release_that_is_gone_back_to_gives_nodes_back_their_own_images(store: ReleaseStore) -> None:
    members = ["web1", "web2"]
    both = {"web1": "web", "web2": "web"}
    store.record(replace(FIRST, nodes=both), members)
    store.record(replace(FIRST, composition="c2", images={"web": "w2"}), members)
    canary = store.find("current")
    store.record(replace(FIRST, nodes=both, composition="c3", images={"web": "w3"}), members)
    store.record(replace(canary, number=0), members)
    release = store.find("current")
    assert (release.number, release.images, release.node_images) == (4, {"web": "w2"}, {"web2": "w1"})


def test_images_of_nodes_that_wait_are_kept_with_the_release(store: ReleaseStore) -> None:
    both = {"web1": "web", "web2": "web"}
    store.record(replace(FIRST, nodes=both), ["web1", "web2"])
    store.record(replace(FIRST, composition="c2", images={"web": "w2"}), ["web1", "web2"])
    os.makedirs(store.roots)
    for identity in ("w1", "w2"):
        os.symlink("/nowhere", os.path.join(store.roots, identity))
    assert store.prune(keep=1) == {"w1", "w2"}
    assert store.is_tidy(1, ())
    assert store.with_image("web", "w1") is None and store.numbers() == [2]
    assert store.with_image("web", "w2") == store.find("current")


@pytest.mark.parametrize("version", [1, 2])
def test_releases_of_earlier_versions_are_read(store: ReleaseStore, version: int) -> None:
    store.record(FIRST, ["web1"])
    path = Path(store.directory, "1.json")
    data = json.loads(path.read_text())
    for later in ["unsealed", "node_images"][: 3 - version]:
        del data[later]
    path.write_text(json.dumps({**data, "schema": f"immutable.compose/release/{version}"}))
    release = store.find("current")
    assert (release.schema, release.node_images) == ("immutable.compose/release/3", {})
    assert release.image("web1", "web") == "w1" and release.image("db1", "db") is None


@pytest.mark.parametrize("wanted", ["7", "previous", "latest", "-1"])
def test_an_unknown_release_is_refused(store: ReleaseStore, wanted: str) -> None:
    store.record(FIRST, ["web1"])
    with pytest.raises(InputError):
        store.find(wanted)


def test_pruning_keeps_the_newest_and_the_current_with_their_roots(store: ReleaseStore, tmp_path: Path) -> None:
    os.makedirs(store.roots)
    for number in range(1, 6):
        os.symlink("/nowhere", os.path.join(store.roots, f"w{number}"))
        store.record(replace(FIRST, composition=f"c{number}", images={"web": f"w{number}"}), ["web1"])
    needed = store.prune(keep=2)
    store.drop_roots(needed)
    assert store.numbers() == [4, 5]
    assert sorted(os.listdir(store.roots)) == ["w4", "w5"]


def hold(state: str, held: multiprocessing.synchronize.Event) -> None:
    with deployment_lock(state, Progress()):
        held.set()
        time.sleep(600)


def test_a_second_run_waits_then_says_who_holds_the_lock_and_a_killed_one_releases_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held = context.Event()
    holder = context.Process(target=hold, args=(str(tmp_path), held))
    holder.start()
    try:
        assert held.wait(120)
        with (
            pytest.raises(ComposeError, match=f"process {holder.pid}"),
            deployment_lock(str(tmp_path), Progress(), 0.3),
        ):
            pass
    finally:
        holder.kill()
        holder.join()
    with deployment_lock(str(tmp_path), Progress(), 0.3):
        pass


def test_a_full_disk_keeps_nobody_from_the_lock(small_disk: Path) -> None:
    with (small_disk / "fills").open("wb") as stream, pytest.raises(OSError, match="No space left"):
        while True:
            os.write(stream.fileno(), bytes(4096))
    with deployment_lock(str(small_disk), Progress(), 0.3):
        pass
