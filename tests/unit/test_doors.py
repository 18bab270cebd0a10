# SPDX-License-Identifier: GPL-3.0-or-later
"""What crosses a room's door has a type: the signatures that other rooms import, read for ``dict[str, t.Any]``."""

from __future__ import annotations

import ast
import re
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
PACKAGE = "ansible_collections.immutable.compose.plugins"
#: Nobody has to check it, and nobody knows what it is.
LOOSE = r"(?:dict|Dict|Mapping|MutableMapping)\[str, (?:t\.|typing\.)?Any\]"
#: Whoever reads it has to check it first; right only where nobody can know what it is.
UNCERTAIN = r"(?:dict|Dict|Mapping|MutableMapping)\[str, object\]"

Definition = ast.FunctionDef | ast.ClassDef
#: File → what it holds.
Trees = t.Mapping[Path, ast.Module]


def trees(root: Path) -> dict[Path, ast.Module]:
    """All sources; action plugins that are links to one file count once."""
    paths = (path for path in sorted(root.rglob("*.py")) if not path.is_symlink())
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def room_of(path: Path, root: Path) -> str:
    inside = path.relative_to(root).parts
    return "/".join(inside[:2]) if inside[0] == "module_utils" and len(inside) > 2 else inside[0]


def imported(files: Trees, root: Path) -> set[tuple[Path, str]]:
    """File and name of what another room imports; ``*`` where it imports the file."""
    found = set()
    for path, tree in files.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            parts = (node.module or "").split(".") if node.module else []
            if node.level:
                target = path.parents[node.level - 1].joinpath(*parts)
            elif (node.module or "").startswith(f"{PACKAGE}."):
                target = root.joinpath(*parts[len(PACKAGE.split(".")) :])
            else:
                continue
            for alias in node.names:
                for file, name in ((target.with_suffix(".py"), alias.name), (target / f"{alias.name}.py", "*")):
                    if file in files and room_of(file, root) != room_of(path, root):
                        found.add((file, name))
    return found


def signatures(definition: Definition) -> t.Iterator[tuple[str, str]]:
    """What a caller must know: where → annotation, of a function, or of the fields and methods of a class."""
    if isinstance(definition, ast.FunctionDef):
        args = definition.args
        for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs):
            if arg.annotation:
                yield f"{definition.name}({arg.arg})", ast.unparse(arg.annotation)
        if definition.returns:
            yield f"{definition.name}()", ast.unparse(definition.returns)
        return
    for member in definition.body:
        if isinstance(member, ast.FunctionDef) and (not member.name.startswith("_") or member.name == "__init__"):
            for where, annotation in signatures(member):
                yield f"{definition.name}.{where}", annotation
        elif isinstance(member, ast.AnnAssign):
            name = ast.unparse(member.target)
            if not name.startswith("_"):
                yield f"{definition.name}.{name}", ast.unparse(member.annotation)


def crossing(files: Trees, root: Path) -> set[tuple[Path, str]]:
    """What other rooms import, and the types of the same room that its signatures name."""
    homes: dict[tuple[str, str], Path] = {}
    for path, tree in files.items():
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                homes[room_of(path, root), node.name] = path
    found: set[tuple[Path, str]] = set()
    todo = imported(files, root)
    while todo:
        file, name = todo.pop()
        for node in files[file].body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or (file, node.name) in found:
                continue
            if node.name != name and (name != "*" or node.name.startswith("_")):
                continue
            found.add((file, node.name))
            bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            for annotation in [*bases, *(text for _where, text in signatures(node))]:
                for word in re.findall(r"\w+", annotation):
                    home = homes.get((room_of(file, root), word))
                    if home:
                        todo.add((home, word))
    return found


