"""Whose a state directory is: marked before it is used, and refused to others with nothing touched."""

from __future__ import annotations

import fcntl
import json
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.describe.state import MARK, Mark, StateDirectory
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node


def directory(state: Path, name: str = "site", composition: str = "web", **more: t.Any) -> StateDirectory:
    nodes = (Node("a", "app", 1, "10.87.0.1"), Node("b", "app", 2, "10.87.0.2"))
    return StateDirectory(
        Deployment(
            name, f"/src/{composition}", "stub", "rack", nodes, state=str(state), composition_name=composition, **more
        )
    )


def refused(state: StateDirectory) -> str:
    with pytest.raises(InputError) as refused:
        state.require()
    return str(refused.value)


def test_a_new_one_is_marked_and_asking_writes_nothing(tmp_path: Path) -> None:
    state = directory(tmp_path / "site")
    state.require()
    assert not (tmp_path / "site").exists()
    state.claim()
    assert Mark.read(str(tmp_path / "site")) == Mark("site", "web", "/src/web", [str(tmp_path / "site")])
    state.require()
    before = (tmp_path / "site" / MARK).stat()
    state.claim()
    assert (tmp_path / "site" / MARK).stat() == before


def test_what_killed_runs_left_of_files_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    state = tmp_path / "site"
    left = [
        state / f"{folder}.{name}.new"
        for folder, name in {
            "": "addresses.json",
            "clustershell/": "clush.conf",
            "clustershell/groups.d/": "compose.yaml",
            "hostkeys/": "a",
            "nodes/a/": "current.json",
            "nodes/a/in/": "node.json",
            "releases/": "current",
            "results/verify/": "results.json",
            "volumes/a/": "owner.json",
        }.items()
    ]
    others = [state / "volumes/a/data/.theirs.new", state / "images/x/.theirs.new", state / "releases/.written.new"]
    for path in (*left, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with others[-1].open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        directory(state).claim()
    assert [path for path in (*left, *others) if path.exists()] == others
    directory(state).claim()
    assert [path for path in others if path.exists()] == others[:2]


@pytest.mark.parametrize(
    "entry", ["images/holiday.jpg", "roots/oak", "releases/20260101/index.php", "nodes/list", ".git/HEAD"]
)
def test_what_somebody_else_filled_is_refused(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "site" / entry
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    message = refused(directory(tmp_path / "site"))
    assert f"{tmp_path}/site exists, but is not that of a deployment: it holds {entry.partition('/')[0]}" in message


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("precious")
    assert f"{tmp_path}/site is, or lies below, a file" in refused(directory(tmp_path / "site"))


@pytest.mark.parametrize("files", [["ca", "id_ed25519", "roots/x"], ["releases/current", "known_hosts"], ["lock"], []])
def test_one_of_an_earlier_version_or_of_a_killed_run_is_taken(tmp_path: Path, files: list[str]) -> None:
    for file in [*files, f".{MARK}.x1"]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("1")
    directory(tmp_path).require()


def test_that_of_another_deployment_is_refused(tmp_path: Path) -> None:
    directory(tmp_path, "site").claim()
    assert f"{tmp_path} is the state directory of the deployment 'site'" in refused(directory(tmp_path, "shop"))


def test_that_of_another_composition_is_refused_while_anything_of_it_is_there(tmp_path: Path) -> None:
    directory(tmp_path).claim()
    directory(tmp_path, composition="other").require()  # nothing is there
    HeldAddresses.read(str(tmp_path)).start([Node("a", "app", 1, "10.87.0.1")])
    message = refused(directory(tmp_path, composition="other"))
    assert (
        "is the state directory of composition 'web' (/src/web), which has nodes a, not of composition 'other'"
        in message
    )
    assert message.endswith("adopt_data: [a]")
    directory(tmp_path, composition="other", adopt_data=("a",)).require()
    (tmp_path / "volumes/b/data").mkdir(parents=True)
    assert refused(directory(tmp_path, composition="other", adopt_data=("a",))).endswith("adopt_data: [a, b]")
    directory(tmp_path, composition="other", adopt_data=("a", "b")).require()
    (tmp_path / "nodes/theirs").mkdir(parents=True)  # would be retired
    assert "nodes a, theirs and data of b" in refused(directory(tmp_path, composition="other", adopt_data=("a", "b")))


def test_a_new_place_is_written_down_beside_the_former_ones(tmp_path: Path) -> None:
    directory(tmp_path / "site").claim()
    (tmp_path / "site").rename(tmp_path / "moved")
    state = directory(tmp_path / "moved")
    state.require()
    state.claim()
    mark = Mark.read(str(tmp_path / "moved"))
    assert mark is not None and mark.directories == [str(tmp_path / "site"), str(tmp_path / "moved")]


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "immutable.compose/state/1"}', json.dumps({"schema": "x/9"})])
def test_a_damaged_mark_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / MARK).write_text(text)
    message = refused(directory(tmp_path))
    assert message.startswith(f"{tmp_path}/{MARK}") and "remove the file, and it is written again" in message


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o707])
def test_one_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    directory(tmp_path).claim()
    tmp_path.chmod(mode)
    assert f"other users may write to the state directory {tmp_path} (mode {mode:04o})" in refused(directory(tmp_path))
    tmp_path.chmod(0o750)
    directory(tmp_path).require()


def test_one_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory(tmp_path).claim()
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr("os.stat", lambda path: os.stat_result((0o40700, 1, 1, 1, owner + 1234, 0, 0, 0, 0, 0)))
    assert f"is that of the user with the number {owner + 1234}" in refused(directory(tmp_path))
