# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of Nix's log."""

from __future__ import annotations

import json

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.failures import explain_failure
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.log import BuildLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import NixBuildError
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress


@pytest.mark.parametrize(
    "said",
    [
        "error: builder for '/store/1-a.drv' failed with exit code 1;",
        "error: Cannot build '/store/1-a.drv'.\nReason: builder failed with exit code 1.",
    ],
)
def test_of_builds_at_the_same_time_the_one_that_failed_is_told(said: str) -> None:
    log = BuildLog(Progress(), str)

    def tell(**event: object) -> None:
        log(f"@nix {json.dumps(event)}")

    for number, name in enumerate("ab"):
        tell(action="start", type=105, id=number, fields=[f"/store/{number + 1}-{name}.drv", "", 1, 1])
    tell(action="result", type=101, id=0, fields=["what was wrong with a"])
    for number in range(40):
        tell(action="result", type=101, id=1, fields=[f"b goes on, {number}"])
    assert "b goes on" in log.explanation()
    tell(action="msg", level=0, msg=said)
    assert log.explanation() == f"what was wrong with a\n{said}"


def test_builds_that_end_are_counted_whatever_they_are_called() -> None:
    log = BuildLog(Progress(), lambda path: "")
    for action in ({"action": "start", "id": 1, "type": 105, "fields": ["/x.drv"]}, {"action": "stop", "id": 1}):
        assert log.finished == 0
        log("@nix " + json.dumps(action))
    assert log.finished == 1
    log("@nix " + json.dumps({"action": "stop", "id": 2}))
    assert log.finished == 1


def test_what_only_follows_is_not_said() -> None:
    log = BuildLog(Progress(), str)
    failed = "Cannot build '/0.drv'.\nReason: builder failed with exit code 1.\nOutput paths:\n  /0"
    follows = "Cannot build '/1.drv'.\nReason: 1 dependency failed.\nOutput paths:\n  /1"
    for message in (failed, "", follows, "build of '/1.drv' failed"):
        log("@nix " + json.dumps({"action": "msg", "level": 0, "msg": message}))
    assert log.explanation() == f"{failed}\nbuild of '/1.drv' failed"


@pytest.mark.parametrize(
    "says",
    [
        "builder for '{}' failed with exit code 1\nbuild of … failed",  # up to Nix 2.26
        "Cannot build '{}'.\n       Reason: builder failed with exit code 1.\n       Output paths:\n         /x",
    ],
)
def test_a_fetch_that_fails_without_a_word(says: str) -> None:
    text = says.format(f"/nix/store/{'a' * 32}-adduser_3.134_all.deb.drv")
    error = explain_failure(NixBuildError("nix-store", 1, text), {}, {"debian": "http://m"})
    assert (
        "cannot fetch adduser_3.134_all.deb, and Nix does not say why; run again (configured mirrors: http://m)"
        in str(error)
    )