def loose(root: Path, kind: str = LOOSE) -> set[str]:
    """Signatures that cross a door without a type, as ``file: where``."""
    files = trees(root)
    names = {
        target.id
        for tree in files.values()
        for node in tree.body
        if isinstance(node, ast.Assign) and re.fullmatch(rf"(?:\w+\.)?{kind}", ast.unparse(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    pattern = re.compile("|".join([kind, *(rf"\b{name}\b" for name in sorted(names))]))
    return {
        f"{file.relative_to(root)}: {where}"
        for file, name in crossing(files, root)
        for node in files[file].body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
        for where, annotation in signatures(node)
        if pattern.search(annotation)
    }


#: Ansible's own interface: its base classes and its task variables have these types.
ANSIBLE: set[str] = {
    "module_utils/fleet_module.py: run_step(extra)",
    "plugin_utils/fleet.py: FleetAction.run()",
    "plugin_utils/fleet.py: FleetAction.run(task_vars)",
    "plugin_utils/transport.py: Transport.__init__(task_vars)",
}

#: What users wrote, and what Ansible's variables hold: checked by describe/values.py, or by the codec.
WRITTEN: set[str] = {
    "module_utils/describe/changes.py: changes_of()",
    "module_utils/describe/changes.py: changes_of(variables)",
    "module_utils/describe/changes.py: with_changes()",
    "module_utils/describe/changes.py: with_changes(changes)",
    "module_utils/describe/changes.py: with_changes(content)",
    "module_utils/describe/deployment.py: Others.held",
    "module_utils/describe/deployment.py: Others.hosts",
    "module_utils/describe/deployment.py: Parsed.variables",
    "module_utils/describe/deployment.py: name_of(data)",
    "module_utils/describe/deployment.py: parse(data)",
    "module_utils/describe/entries.py: RoleEntry.rest",
    "module_utils/describe/entries.py: require_roles(entries)",
    "module_utils/describe/hostvars.py: from_hostvars(hostvars)",
    "module_utils/describe/hostvars.py: to_hostvars()",
    "module_utils/describe/values.py: mapping()",
    "module_utils/describe/values.py: variables()",
    "plugin_utils/deployment_file.py: checked()",
    "plugin_utils/nxc_distribution.py: with_distribution()",
    "plugin_utils/nxc_distribution.py: with_distribution(options)",
    "plugin_utils/way_out.py: from_counts(options)",
    "plugin_utils/way_out.py: from_release(options)",
}

#: Arguments of tasks and results of modules, between Ansible's action plugins and its modules.
TASKS: set[str] = {
    "module_utils/experiments/measured.py: measured_by(result)",
    "module_utils/oar/task.py: access(params)",
    "plugin_utils/sealing.py: Act.arguments",
    "plugin_utils/transport.py: Transport.follow()",
    "plugin_utils/transport.py: Transport.follow(args)",
    "plugin_utils/transport.py: Transport.run()",
    "plugin_utils/transport.py: Transport.run(args)",
}


def test_what_crosses_a_door_has_a_type() -> None:
    found = loose(PLUGINS)
    assert sorted(found - ANSIBLE) == [], "give it a type of model/"
    assert sorted(ANSIBLE - found) == [], "gone: take it out of the list"


def test_what_nobody_can_know_is_what_users_write() -> None:
    """``object`` in place of ``Any`` is no type either, where the structure is known."""
    found = loose(PLUGINS, UNCERTAIN)
    assert sorted(found - WRITTEN - TASKS) == [], "give it a type of model/"
    assert sorted((WRITTEN | TASKS) - found) == [], "gone: take it out of the list"


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("def f(a: dict[str, t.Any]) -> None: ...", "f(a)"),
        ("def f(*, a: t.Mapping[str, t.Any] | None = None) -> None: ...", "f(a)"),
        ("def f() -> list[dict[str, Any]]: ...", "f()"),
        ("Data = t.Mapping[str, t.Any]\ndef f(a: Data) -> None: ...", "f(a)"),
        ("class f:\n    a: t.Mapping[str, t.Any]", "f.a"),
        ("class f:\n    def __init__(self, a: dict[str, t.Any]) -> None: ...", "f.__init__(a)"),
        ("class G:\n    a: dict[str, t.Any]\ndef f() -> G: ...", "G.a"),
        ("class G:\n    def a(self) -> dict[str, t.Any]: ...\nclass f(G): ...", "G.a()"),
    ],
)
@pytest.mark.parametrize("importing", ["from ..low.file import f", f"from {PACKAGE}.module_utils.low.file import f"])
def test_what_has_none_is_seen(tmp_path: Path, source: str, where: str, importing: str) -> None:
    assert loose(house(tmp_path, source, importing)) == {f"module_utils/low/file.py: {where}"}


def test_what_has_to_be_checked_is_told_from_it(tmp_path: Path) -> None:
    root = house(
        tmp_path, "Data = t.Mapping[str, object]\ndef f(a: Data) -> dict[str, object]: ...", "from ..low.file import f"
    )
    assert loose(root) == set()
    assert loose(root, UNCERTAIN) == {"module_utils/low/file.py: f(a)", "module_utils/low/file.py: f()"}


def test_a_file_that_is_imported_shows_all_that_is_public(tmp_path: Path) -> None:
    source = "def f(a: dict[str, t.Any]) -> None: ...\ndef _g(a: dict[str, t.Any]) -> None: ..."
    assert loose(house(tmp_path, source, "from ..low import file")) == {"module_utils/low/file.py: f(a)"}


@pytest.mark.parametrize(
    "source",
    [
        "def f(a: dict[str, int]) -> None: ...",
        "def f() -> None: ...\ndef inside(a: dict[str, t.Any]) -> None: ...",
        "class f:\n    _a: dict[str, t.Any]\n    def _b(self) -> dict[str, t.Any]: ...",
    ],
)
def test_what_stays_in_its_room_is_its_own(tmp_path: Path, source: str) -> None:
    assert loose(house(tmp_path, source, "from ..low.file import f")) == set()


def house(root: Path, source: str, importing: str) -> Path:
    """Two rooms: `high` imports from `low`."""
    for room, text in (("low", source), ("high", importing)):
        directory = root / "module_utils" / room
        directory.mkdir(parents=True)
        (directory / "file.py").write_text(text, encoding="utf-8")
    return root
