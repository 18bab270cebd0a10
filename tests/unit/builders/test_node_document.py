"""``node.jq``: from the node document to the commands that the image runs at boot."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

import pytest

from .conftest import REPOSITORY

PROGRAM = REPOSITORY / "nix/debian/image/usr/lib/compose/node.jq"
DOCUMENT: dict[str, t.Any] = {
    "schema": "immutable.compose/node/1",
    "name": "node1",
    "interfaces": [
        {"match": {"mac": "52:54:00:12:34:56"}, "address": "10.87.1.1/16"},
        {"match": {"name": "host0"}, "dhcp": True},
    ],
    "peers": [{"name": "server", "address": "10.87.2.1"}, {"name": "node1", "address": "10.87.1.1"}, {"name": "later"}],
    "ssh": {"host_key": "KEY\n", "host_certificate": "CERTIFICATE", "authorized_keys": ["one", "it's $(touch two)"]},
}


def applied(directory: Path, document: t.Mapping[str, t.Any], *, refresh: bool = False) -> dict[str, tuple[str, str]]:
    """What would be written: path → mode, content."""
    commands = subprocess.run(
        ["jq", "-r", "--argjson", "refresh", json.dumps(refresh), "-f", str(PROGRAM)],
        input=json.dumps(document),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    shell = (
        f'write() {{ mkdir -p "{directory}${{1%/*}}"; printf "%s\\n%s" "$2" "$3" > "{directory}$1"; }}\n'
        f'fail() {{ echo "$*" >&2; exit 1; }}\nname=\n{commands}\n[ -z "$name" ] || write /name 0 "$name"\n'
    )
    subprocess.run(["sh", "-euc", shell], check=True, cwd=directory, capture_output=True, text=True)
    found = {}
    for path in directory.rglob("*"):
        if path.is_file():
            mode, dummy, content = path.read_text().partition("\n")
            found["/" + str(path.relative_to(directory))] = (mode, content)
    return found


def test_all_is_written(tmp_path: Path) -> None:
    network = "[Match]\n{}\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n{}\n"
    assert applied(tmp_path, DOCUMENT) == {
        "/name": ("0", "node1"),
        "/run/compose/hosts": (
            "0644",
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.87.2.1 server\n10.87.1.1 node1\n",
        ),
        "/run/compose/ssh/authorized_keys/root": ("0600", "one\nit's $(touch two)\n"),
        "/run/compose/ssh/host_key": ("0600", "KEY\n"),
        "/run/compose/ssh/host_key-cert.pub": ("0600", "CERTIFICATE\n"),
        "/run/systemd/network/10-compose-0.network": (
            "0644",
            network.format("MACAddress=52:54:00:12:34:56", "Address=10.87.1.1/16"),
        ),
        "/run/systemd/network/10-compose-1.network": ("0644", network.format("Name=host0", "DHCP=ipv4")),
    }


def test_refresh_leaves_keys_and_network_alone(tmp_path: Path) -> None:
    written = applied(tmp_path, DOCUMENT, refresh=True)
    assert set(written) == {"/run/compose/hosts", "/run/compose/ssh/authorized_keys/root"}


def test_a_node_without_address_finds_itself(tmp_path: Path) -> None:
    hosts = applied(tmp_path, {"schema": "immutable.compose/node/1", "name": "alone"})["/run/compose/hosts"][1]
    assert "127.0.1.1 alone\n" in hosts


def test_another_schema_fails(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        applied(tmp_path, {**DOCUMENT, "schema": "immutable.compose/node/2"})
    assert "expected" in failed.value.stderr


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("", "1 n1\n2 a.x.org a\n3 b.x.org\n4 b.y.org\n5 n2.x.org\n6 n2\n"),
        ("c.org", "1 n1.c.org n1\n2 a.x.org a\n3 b.x.org\n4 b.y.org\n5 n2.x.org\n6 n2.c.org n2\n"),
    ],
)
def test_full_names_come_first_and_short_ones_where_they_are_unique(tmp_path: Path, domain: str, expected: str) -> None:
    names = ["n1", "a.x.org", "b.x.org", "b.y.org", "n2.x.org", "n2"]
    peers = [{"name": name, "address": str(number)} for number, name in enumerate(names, 1)]
    document = {**DOCUMENT, "domain": domain, "name": "n1", "peers": peers}
    assert applied(tmp_path, document)["/run/compose/hosts"][1].endswith(f"ip6-loopback\n{expected}")
    (tmp_path / "alone").mkdir()
    alone = applied(tmp_path / "alone", {**document, "name": "n3.x.org", "peers": []})
    assert alone["/run/compose/hosts"][1].endswith("127.0.1.1 n3.x.org n3\n")
