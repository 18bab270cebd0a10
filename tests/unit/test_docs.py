# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages for people say of the code is true: links, names, commands, variables and messages."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import typing as t
from functools import cache
from pathlib import Path

import pytest
import yaml
from test_examples import LIFE, PLUGINS, RESERVING

from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS, Builder
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS, Platform

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "roles").glob("*/README.md")])

LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
#: ``immutable.compose.NAME``, but no schema and no file.
NAME = re.compile(r"\bimmutable\.compose\.([a-z_]+)\b(?![/.])")
#: Files of the collection, as the pages name them: below plugins/module_utils, or below plugins.
FILE = re.compile(
    r"`((?:model|describe|images|nodes|builders|platforms|checks|deploy|plugin_utils|action|inventory|modules)"
    r"/[\w/]+\.py)`"
)
#: Files and directories of the repository, in the pages.
PATH = re.compile(r"`((?:compositions|docs|examples|inventories|meta|nix|playbooks|plugins|roles|tests)/[\w./-]+)`")
#: What a page has somebody make, and what a run makes.
MADE = {"compositions/metal", "playbooks/group_vars/", "tests/output"}
#: Schemas of types that nobody writes or reads yet.
UNUSED = {"immutable.compose/event/1", "immutable.compose/ledger/1"}
#: What a list in YAML may have besides modules: roles, documentation fragments, the inventory plugin.
NO_MODULES = {"build", "deploy", "init", "verify", "fleet", "oar", "composition", "sealed_ssh", "ssh_connection"}
#: What stands for names and numbers in a message.
GAP = "…"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def pages() -> t.Any:
    return pytest.mark.parametrize("page", PAGES, ids=map(name, PAGES))


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and GitLab make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", LINK.sub(lambda link: link[0][1 : link[0].index("]")], heading).lower())
        found.add(words.strip().replace(" ", "-"))
    return found


@pages()
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        target, _hash, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            wrong.append(link)
    assert wrong == []


def test_every_page_is_led_to() -> None:
    """From the first page of the manual, by links."""
    first = ROOT / "docs/index.md"
    found, new = {first}, [first]
    while new:
        page = new.pop()
        links = (link.partition("#")[0] for link in LINK.findall(prose(page.read_text(encoding="utf-8"))))
        led = {(page.parent / link).resolve() for link in links if link.endswith(".md") and ":" not in link}
        new += led - found
        found |= led
    assert {name(page) for page in (ROOT / "docs").rglob("*.md") if page not in found} == set()


@pages()
def test_pages_have_a_title_and_pictures_have_words(page: Path) -> None:
    text = prose(page.read_text(encoding="utf-8"))
    assert re.match(r"(?:<!--.*?-->\n+)?# \S", text, re.DOTALL), "no title"
    assert [found for found in re.findall(r"!\[([^]]*)\]\(", text) if len(found.split()) < 3] == []


def known() -> set[str]:
    """Whatever is called ``immutable.compose.NAME``; ``compose`` is all modules, two are labels of containers."""
    return {"compose", "deployment", "role"} | {
        path.stem
        for pattern in (
            *(
                f"plugins/{kind}/*.py"
                for kind in ("modules", "action", "inventory", "lookup", "connection", "doc_fragments")
            ),
            "playbooks/*.yml",
            "roles/*",
        )
        for path in ROOT.glob(pattern)
    }


def sources() -> list[Path]:
    return [
        *PAGES,
        *(path for kind in ("plugins", "roles", "playbooks", "changelogs/fragments") for path in text_of(kind)),
    ]


def text_of(kind: str) -> list[Path]:
    return sorted(path for path in (ROOT / kind).rglob("*") if path.suffix in (".py", ".yml", ".md"))


def test_whatever_is_named_exists() -> None:
    wrong = [
        f"{name(path)}: {found}"
        for path in sources()
        for found in NAME.findall(path.read_text(encoding="utf-8"))
        if found not in known()
    ]
    assert wrong == []


def modules() -> set[str]:
    return {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}


def test_modules_are_called_by_their_names() -> None:
    """``immutable.compose.verify`` is a playbook and a role, and no module."""
    wrong = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        called = re.findall(r"(?:^ +(?:- )?|M\(|module:? `?)immutable\.compose\.([a-z_]+)\b(?!\.)", text, re.MULTILINE)
        wrong += [f"{name(path)}: {found}" for found in called if found not in modules() | NO_MODULES]
    assert wrong == []


@pages()
def test_files_that_pages_name_exist(page: Path) -> None:
    wrong = [
        found
        for found in FILE.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / "plugins/module_utils" / found).exists() and not (ROOT / "plugins" / found).exists()
    ]
    assert wrong == []


@pages()
def test_paths_that_pages_name_exist(page: Path) -> None:
    named = set(PATH.findall(page.read_text(encoding="utf-8"))) - MADE
    assert {path for path in named if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("registry", [PLATFORMS, BUILDERS], ids=["platforms", "builders"])
def test_options_are_those_of_their_tables(registry: t.Mapping[str, type[Platform] | type[Builder]]) -> None:
    for kind in registry.values():
        folder = "builders" if issubclass(kind, Builder) else "platforms"
        page = (ROOT / "docs" / folder / f"{kind.name}.md").read_text(encoding="utf-8")
        rows = re.findall(r"(?<=\n)\| (`\w+`(?:, `\w+`)*)(?:, no option)? \|", page)
        assert set(kind.options) - {word for row in rows for word in re.findall(r"\w+", row)} == set(), kind.name
        table = page.partition("| option |")[2].split("\n\n")[0]
        named = {
            word for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for word in re.findall(r"\w+", row)
        }
        assert named - set(kind.options) == set(), kind.name


def test_every_playbook_is_in_the_tables() -> None:
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs/playbooks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `immutable\.compose\.(\w+)`", readme, re.MULTILINE)) == playbooks
    table = page[page.index("| playbook | does |") :].split("\n\n")[0]
    assert set(re.findall(r"^\| \[?`(\w+)`", table, re.MULTILINE)) == playbooks


def test_every_variable_of_a_playbook_is_in_its_page() -> None:
    page = "".join((ROOT / f"docs/{page}.md").read_text(encoding="utf-8") for page in ("playbooks", "audit"))
    used: set[str] = set()
    registered: set[str] = set()
    for path in (*text_of("playbooks"), *text_of("roles")):
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"\bcompose_[a-z_]+\b", text))
        registered |= set(re.findall(r"(?:register: |^ +)(compose_[a-z_]+)(?::|$)", text, re.MULTILINE))
    assert {variable for variable in used - registered if f"`{variable}" not in page} == set()


