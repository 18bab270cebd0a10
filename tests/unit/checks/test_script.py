"""What is refused before a test script runs."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.deadline import Deadline
from ansible_collections.immutable.compose.plugins.module_utils.checks.machine import Machine
from ansible_collections.immutable.compose.plugins.module_utils.checks.script import (
    METHODS,
    REFUSED,
    SCRIPT,
    SYMBOLS,
    abilities_of,
    check_script,
    modules_needed,
    names_read,
    variables,
)
from ansible_collections.immutable.compose.plugins.module_utils.checks.script_process import ScriptProcess
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.hands import Ability, abilities
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

NODES = ["oar-server", "node1", "node2"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n    start_all()\n    oar_server.wait_for_unit('ssh')\n",
        "machines['oar-server'].succeed('true')\nmachines[0].fail('false')",
        "for m in machines:\n    m.succeed('true')\nprint([n.name for n in machines])",
        "import json\nfrom time import sleep as pause\npause(1); json.dumps({})",
        "def f(a, *b, c=1, **d):\n    global g\n    g = a\n    return b, c, d, g\nf(1)",
        "with subtest('x') as s, open(os.devnull) as f:\n    pass\ntry:\n    pass\nexcept OSError as e:\n    print(e)",
        "if (n := 3) > 2:\n    print(f'{n} {node1.name}')",
        "parallel(*[lambda m=m: m.succeed('true') for m in machines]); retry(lambda last: True); t.assertTrue(1)",
        "from math import *\nprint(pi)",
        "node1 = {}\nnode1.anything()\nmachines = {}\nmachines['x'] = 1",
        "machine = machines[0]\nmachine.connected = False\nprint(machine.booted, machine.out_dir / 'x')",
        "match [1, 2]:\n    case [x, *rest]:\n        print(x, rest)\n    case {'a': a, **b}:\n        print(a, b)",
    ],
)
def test_scripts_that_work(text: str) -> None:
    check_script(text, NODES)


@pytest.mark.parametrize(
    "text",
    [
        "examon_broker.succeed('true')\nwebServer2.wait_for_unit('x')\nmachines['webServer1'].fail('false')",
        "webserver1.succeed('true')\ndef f():\n    return webServer1\nf()",
    ],
)
def test_nodes_may_be_called_as_their_roles_are(text: str) -> None:
    nodes = ["examon-broker", "webserver1", "webserver2"]
    assert check_script(text, nodes) == []
    assert variables(nodes, "examon_broker; webServer1; Exception; log")["webServer1"] == "webserver1"
    with pytest.raises(InputError, match="machines have no 'wait' here"):
        check_script("webServer1.wait()", nodes)


def test_what_python_warns_of_is_told_and_not_shown(recwarn: pytest.WarningsRecorder) -> None:
    (warning,) = check_script("x = 1\nnode1.succeed('echo \\d')\n", NODES)
    assert warning.startswith("testScript, line 2: ") and "\\d" in warning
    assert warning.endswith("node1.succeed('echo \\d')")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node1.succeed('true'\n", r"testScript, line 1: '\(' was never closed\n    node1.succeed\('true'"),
        ("\n    x = 1\n    if x\n        pass\n", r"line 3: expected ':'\n    if x"),
        ("node1.succeed('a')\n  node2.succeed('b')", "line 2: unexpected indent"),
        (
            "start_all()\nnode3.succeed('true')",
            r"line 2: 'node3' is neither a node .*; did you mean 'node\d'\?\n    node3",
        ),
        ("frontend.succeed('true')", "'frontend' is neither a node"),
        ("start_al()", "did you mean 'start_all'"),
        ("def f():\n    return missing_name", "line 2: 'missing_name'"),
        ("machines['oar-servr'].succeed('true')", "line 1: there is no node 'oar-servr'; did you mean 'oar-server'"),
        ("node1.wait_for_unitt('ssh')", "machines have no 'wait_for_unitt' here; did you mean 'wait_for_unit'"),
        ("oar_server.send_key('ret')", "machines have no 'send_key' here"),
        ("machine.succeed('true')", "'machine' is neither"),
        ("a\0b", "null bytes"),
    ],
)
def test_scripts_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_script(text, NODES)


def test_variables() -> None:
    assert variables(["oar-server", "1node"]) == {"oar_server": "oar-server", "_node": "1node"}
    assert variables(["server"]) == {"server": "server", "machine": "server"}
    check_script("machine.succeed('true')", ["server"])


def test_machines_are_seen_in_whatever_variable() -> None:
    for text in (
        "for m in machines:\n    m.crush()",
        "for m in [node1, node2]: m.crush()",
        "[m.crush() for m in machines[1:]]",
        "a, b = node1, machines[0]\nb.crush()",
        "machines['node1'].crush()",
        "machines[-1].crush()",
        "for i, m in enumerate(machines):\n    m.crush()",
        "for m, n in zip(machines, range(3)): m.crush()",
        "servers = [m for m in machines if m.role]\nfor s in sorted(servers, key=str): s.crush()",
        "parallel(*[lambda m=m: m.crush() for m in machines])",
        "(m := node1).crush()",
        "servers = [node1, node2]\nservers[0].crush()",
        "a, b, c = machines\nb.crush()",
        "first, *rest = machines\nfor m in rest: m.crush()",
        "(node1 if 1 else node2).crush()",
        "next(iter(machines)).crush()",
        "import random\nrandom.choice([*machines, node1]).crush()",
        "import itertools\nfor a, b in itertools.combinations(machines, 2): b.crush()",
        "getattr(node1, 'crush')()",
        "def f(m):\n    m.crush()\nf(node1)",
        "def f(m, *, n=None):\n    m.crush()\nfor each in machines: f(m=each)",
        "def f(*ms):\n    for m in ms: m.crush()\nf(*machines)\nf(node1, node2)",
        "def f(m: Machine):\n    m.crush()\nprint(f)",
        "def f(m):\n    g(m)\ndef g(n):\n    n.crush()\nlist(map(f, machines))",
        "f = lambda m: m.crush()\nparallel(lambda: f(node1))",
        "list(map(lambda m: m.crush(), machines))",
    ):
        with pytest.raises(InputError, match="machines have no 'crush' here; did you mean 'crash'"):
            check_script(text, NODES)
    for text in (
        "def f(m):\n    m.crush()\nf(node1)\nf(object())",
        "def f(m):\n    m.crush()\nf(node1)\nparallel(f)",
        "def f(m, *ms):\n    m.crush()\nf(*machines)\nf(*[object()])",
        "def f(m):\n    m.crush()\nf(node1)\nf(**dict(m=1))",
        "class C:\n    def f(self, m): m.crush()\nC().f(1)",
        "a, b = node1.execute('true')\nb.strip()",
        "first, *rest = [node1, 'x']\nrest[0].upper()",
        "for m in [node1, 'x']: m.crush",
        "for m in machines: pass\nm = 1\nm.bit_length()",
        "for machines in [1]: machines.bit_length()",
        "m = node1\nfor m in 'abc': m.upper()",
    ):
        check_script(text, NODES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "start_all()\nfor m in machines: m.crash()",
            "line 2: machines have no 'crash' on platform 'bare', which",
        ),
        ("node1.block()", "machines have no 'block' on platform 'bare', which cannot unplug machines"),
        (
            "node1.send_console('x')",
            "machines have no 'send_console' on platform 'bare', which cannot type",
        ),
        ("join_all()", "there is no 'join_all' on platform 'bare', which cannot switch machines off and on"),
    ],
)
def test_what_the_platform_cannot_do_is_refused(text: str, message: str) -> None:
    check_script(text, NODES)
    with pytest.raises(InputError, match=message):
        check_script(text, NODES, "bare", can=())
    assert len(abilities_of(text)) == 1


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_nobody_has_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InputError, match=f"machines have no '{name}' here: {REFUSED[name][:20]}"):
        check_script(f"node1.{name}()", NODES)
    with pytest.raises(InputError, match=f"there is no '{name}' here: {REFUSED[name][:20]}"):
        check_script(f"{name}", NODES)
    check_script(f"{name} = 1\nprint({name})", NODES)


def test_whatever_mentions_a_method_may_use_it() -> None:
    assert abilities_of("getattr(node1, 'crash')()") == {Ability.POWER}
    assert abilities_of("node1.succeed('crash it')\nnode1.start()") == set()
    assert abilities_of("a b") == set()
    assert abilities_of("node1.execute('systemctl poweroff', check_return=False)") == {Ability.POWER}


def test_the_docs_have_every_method_and_what_platforms_can_do() -> None:
    text = (Path(__file__).parents[3] / "docs/checks.md").read_text(encoding="utf-8")
    listed = text[text.index("### Machines") : text.index("### What platforms can do")]
    assert [name for name in METHODS if f"`{name}" not in listed and f", {name}" not in listed] == []
    assert [name for name in SYMBOLS if f"`{name}" not in text] == []
    table = text[text.index("### What platforms can do") :].split("\n\n")[0].splitlines()[1:]
    head, _line, *rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    for ability, row in zip((Ability.POWER, Ability.CABLE, Ability.KEYBOARD), rows, strict=False):
        needing = {name for name, needed in {**METHODS, **SYMBOLS}.items() if needed is ability}
        assert set(re.findall("`([a-z_]+)`", row[0])) == needing
        columns = zip(row[1:], head[1:], strict=True)
        told = {name: cell == "yes" for cell, names in columns for name in names.split(", ")}
        assert told == {name: ability in abilities(platform) for name, platform in PLATFORMS.items()}


def test_every_method_that_is_accepted_exists(tmp_path: Path) -> None:
    nothing = t.cast(t.Any, None)
    machine = Machine("node", nothing, Deadline(10), console=nothing, hands=nothing, results=str(tmp_path), say=print)
    of_the_script = {"booted", "connected", "nested", "out_dir"}
    of_its_process = {"doing", "let_go"}
    assert {*METHODS, *of_its_process} - of_the_script == {name for name in dir(machine) if not name.startswith("_")}


def test_every_symbol_that_is_accepted_is_defined() -> None:
    """Else the check would let through what fails after the switch."""
    text = f"print({', '.join(SYMBOLS)}, __name__)"
    check_script(text, [])
    with ScriptProcess(Progress()) as process:
        (check,) = process.run(text, [], Deadline(10))
    assert check.ok and check.name == SCRIPT, check.message


def test_modules_without_which_it_cannot_begin() -> None:
    script = (
        "import a.b, c\nfrom d.e import f\nfrom . import g\ntry:\n    import h\nexcept ImportError:\n    import i\n"
    )
    assert modules_needed(script) == {"a": 1, "c": 1, "d": 2}


def test_names_that_are_read() -> None:
    assert names_read("a = b\nc += 1\nfor d in e: f.g = h\ndel i") == {"b", "c", "e", "f", "h"}
    assert names_read("a = (") == set()
