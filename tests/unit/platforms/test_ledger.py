# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of nodes whose machines forget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.platforms.ledger import Ledger, foreign
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse

from ..model.samples import document


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path), "web1")


def boot(identity: str, told: str = "1") -> Boot:
    image = Image("web", "debian", identity, "amd64", {})
    return Boot("lent", image, document(Node("web1", "web", 1)), told, {"machine": "m-1"})


def test_of_a_node_that_never_was_nothing_is_known(ledger: Ledger) -> None:
    assert (ledger.exists(), ledger.current(), ledger.verified(), ledger.is_under_way()) == (False, None, None, False)
    assert not ledger.forget()
    for act in (ledger.commit, lambda: ledger.refresh(document(Node("web1", "web", 1)), "2")):
        with pytest.raises(ComposeError, match="it was never started"):
            act()


def test_what_was_asked_for_is_under_way_until_something_is_heard(ledger: Ledger) -> None:
    ledger.intend(boot("a"))
    assert ledger.is_under_way() and ledger.current() is None
    ledger.told(boot("a"))
    assert not ledger.is_under_way() and ledger.current() == boot("a")


def test_what_is_verified_stays_so_whatever_is_told_then(ledger: Ledger) -> None:
    ledger.told(boot("a"))
    assert ledger.commit() and not ledger.commit()
    ledger.refresh(document(Node("web1", "web", 2)), "2")
    ledger.told(boot("b"))
    assert (ledger.current(), ledger.verified()) == (boot("b"), boot("a"))


def test_a_new_document_is_for_the_next_boot_of_what_runs(ledger: Ledger) -> None:
    ledger.told(boot("a"))
    new = document(Node("web1", "web", 2))
    ledger.refresh(new, "2")
    assert ledger.current() == replace(boot("a"), document=new, document_digest="2")


@pytest.mark.parametrize("name", ["current", "verified"])
@pytest.mark.parametrize("content", ["", "{", '{"schema": "immutable.compose/machine/1"'])
def test_what_a_power_cut_left_counts_as_unknown(ledger: Ledger, name: str, content: str) -> None:
    ledger.told(boot("a"))
    ledger.commit()
    Path(ledger.directory, f"{name}.json").write_text(content, encoding="utf-8")
    known = {"current": ledger.current(), "verified": ledger.verified()}
    assert known.pop(name) is None and list(known.values()) == [boot("a")]


def test_what_another_version_wrote_is_refused_and_named(ledger: Ledger) -> None:
    ledger.told(boot("a"))
    path = Path(ledger.directory, "current.json")
    path.write_text(path.read_text(encoding="utf-8").replace("machine/1", "machine/99"), encoding="utf-8")
    for read in (ledger.current, ledger.readable):
        with pytest.raises(
            InputError,
            match=r"web1/current\.json.*a newer version of immutable.compose wrote it; install that version here$",
        ):
            read()


def test_nobody_else_reads_secrets(ledger: Ledger) -> None:
    ledger.intend(boot("a"))
    ledger.told(boot("a"))
    ledger.commit()
    assert {path.stat().st_mode & 0o777 for path in Path(ledger.directory).iterdir()} == {0o600}


def test_nodes_of_another_platform_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledger.told(boot("a"))
    assert foreign(str(tmp_path), "lent") == []
    with pytest.raises(ComposeError, match="holds nodes of platform 'lent': destroy them first"):
        refuse(foreign(str(tmp_path), "qemu"))
    assert ledger.forget() and Ledger.names(str(tmp_path)) == []
