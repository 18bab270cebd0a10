# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a run's options its trials get."""

from __future__ import annotations

import typing as t

import pytest
from ansible import context

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.plugin_utils.again import options

Given = t.Callable[..., None]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    return lambda **options_: monkeypatch.setattr(context, "CLIARGS", options_)


def test_what_concerns_any_run_is_handed_on(given: Given) -> None:
    given(inventory=("one", "two"), extra_vars=("a=1",), ssh_common_args="-J gate", vault_ids=["dev@file"], forks=9)
    told = options()
    assert told[:4] == ["--inventory", "one", "--inventory", "two"]
    assert " ".join(told[4:]) == "--vault-id dev@file --extra-vars a=1 --ssh-common-args -J gate"


@pytest.mark.parametrize(
    ("asks", "option"),
    [
        ({"ask_vault_pass": True}, "--ask-vault-pass"),
        ({"become_ask_pass": True}, "--ask-become-pass"),
        ({"vault_ids": ["dev@prompt"]}, "--vault-id dev@prompt"),
        ({"vault_ids": ["prompt"]}, "--vault-id prompt"),
    ],
)
def test_a_password_that_somebody_would_have_to_type(given: Given, asks: dict[str, t.Any], option: str) -> None:
    given(**asks)
    with pytest.raises(InputError, match=f"{option}: each trial is an ansible-playbook of its own"):
        options()
