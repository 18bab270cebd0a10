"""Names of nodes, and the nearest word."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.names import (
    is_host_name,
    is_node_name,
    is_role_name,
    label_of,
)
from ansible_collections.immutable.compose.plugins.module_utils.errors import nearest


@pytest.mark.parametrize("name", ["a", "node1", "1a", "a-b", "x" * 63])
def test_labels_are_host_names(name: str) -> None:
    assert is_host_name(name)
    assert is_node_name(name)


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "a_b", "Node", "a.b", "x" * 64, "ä", "a\n", "a b", "..", "--root=x", "-oProxyCommand"]
)
def test_all_else_is_no_host_name(name: str) -> None:
    assert not is_host_name(name)


@pytest.mark.parametrize(
    ("name", "valid"),
    [("a.example.org", True), ("10.0.0.1", False), ("a..b", False), ("A.example.org", False), ("a.b" * 100, False)],
)
def test_nodes_may_have_a_domain(name: str, valid: bool) -> None:
    assert is_node_name(name) is valid


def test_nearest_word_or_all() -> None:
    assert nearest("quemu", ["qemu", "nspawn"]) == "; did you mean 'qemu'?"
    assert nearest("x", ["qemu", "nspawn"]) == "; valid: nspawn, qemu"
    assert nearest("x", []) == ""


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("node1", "node1"),
        ("a--b", "a--b"),
        ("examon_broker", "examon-broker"),
        ("webServer", "webserver"),
        ("gamma.tld", "gamma-tld"),
        ("_A__b_", "a-b"),
        ("__", ""),
    ],
)
def test_labels_for_names_of_peoples_own(name: str, label: str) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize(
    ("name", "valid"),
    [("a_B.c-1", True), ("_a", True), ("", False), ("..", False), ("a/b", False), ("a b", False), ("x" * 64, False)],
)
def test_role_names(name: str, valid: bool) -> None:
    assert is_role_name(name) is valid
