# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script is given, what it records, and what it ran on."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.deadline import Deadline
from ansible_collections.immutable.compose.plugins.module_utils.checks.facts import facts_of
from ansible_collections.immutable.compose.plugins.module_utils.checks.machine import Machine
from ansible_collections.immutable.compose.plugins.module_utils.checks.report import Report
from ansible_collections.immutable.compose.plugins.module_utils.checks.script import check_script
from ansible_collections.immutable.compose.plugins.module_utils.checks.script_process import ScriptProcess
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.report import Check, MachineProfile, Measurement
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress


def measured(text: str, **values: str | int) -> tuple[list[Check], list[Measurement]]:
    with ScriptProcess(Progress()) as process:
        return process.run(text, list[Machine](), Deadline(60), values), process.records


def test_values_go_in_and_records_come_out() -> None:
    checks, records = measured(
        """
        record("speed", 2.5 * clients, "MB/s")
        record("mode", mode)
        record("works", True)
        """,
        clients=2,
        mode="direct",
    )
    assert [check.message for check in checks if not check.ok] == []
    assert records == [Measurement("speed", 5.0, "MB/s"), Measurement("mode", "direct"), Measurement("works", True)]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ('record("speed", [1])', "expected a name, a number or a string"),
        ("record(1, 1)", "expected a name, a number or a string"),
        ('record("speed", float("inf"))', "expected a finite number"),
        ('record("", 1)', "expected a name"),
        ('record("speed", 10**400)', "expected a finite number"),
    ],
)
def test_what_no_table_can_have_fails_the_script(call: str, why: str) -> None:
    checks, records = measured(f'record("before", 1)\n{call}')
    assert (checks[-1].ok, checks[-1].details.line, records) == (False, 2, [Measurement("before", 1)])
    assert why in checks[-1].message


def test_values_are_known_when_the_script_is_checked() -> None:
    assert check_script('record("b", block)', ["node"], values=["block"]) == []
    with pytest.raises(InputError, match="'blokc' is neither a node .* did you mean 'block'"):
        check_script('record("b", blokc)', ["node"], values=["block"])


def test_secrets_are_no_values() -> None:
    report = Report("demo", [], [], records=[Measurement("token", "abc"), Measurement("n", 1)])
    assert report.masked(lambda text: text.replace("abc", "***")).document().records == [
        Measurement("token", "***"),
        Measurement("n", 1),
    ]


def test_facts() -> None:
    text = (
        "6.1.0-13-amd64\nMemTotal:       16384000 kB\nMemFree: 1 kB\n"
        "processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nprocessor\t: 1\nmodel name\t: Some CPU @ 2GHz\n"
    )
    assert facts_of(text) == MachineProfile("6.1.0-13-amd64", "Some CPU @ 2GHz", 2, 16000)
    assert facts_of("6.1.0\n") == MachineProfile("6.1.0")
