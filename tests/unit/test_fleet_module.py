# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet modules: little is packed of each, and each has its step."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils import fleet_module
from ansible_collections.immutable.compose.plugins.module_utils.deploy import steps
from ansible_collections.immutable.compose.plugins.plugin_utils import fleet

PLUGINS = Path(__file__).parents[2] / "plugins"
UTILS = "ansible_collections.immutable.compose.plugins.module_utils."


def packed(module: Path) -> set[str]:
    """Files of ``module_utils`` that Ansible packs, found as it finds them: by every import, wherever it is."""
    found: set[str] = set()
    todo = [module]
    while todo:
        path = todo.pop()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            name = node.module or ""
            start = path.parents[node.level - 1] if node.level else PLUGINS / "module_utils"
            file = start.joinpath(*name.removeprefix(UTILS).split(".")).with_suffix(".py")
            if (node.level or name.startswith(UTILS)) and file.name not in found:
                found.add(file.name)
                todo.append(file)
    return found


@pytest.mark.parametrize("module", sorted(fleet.STEPS))
def test_the_code_of_a_step_is_not_packed_for_each_task(module: str) -> None:
    assert packed(PLUGINS / f"modules/{module}.py") == {"fleet_module.py", "shipped.py", "errors.py"}


@pytest.mark.parametrize("module", sorted(fleet.STEPS))
def test_each_module_has_a_step(module: str) -> None:
    (call,) = [
        node
        for node in ast.walk(ast.parse((PLUGINS / f"modules/{module}.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run_step"
    ]
    assert ast.literal_eval(call.args[0]) in steps.STEPS


def test_what_a_step_is_told_is_gone_before_its_code_is_looked_for(tmp_path: Path) -> None:
    parcel = tmp_path / "parcel"
    parcel.write_text('["/usr/share/compose", ""]\n{"secrets": {}}\n', encoding="utf-8")
    place, told = fleet_module._opened(str(parcel))
    assert (place.directory(), told, parcel.exists()) == ("/usr/share/compose", '{"secrets": {}}\n', False)
    parcel.write_text("no parcel", encoding="utf-8")
    with pytest.raises(ValueError):
        fleet_module._opened(str(parcel))
    assert not parcel.exists()
