# SPDX-License-Identifier: GPL-3.0-or-later
"""Which folded node gets which machine, who stays, and who is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.guests import end_guests
from ansible_collections.immutable.compose.plugins.module_utils.describe.seats import Seats, guests
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Fold
from ansible_collections.immutable.compose.plugins.module_utils.platforms.folded.seating import Seat, seated

#: Four machines: two in the north, and one each elsewhere.
SPREAD = Fold("cluster", "/cluster", {"m1": "north", "m2": "north", "m3": "south", "m4": "west"}, "rack")
ALIKE = Fold("cluster", "/cluster", {"m1": "", "m2": ""})
PACK = replace(SPREAD, place="pack")
ROOM = dict.fromkeys(SPREAD.machines, 256)


def asking(count: int, memory: int = 128, **machines: str) -> dict[str, Seat]:
    names = [f"n{number}" for number in range(1, count + 1)]
    return {name: Seat(machines.get(name, ""), memory) for name in names}


def test_machines_that_are_alike_get_the_same_number() -> None:
    assert list(seated(asking(4), ALIKE, {}, {}).values()) == ["m1", "m2", "m1", "m2"]


def test_kinds_come_first_then_machines() -> None:
    found = seated(asking(8), SPREAD, {}, {})
    assert list(found.values()) == ["m1", "m3", "m4", "m2", "m3", "m4", "m1", "m3"]


def test_who_exists_stays_and_counts() -> None:
    kept = {"n2": "m1", "n3": "m1", "gone": "m2"}
    assert seated(asking(4), ALIKE, {}, kept) == {"n1": "m2", "n2": "m1", "n3": "m1", "n4": "m2"}


def test_the_file_has_the_last_word() -> None:
    found = seated(asking(3, n1="m2", n2="m2"), ALIKE, {}, {"n1": "m1"})
    assert found == {"n1": "m2", "n2": "m2", "n3": "m1"}


def test_a_machine_that_is_gone_has_nobody() -> None:
    assert seated(asking(1), ALIKE, {}, {"n1": "m9"}) == {"n1": "m1"}


def test_packed_nodes_fill_machine_after_machine_and_kind_after_kind() -> None:
    found = seated(asking(7), PACK, ROOM, {})
    assert list(found.values()) == ["m1", "m1", "m2", "m2", "m3", "m3", "m4"]


def test_packed_nodes_pass_by_what_has_no_room() -> None:
    assert list(seated(asking(2), PACK, {**ROOM, "m1": 64, "m2": 128}, {}).values()) == ["m2", "m3"]


def test_packed_nodes_without_room_are_spread_for_the_plan_to_refuse() -> None:
    assert list(seated(asking(2, 512), PACK, ROOM, {}).values()) == ["m1", "m3"]


# -- who is told of it -----------------------------------------------------------------------------------------------


def folded(directory: Path, name: str, **nodes: str) -> Seats:
    seats = Seats(str(directory / "cluster"), "spread", nodes, sorted(set(nodes.values())))
    seats.write(str(directory / name), name)
    return seats


def test_the_other_deployment_knows_who_is_on_its_machines(tmp_path: Path) -> None:
    cluster = str(tmp_path / "cluster")
    assert guests(cluster) == {}
    one = folded(tmp_path, "one", web1="m1", web2="m2", db="m1")
    two = folded(tmp_path, "two", app="m1")
    folded(tmp_path, "two", app="m1")
    assert guests(cluster) == {
        "m1": {"one": ["db", "web1"], "two": ["app"]},
        "m2": {"one": ["web2"]},
    }
    one.forget(str(tmp_path / "one"), "one")
    assert guests(cluster) == {"m1": {"two": ["app"]}}
    two.forget(str(tmp_path / "two"), "two")
    assert guests(cluster) == {} and not (tmp_path / "cluster/guests").exists()


def test_machines_with_nodes_do_not_end_but_those_that_have_ended_do(tmp_path: Path) -> None:
    folded(tmp_path, "one", web1="m1", web2="m2")
    seen = {"m1": Seen("running"), "m2": Seen("stopped"), "m3": Seen("running")}
    assert end_guests(str(tmp_path / "cluster"), ["m2", "m3"], seen) == {}
    with pytest.raises(InputError, match="m1: 'm1' is the machine of web1 of deployment 'one', folded onto it, which"):
        end_guests(str(tmp_path / "cluster"), ["m1", "m2"], seen)


def test_machines_end_with_nodes_that_the_run_starts_again(tmp_path: Path) -> None:
    folded(tmp_path, "one", web1="m1", web2="m1")
    folded(tmp_path, "two", app="m1")
    seen, state = {"m1": Seen("running")}, str(tmp_path / "cluster")
    both = {"one": ("web1", "web2"), "two": ("app",)}
    assert end_guests(state, ["m1"], seen, both) == {"one": ["web1", "web2"], "two": ["app"]}
    with pytest.raises(InputError, match="machine of web2 of deployment 'one'.*or deploy both in one run"):
        end_guests(state, ["m1"], seen, {**both, "one": ("web1",)})


def test_a_deployment_that_was_moved_away_holds_nobody_up(tmp_path: Path) -> None:
    folded(tmp_path, "one", web1="m1")
    (tmp_path / "one").rename(tmp_path / "elsewhere")
    assert guests(str(tmp_path / "cluster")) == {}


def test_seats_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    folded(tmp_path, "one", web1="m1")
    (tmp_path / "one/seats.json").write_text("{")
    with pytest.raises(InputError, match="remove it once nothing of them is left there"):
        guests(str(tmp_path / "cluster"))
