"""What is refused before a test script runs."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.deadline import Deadline
from ansible_collections.immutable.compose.plugins.module_utils.checks.machine import Machine
from ansible_collections.immutable.compose.plugins.module_utils.checks.script import (
    METHODS,
    SCRIPT,
    SYMBOLS,
    check_script,
    variables,
)
from ansible_collections.immutable.compose.plugins.module_utils.checks.script_process import ScriptProcess
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
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


def test_every_method_that_is_accepted_exists(tmp_path: Path) -> None:
    nothing = t.cast(t.Any, None)
    machine = Machine("node", nothing, Deadline(10), console=nothing, hands=nothing, results=str(tmp_path), say=print)
    assert {*METHODS, "doing"} - {"nested"} == {name for name in dir(machine) if not name.startswith("_")}


def test_every_symbol_that_is_accepted_is_defined() -> None:
    """Else the check would let through what fails after the switch."""
    text = f"print({', '.join(SYMBOLS)}, __name__)"
    check_script(text, [])
    with ScriptProcess(Progress()) as process:
        (check,) = process.run(text, [], Deadline(10))
    assert check.ok and check.name == SCRIPT, check.message
