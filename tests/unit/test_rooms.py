# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may know whom: the imports of plugins/module_utils, held against the order of rooms in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UTILS = ROOT / "plugins/module_utils"
#: What lies beside the rooms: every room stands on it.
GROUND = "(ground)"

#: Arrows that run upwards still. This list may only shrink.
KNOWN: set[tuple[str, str]] = set()


def order(text: str) -> list[str]:
    """The rooms, the highest first."""
    block = re.search(r"```rooms\n(.*?)```", text, re.DOTALL)
    assert block, "docs/architecture.md has no block ```rooms"
    return [*(line.split()[0] for line in block[1].splitlines()), GROUND]


def room_of(path: Path) -> str:
    inside = path.relative_to(UTILS).parts
    return inside[0] if len(inside) > 1 else GROUND


def arrows(path: Path, source: str) -> set[str]:
    """Rooms that a file imports from, also in functions and for type checkers only."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            target = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        elif (node.module or "").startswith("ansible_collections.immutable.compose.plugins."):
            target = (ROOT / "plugins").joinpath(*str(node.module).split(".")[4:])
        else:
            continue
        for alias in node.names:
            # `from .. import room`, `from ..room import name`, `from ..room.file import name`
            place = target / alias.name if target == UTILS else target
            assert UTILS in place.parents, f"{path}: imports {target}, which modules do not have"
            inside = place.relative_to(UTILS).parts[0]
            found.add(inside if (UTILS / inside).is_dir() else GROUND)
    return found


def upwards(rooms: list[str]) -> set[tuple[str, str]]:
    """File and room, where a file imports from a room above its own."""
    height = {room: -number for number, room in enumerate(rooms)}
    return {
        (str(path.relative_to(UTILS)), room)
        for path in UTILS.rglob("*.py")
        for room in arrows(path, path.read_text(encoding="utf-8"))
        if height[room] > height[room_of(path)]
    }


@pytest.fixture
def rooms() -> list[str]:
    return order((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))


def test_every_room_has_its_place(rooms: list[str]) -> None:
    found = {path.name for path in UTILS.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert found == set(rooms) - {GROUND}
    assert len(rooms) == len(set(rooms))


def test_no_arrow_runs_upwards(rooms: list[str]) -> None:
    found = upwards(rooms)
    assert found - KNOWN == set(), "a room may import from those below it only"
    assert KNOWN - found == set(), "gone: take it out of the list"


@pytest.mark.parametrize(
    "source",
    [
        "from ..deploy.engine import Engine",
        "from ..deploy import engine",
        "from .. import deploy",
        "def f():\n    from ..deploy.engine import Engine",
        "if TYPE_CHECKING:\n    from ..deploy.engine import Engine",
        "from ansible_collections.immutable.compose.plugins.module_utils.deploy.engine import Engine",
    ],
)
def test_arrows_are_seen(source: str) -> None:
    assert arrows(UTILS / "model/image.py", source) == {"deploy"}


def test_what_lies_beside_the_rooms_is_ground() -> None:
    assert arrows(UTILS / "model/image.py", "from ..errors import InputError\nfrom . import codec") == {GROUND, "model"}
    assert arrows(UTILS / "errors.py", "from .model import codec\nfrom .files import read_json") == {GROUND, "model"}
