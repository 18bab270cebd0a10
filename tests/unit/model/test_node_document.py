# SPDX-License-Identifier: GPL-3.0-or-later
"""The node document as JSON: the same as before it had a type, for nodes that are up compare its digest."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.document import (
    document_digest,
    node_document,
)
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import (
    Access,
    Interface,
    Match,
    NodeDocument,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, NixosCompose
from ansible_collections.immutable.compose.plugins.module_utils.platforms.ledger import Ledger

PARAMETERS: dict[str, t.Any] = {"size": 3, "ratio": 0.5, "text": "grün", "list": [1, None, True]}
DB = Node("db1", "db", 1, "10.1.0.1", True, PARAMETERS, {"password": "hunter2"})
WEB = Node("web1.x.org", "web")
ACCESS = Access("KEY\n", "cert", ("ssh-ed25519 AAAA own", "ssh-ed25519 BBBB user"))
DHCP = Interface(Match(mac="52:54:00:12:34:56"), dhcp=True)


def made(node: Node, *interfaces: Interface, domain: str = "") -> NodeDocument:
    deployment = Deployment("site", "/c", "debian", "nspawn", (DB, WEB), domain=domain)
    return node_document(deployment, node, interfaces=interfaces, access=ACCESS)


#: Documents of the platforms, with what their digests were when documents were plain data.
KNOWN = {
    "nspawn": (made(DB, Interface(Match(name="host0"), "10.1.0.1/16")), "9dd7564d6b2371ba-6a49ab1e4a7e158f"),
    "qemu": (
        made(DB, DHCP, Interface(Match(mac="52:54:00:00:00:01"), "10.1.0.1/16"), domain="x.org"),
        "26e2563e952450a4-6a49ab1e4a7e158f",
    ),
    "proxmox": (
        made(WEB, Interface(Match(mac="bc:24:11:00:00:01"), "10.1.0.2/16", "10.1.0.254")),
        "8293c9912acf1d3b-6a49ab1e4a7e158f",
    ),
    "kadeploy": (made(WEB), "08ef3757759e5029-6a49ab1e4a7e158f"),
}


@pytest.mark.parametrize("platform", KNOWN)
def test_no_node_is_changed_by_a_newer_version(platform: str) -> None:
    document, digest = KNOWN[platform]
    assert document_digest(document) == digest


def test_what_is_not_said_is_not_written() -> None:
    document = made(DB, DHCP, Interface(Match(name="host0"), "10.1.0.1/16"))
    assert codec.encode(document) == {
        "schema": "immutable.compose/node/1",
        "name": "db1",
        "role": "db",
        "index": 1,
        "deployment": "site",
        "interfaces": [
            {"match": {"mac": "52:54:00:12:34:56"}, "dhcp": True},
            {"match": {"name": "host0"}, "address": "10.1.0.1/16"},
        ],
        "peers": [
            {"name": "db1", "role": "db", "address": "10.1.0.1"},
            {"name": "web1.x.org", "role": "web", "address": None},
        ],
        "ssh": {
            "host_key": "KEY\n",
            "host_certificate": "cert",
            "authorized_keys": ["ssh-ed25519 AAAA own", "ssh-ed25519 BBBB user"],
        },
        "parameters": PARAMETERS,
        "secrets": {"password": "hunter2"},
    }


def test_what_a_node_knows_of_its_own_address() -> None:
    assert made(DB).address == "10.1.0.1"
    assert made(WEB).address is None
    assert replace(made(DB), peers=()).address is None


@pytest.mark.parametrize("name", ["current.json", "verified.json"])
def test_what_an_earlier_version_remembered_is_read(tmp_path: Path, name: str) -> None:
    """As it was written, with ``handover`` empty for all images but those of NixOS Compose."""
    document, digest = KNOWN["qemu"]
    text = json.dumps(
        {
            "schema": "immutable.compose/machine/1",
            "platform": "qemu",
            "image": {
                "schema": "immutable.compose/image/1",
                "role": "db",
                "builder": "debian",
                "identity": "h-web-db",
                "architecture": "amd64",
                "formats": {},
                "handover": {},
            },
            "document": codec.encode(document),
            "document_digest": digest,
            "options": {"memory": 512, "ssh_port": 22021, "kvm": None, "machines": ["a"]},
        }
    )
    ledger = Ledger(str(tmp_path), "db1")
    Path(ledger.directory).mkdir(parents=True)
    Path(ledger.directory, name).write_text(text)
    boot = ledger.readable()[name == "verified.json"]
    assert boot is not None and boot.document == document and boot.image.handover == NixosCompose()
    assert document_digest(boot.document) == boot.document_digest


def test_what_is_remembered_is_written_as_before(tmp_path: Path) -> None:
    document, digest = KNOWN["qemu"]
    ledger = Ledger(str(tmp_path), "db1")
    ledger.told(Boot("qemu", Image("db", "debian", "h-web-db", "amd64", {}), document, digest, {"memory": 512}))
    written = json.loads(Path(ledger.directory, "current.json").read_text())
    assert written["document"] == codec.encode(document)
    assert written["image"]["handover"] == {}


def test_what_earlier_versions_wrote_of_images_of_nixos_compose_is_read() -> None:
    handover = {
        "kind": "nxc",
        "flavour": "vm",
        "composition": "oar",
        "compositions_info_path": "",
        "compose_info": "/nix/store/i-compose-info.json",
        "system": "/nix/store/s-nixos-system",
        "all": {"kernel": "/nix/store/k/kernel", "qemu_script": "/nix/store/q"},
        "service": {},
    }
    read = codec.decode(NixosCompose, handover, "handover")
    assert (read.flavour, read.system, read.all) == ("vm", "/nix/store/s-nixos-system", handover["all"])
    assert codec.encode(read) == {key: value for key, value in handover.items() if value not in ("", {})}
