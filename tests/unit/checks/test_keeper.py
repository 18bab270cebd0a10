# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that puts machines back: nobody waits for ever for one that hangs."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks import keeper, launch
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node

HANGS = ["sleep", "3600"]
NOTES_ONE_AND_HANGS = ["sh", "-c", f"read -r line; printf '{keeper.NOTED}'; exec sleep 3600"]


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(keeper, "PATIENCE", 0.2)
    return Deployment("one", "/srv/web", "debian", "nspawn", (Node("one1", "one", 1, "10.87.0.1"),))


@pytest.mark.parametrize("command", [HANGS, NOTES_ONE_AND_HANGS])
def test_one_that_does_not_answer_is_said(
    command: list[str], deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "command", lambda module: command)
    with pytest.raises(ComposeError, match="did not answer within"):
        keeper.Keeper(deployment).note("one1")


def test_one_that_does_not_end_is_not_waited_for(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    notes_all = f"read -r line; printf '{keeper.NOTED}'; read -r line; printf '{keeper.NOTED}'; exec sleep 3600"
    monkeypatch.setattr(launch, "command", lambda module: ["sh", "-c", notes_all])
    kept = keeper.Keeper(deployment)
    kept.note("one1")
    kept.dismiss()