def test_every_key_of_a_deployment_file_is_in_its_page() -> None:
    documentation = (ROOT / "plugins/inventory/composition.py").read_text(encoding="utf-8")
    options = yaml.safe_load(re.findall(r'DOCUMENTATION = r"""\n(.*?)"""', documentation, re.DOTALL)[0])["options"]
    page = (ROOT / "docs/inventory.md").read_text(encoding="utf-8")
    table = page[page.index("| key | value | default |") :].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(options)


def test_every_schema_is_in_the_table_of_documents() -> None:
    page = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    table = page[page.index("| document | schema |") :].split("\n\n")[0]
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "plugins").rglob("*.py")]
    schemas = {found for text in sources for found in re.findall(r'"(immutable\.compose/[a-z]+/[0-9]+)"', text)}
    assert set(re.findall(r"`(immutable\.compose/[a-z]+/[0-9]+)`", table)) == schemas - UNUSED


def test_files_of_the_page_on_adopting_are_those_of_the_demo() -> None:
    page = (ROOT / "docs/adopting.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n# ([\w./-]+).*?\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 5
    for name_, text in blocks:
        path = ROOT / "tests/tools/mixed" / name_
        assert yaml.safe_load(text) == yaml.safe_load(path.read_text(encoding="utf-8")), name_


def test_commands_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        command
        for page in PAGES
        for command in re.findall(r"(?:^|`)make ([a-z][a-z0-9-]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named - targets == set()
    assert {"demo", "test"} <= named


def test_examples_of_all_modules_and_plugins_are_run() -> None:
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    assert {*(name for _hosts, name in LIFE), *RESERVING} == modules
    others = {
        path.stem: path.parent.name for kind in PLUGINS.values() for path in (ROOT / "plugins" / kind).glob("*.py")
    }
    assert others == PLUGINS


# -- messages ------------------------------------------------------------------------------------------------------


def rendered(node: ast.AST) -> str | None:
    """A string of the code as people see it, with a gap for each value that is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else GAP for part in node.values]
        return "".join(map(str, parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = rendered(node.left), rendered(node.right)
        return None if left is None and right is None else f"{left or GAP}{right or GAP}"
    return None


def parts(node: ast.AST) -> t.Iterator[int]:
    """What a string is put together of, but for the values."""
    children = node.values if isinstance(node, ast.JoinedStr) else []
    for child in [node.left, node.right] if isinstance(node, ast.BinOp) else children:
        yield id(child)
        yield from parts(child)


def said(path: Path) -> t.Iterator[tuple[int, str]]:
    """Line and text of all strings of a file but its documentation; of those that are put together, the whole."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    skipped |= {id(node.value) for node in tree.body if isinstance(node, ast.Assign)}
    for node in ast.walk(tree):
        if id(node) not in skipped and isinstance(node, ast.expr) and (text := rendered(node)) is not None:
            skipped |= set(parts(node))
            yield node.lineno, text


@cache
def strings() -> list[str]:
    """All strings of the code but its documentation."""
    found = [text for path in (ROOT / "plugins").rglob("*.py") for _line, text in said(path)]
    # What Nix says, whose texts are joined by `+`, and Guix; what `make` looks at first.
    files = [path for path in (ROOT / "nix").rglob("*.*") if path.suffix in (".nix", ".scm")]
    files += [ROOT / "tests/tools" / name for name in ("preflight.sh", "setup.sh")]
    programs = [path.read_text(encoding="utf-8") for path in files]
    return [*found, *(re.sub(r'"\s*\+ "', "", text) for text in programs)]


def is_said(message: str, said: t.Iterable[str]) -> bool:
    """Whether some string of the code has the words of a message, in their order."""
    words = [re.escape(part.strip()) for part in message.split(GAP) if part.strip(" .:;,")]
    pattern = re.compile(".*".join(words), re.DOTALL)
    return any(pattern.search(text) for text in said)


def messages() -> list[str]:
    """The first column of the tables of the page."""
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_messages_are_what_the_program_says() -> None:
    """One test: ansible-test gives each a process of its own, and each would read all of the code."""
    assert [message for message in messages() if not is_said(message, strings())] == []


def test_the_tool_that_lists_messages_runs() -> None:
    command = [sys.executable, str(ROOT / "tests/tools/messages.py"), "is sealed:"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"plugins/connection/sealed_ssh\.py:\d+: … is sealed: [^\n]+\n", listed)


def test_messages_that_nobody_says_are_found() -> None:
    assert len(messages()) > 50
    assert not is_said("the moon is … made of cheese", strings())
    assert not is_said("Nothing was touched. … node", ["node … . Nothing was touched."])
    assert is_said("node … . Nothing was …", ["the node …: . Nothing was touched."])
