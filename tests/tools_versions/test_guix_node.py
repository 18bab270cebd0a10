"""What runs on every node of the builder guix: the Guile program that applies the node document, without a node."""

from __future__ import annotations

import json
import stat
import subprocess
import typing as t
from pathlib import Path

import pytest

from .conftest import ROOT

DOCUMENT = {
    "schema": "immutable.compose/node/1",
    "name": "node1",
    "role": "node",
    "index": 1,
    "deployment": "demo",
    "interfaces": [
        {"match": {"mac": "52:54:00:AB:cd:56"}, "dhcp": True},
        {"match": {"name": "eth1"}, "address": "10.87.0.1/16", "gateway": "10.87.255.254"},
    ],
    "peers": [
        {"name": "node1", "role": "node", "address": "10.87.0.1"},
        {"name": "server", "role": "server", "address": "10.87.128.1"},
        {"name": "later", "role": "server", "address": None},
    ],
    "ssh": {"host_key": "KEY\nKEY\n", "host_certificate": "CERTIFICATE", "authorized_keys": ["one", "two"]},
    "parameters": {},
    "secrets": {},
}


class Node:
    """A directory that stands for the root of a node."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, mac in {"eth0": "52:54:00:ab:cd:56", "eth1": "52:54:00:ab:cd:57"}.items():
            (root / "sys/class/net" / name).mkdir(parents=True)
            (root / "sys/class/net" / name / "address").write_text(f"{mac}\n")
        (root / "etc").mkdir()
        (root / "etc/hosts").symlink_to("/gnu/store/nosuch-hosts")
        (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (root / "run/compose/in").mkdir(parents=True)
        (root / "bin").mkdir()
        for program in ("ip", "dhcpcd"):
            (root / "bin" / program).write_text(f'#!/bin/sh\necho "{program} $*" >>{root}/calls\n')
            (root / "bin" / program).chmod(0o755)

    def apply(self, *, refresh: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the program, with a host name of its own."""
        call = (
            f"(use-modules (compose apply)) (apply-node #:root {json.dumps(str(self.root))} "
            f'#:refresh? {"#t" if refresh else "#f"} #:modprobe "true" #:blkid "false" '
            f'#:ip "{self.root}/bin/ip" #:dhcp "{self.root}/bin/dhcpcd") (display (gethostname))'
        )
        command = ["unshare", "--uts", str(ROOT / "tests/tools/chroot_enter.sh"), "sid"]
        command += ["guile", "--no-auto-compile", "-L", str(ROOT / "nix/guix"), "-c", call]
        return subprocess.run(
            command,
            env={"SHARE": f"/tmp {ROOT}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def write(self, path: str, **changes: t.Any) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(json.dumps({**DOCUMENT, **changes}))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


@pytest.mark.parametrize(
    "place", ["run/compose/in/node.json", "sys/firmware/qemu_fw_cfg/by_name/opt/immutable.compose/node/raw"]
)
def test_the_document_is_found_and_applied(node: Node, place: str) -> None:
    node.write(place)
    done = node.apply()
    assert (done.returncode, done.stdout) == (0, "node1"), done.stderr
    assert json.loads(node.text("run/compose/node.json")) == DOCUMENT
    assert stat.S_IMODE((node.root / "run/compose/node.json").stat().st_mode) == 0o600
    assert not (node.root / "etc/hosts").is_symlink()
    assert node.text("etc/hosts").splitlines() == [
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost ip6-loopback",
        "10.87.0.1 node1",
        "10.87.128.1 server",
    ]
    assert node.text("etc/hostname") == "node1\n"
    assert node.text("run/compose/passwd") == node.text("etc/passwd")
    files = {"host_key": "KEY\nKEY\n", "host_key-cert.pub": "CERTIFICATE\n", "authorized_keys/root": "one\ntwo\n"}
    for name, content in files.items():
        assert node.text(f"run/compose/ssh/{name}") == content
        assert stat.S_IMODE((node.root / "run/compose/ssh" / name).stat().st_mode) == 0o600
    assert node.text("calls").splitlines() == [
        "ip link set eth0 up",
        "dhcpcd --ipv4only --quiet eth0",
        "ip link set eth1 up",
        "ip address replace 10.87.0.1/16 dev eth1",
        "ip route replace default via 10.87.255.254 dev eth1",
    ]


def test_refresh_renews_hosts_and_keys_only(node: Node) -> None:
    node.write("run/compose/in/node.json")
    node.apply()
    (node.root / "calls").unlink()
    ssh = {"host_key": "OTHER", "host_certificate": "OTHER", "authorized_keys": ["three"]}
    node.write("run/compose/node.json.new", peers=[], ssh=ssh, name="node1")
    done = node.apply(refresh=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(node.text("run/compose/node.json"))["ssh"] == ssh
    assert not (node.root / "run/compose/node.json.new").exists()
    assert node.text("etc/hosts").splitlines()[-1] == "127.0.1.1 node1"
    assert node.text("run/compose/ssh/authorized_keys/root") == "three\n"
    assert node.text("run/compose/ssh/host_key") == "KEY\nKEY\n"
    assert not (node.root / "calls").exists()


def test_a_document_of_another_schema_is_refused(node: Node) -> None:
    node.write("run/compose/in/node.json", schema="immutable.compose/node/2")
    done = node.apply()
    assert done.returncode == 1
    assert 'schema is "immutable.compose/node/2", expected "immutable.compose/node/1"' in done.stderr
    assert not (node.root / "run/compose/node.json").exists()


def test_no_document_is_told(node: Node) -> None:
    done = node.apply()
    assert done.returncode == 1
    assert "found neither in /run/compose/in nor in the firmware nor on a disk labelled COMPOSE-NODE" in done.stderr


def test_refresh_needs_the_document(node: Node) -> None:
    done = node.apply(refresh=True)
    assert done.returncode == 1
    assert "run/compose/node.json.new is missing" in done.stderr
