# SPDX-License-Identifier: GPL-3.0-or-later
"""What was accepted once, or could be, and must not be."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.describe.load import read_manifest
from ansible_collections.immutable.compose.plugins.module_utils.describe.role_schema import check_composition
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.answer import answer, json_answer
from ansible_collections.immutable.compose.plugins.module_utils.model.release import Release
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import endpoints
from ansible_collections.immutable.compose.plugins.module_utils.oar.words import job_id
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.machines import expanded
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.answers import Listed
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.tasks import wait_for

from ..unit.composition.test_deployment import read
from ..unit.model.samples import SAMPLES
from .harm import NO_NUMBERS, nested
from .written import ATTRIBUTES

KEY = "ssh-ed25519 AAAA"
FILES: t.Sequence[dict[str, t.Any]] = (
    {"name": "site\n"},
    {"name": "../site"},
    {"name": "si\x1bte"},
    {"domain": "example.org\n"},
    {"network": "10.87.0.0/16\n"},
    {"network": "10.87.0.0/33"},
    {"roles": {"node": 100_000_000}},
    {"roles": {"node": "100000000"}},
    {"roles": {"node": "1²"}},
    {"roles": {"node": True}},
    {"roles": {"node": -1}},
    {"roles": {"node": 1.0}},
    {"roles": {"node": ["a\n"]}},
    {"roles": {"node": ["-oProxyCommand"]}},
    {"roles": {"node": {"options": {"memory": True}}}},
    {"roles": {"node": {"secrets": {"a": 1}}}},
    {"roles": {"node": {"variables": {"a\n": 1}}}},
    {"keep": True},
    {"keep": 0},
    {"boot_timeout": float("nan")},
    {"verify_timeout": float("inf")},
    {"retries": -1},
    {"authorized_keys": [f"{KEY}\n{KEY} x"]},
    {"authorized_keys": [f"{KEY}\n"]},
    {"may_fail": ["a.service\n"]},
    {"parameters": {"a": nested(5000)}},
    {"at_least": {"node": 10**400}},
    {"adopt_data": ["../x"]},
)


@pytest.mark.parametrize("given", FILES, ids=lambda given: json.dumps(given)[:60] if len(str(given)) < 999 else "long")
def test_deployment_files(given: dict[str, t.Any]) -> None:
    with pytest.raises(ComposeError):
        read(given)


def _set(path: str, value: t.Any) -> dict[str, t.Any]:
    data = json.loads(json.dumps(ATTRIBUTES))
    place = data["roles"]["server"]
    *above, last = path.split(".")
    for key in above:
        place = place[key]
    place[last] = value
    return t.cast("dict[str, t.Any]", data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("packages", ["bash\n"]),
        ("packages", ["bash=1"]),
        ("kernel", "linux\n"),
        ("ports", [True]),
        ("ports", [0]),
        ("ports", [65536]),
        ("ports", [80.5]),
        ("mayFail", ["a\n"]),
        ("volumes.data.mount", "/srv/../etc"),
        ("volumes.data.mount", "/proc"),
        ("volumes.data.mount", "srv"),
        ("volumes.data.size", True),
        ("volumes.data.size", 0),
        ("volumes.data.mode", "0999"),
        ("users.me.uid", 0.5),
        ("users.me.home", "/home/me\n"),
        ("units", {"../x.service": {"enable": True}}),
        ("unknown", 1),
    ],
)
def test_compositions(path: str, value: t.Any) -> None:
    with pytest.raises(ComposeError):
        check_composition(_set(path, value), "composition.nix", "debian")


@pytest.mark.parametrize(
    "change",
    [
        {"number": True},
        {"number": "3"},
        {"number": 3.5},
        {"number": None},
        {"nodes": ["db1"]},
        {"surprise": 1},
        {"schema": "immutable.compose/release/99"},
        {"schema": "immutable.compose/image/1"},
        {"places": {"db1": {"index": 1.5, "address": None}}},
        *({"checks": {"passed": number}} for number in NO_NUMBERS),
    ],
    ids=repr,
)
def test_documents(change: dict[str, t.Any]) -> None:
    with pytest.raises(ComposeError):
        codec.decode(Release, {**codec.encode(SAMPLES["release"]), **change}, "release")


@pytest.mark.parametrize(
    "address", ["", "10.1", "10.0.0.256", "010.0.0.1", "10.0.0.1 x", "10.0.0.1\n", "0xa.0.0.1", "a"]
)
def test_addresses(tmp_path: Path, address: str) -> None:
    data = {"schema": "immutable.compose/addresses/1", "nodes": {"db1": {"address": address}}}
    (tmp_path / "addresses.json").write_text(json.dumps(data))
    with pytest.raises(ComposeError, match="addresses.json: nodes"):
        HeldAddresses.read(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"roles": {"../x": {"name": "../x"}}},
        {"roles": {"db": {"name": "db", "identity": "../../etc"}}},
        {"roles": {"db": {"name": "db", "ports": [0]}}},
        {"distribution": {"db": 100_000_000}},
    ],
    ids=repr,
)
def test_manifests(tmp_path: Path, change: dict[str, t.Any]) -> None:
    path = tmp_path / "composition.json"
    path.write_text(json.dumps({**codec.encode(SAMPLES["composition"]), **change}))
    with pytest.raises(ComposeError, match="composition.json"):
        read_manifest(str(path), "debian")


@pytest.mark.parametrize(
    "entry", [{}, {"type": 1}, {"type": "qemu", "vmid": "1²"}, {"type": "qemu", "vmid": 1.5}, [], 7]
)
def test_answers(entry: t.Any) -> None:
    with pytest.raises(ComposeError, match="wrong answer: it"):
        answer(list[Listed], [entry], "it")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nul", b"\xff"])
def test_answers_that_are_no_json(text: str | bytes) -> None:
    with pytest.raises(ComposeError, match="wrong answer: it is"):
        json_answer(list[Listed], text, "it")


@pytest.mark.parametrize("upid", ["x", "UPID", "UPID:../..:0:0", "UPID:pve1:0/../../access", "UPID:a b:0"])
def test_names_of_tasks(upid: str) -> None:
    with pytest.raises(ComposeError, match="wrong answer"):
        wait_for(t.cast(t.Any, None), upid, "import", 1)


def test_words_of_others() -> None:
    assert job_id("OAR_JOB_ID=6²\n") is None
    for word in ("a[1-900000000]", "a[1²]", "a[", "a]b[1]"):
        with pytest.raises(ComposeError):
            expanded(word)
    for text in ("Host a\n  Port 22\n", "Host a\n  HostName b\n  Port 2²\n", "Host a\n  HostName b\n  Port -1\n"):
        with pytest.raises(ComposeError):
            endpoints(text)
