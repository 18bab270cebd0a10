# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of what people write: deployment files, compositions, locks, advisories, inventories, playbooks, commands."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader

from ansible_collections.immutable.compose.plugins.inventory import composition
from ansible_collections.immutable.compose.plugins.inventory.composition import InventoryModule
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.lock import read_lock
from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.composition import read_composition
from ansible_collections.immutable.compose.plugins.module_utils.builders.nixos.source import (
    Evaluated,
    find_source,
    of_composition,
)
from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.project import Project, container_ports
from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.setup import Setup
from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import Others, parse
from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import from_hostvars, to_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.describe.role_schema import check_composition
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.images.advisories import Advisories
from ansible_collections.immutable.compose.plugins.module_utils.images.versions import (
    compare_debian,
    compare_guix,
    compare_nix,
)
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.answer import answer
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import seconds, start_time
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.machines import expanded
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.access import Access
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.plugin_utils import fleet, plays, sources
from ansible_collections.immutable.compose.plugins.plugin_utils.command_lines import only_looks
from ansible_collections.immutable.compose.plugins.plugin_utils.nxc_distribution import with_distribution

from ..unit.model.samples import DEPLOYMENT, IMAGE, SAMPLES
from .attack import Reader
from .harm import data_like, either, fitting, json_like, text_like, yaml_like
from .kept import from_file

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGW1 me@there"
#: One with each key, for a platform each, where others have other options.
FILES: t.Sequence[dict[str, t.Any]] = (
    {
        "platform": {"name": "qemu", "memory": 768},
        "name": "site",
        "network": "10.87.0.0/16",
        "roles": {
            "server": {"names": ["nfs"], "options": {"memory": 1024}, "variables": {"v": [1]}, "secrets": {"p": "x"}},
            "node": {"count": 2, "parameters": {"size": 3, "more": {"a": [None, True]}}},
        },
        "nodes": {"nfs": {"address": "10.87.0.10", "options": {"memory": 512}, "variables": {"w": "x"}}},
        "domain": "cluster.example.org",
        "parameters": {"v": 1},
        "setup": {"v": 1},
        "authorized_keys": [_KEY],
        "keep": 3,
        "retries": 1,
        "at_least": {"node": 1},
        "at_most": {"node": 1, "pair": {"nodes": ["node1", "nfs"], "count": 1}},
        "may_fail": ["a*.service"],
        "silent": "refuse",
        "sealed": "warn",
        "boot_timeout": 300,
        "verify_timeout": 1800,
        "stable_for": 15,
        "state_dir": "state",
        "adopt_data": ["nfs"],
        "stale": "warn",
    },
    {"platform": "nspawn", "roles": {"node": 3, "server": None}, "builder": {"name": "debian"}},
    {
        "platform": {
            "name": "proxmox",
            "host": "pve1.example.org",
            "storage": "local",
            "networks": ["bridge=vmbr0"],
            "cpus": 2,
            "snapshot": "none",
        },
        "roles": {"node": ["a", "b"]},
        "nodes": {"a": {"options": {"vmid": 300, "adopt": True}}},
    },
    {
        "platform": {"name": "kadeploy", "machines": ["dahu-[1-4,7]"], "frontend": "me@frontend"},
        "roles": {"node": {"hosts": ["rack"], "take_over": True}},
        "reservation": {"walltime": "2:00:00", "properties": "cluster='dahu'", "queue": "default"},
        "hooks": {"drain": "drain.yml", "end": "end.yml"},
    },
    {"platform": {"name": "nspawn", "memory": 64}, "fold": {"onto": "cluster", "by": "rack", "place": "pack"}},
    {"platform": {"name": "podman", "runtime": ""}, "distribution": "nodes.yml", "trust": False},
    {"platform": {"name": "kexec", "user": "root"}, "roles": {"node": {"names": ["a"]}}},
)

_COMPOSITION = Composition(
    "nfs", "debian", "/evaluated", "0", {name: Role(name, bootable=True) for name in ("server", "node")}
)
#: Attributes of a composition, with each that there is.
ATTRIBUTES: dict[str, t.Any] = {
    "roles": {
        "server": {
            "description": "x",
            "packages": ["nginx", "bash"],
            "files": {"/etc/x": {"text": "a", "mode": "0644", "user": "root", "group": "root"}},
            "follow": {
                "/srv/site": {
                    "repository": "https://example.org/x",
                    "revision": "main",
                    "every": "5min",
                    "check": "true",
                }
            },
            "units": {"a.service": {"text": "[Service]", "enable": True}, "b.timer": {"mask": True}},
            "users": {"me": {"uid": 1000, "groups": ["wheel"], "home": "/home/me", "authorizedKeys": [_KEY]}},
            "kernel": "linux-image-amd64",
            "kernelParams": ["quiet"],
            "kernelModules": ["nfs"],
            "volumes": {"data": {"mount": "/srv/data", "size": 1024, "user": "me", "mode": "0750"}},
            "ports": [80, 443],
            "mayFail": ["x*.service"],
            "postInstall": "true",
        },
        "node": {"packages": ["bash"]},
    },
    "testScript": "start_all()",
    "rolesDistribution": {"node": 2, "server": ["a"]},
    "debian": {"suite": "bookworm"},
}
_GUIX = {
    "roles": {"web": {"file": "web.scm", "ports": [80], "volumes": {"data": {"mount": "/srv"}}, "mayFail": ["x"]}},
    "testScript": {"file": "test.py"},
    "rolesDistribution": {"web": 2},
}
OSV = {
    "id": "DSA-1",
    "schema_version": "1.6.0",
    "affected": [
        {
            "package": {"ecosystem": "Debian:12", "name": "bash"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.3"}]}],
            "versions": ["5.2"],
        }
    ],
}
PLAIN = [{"id": "CVE-1", "package": ["bash", "tree"], "versions": [">= 5.0 < 5.3"]}]


def readers(directory: Path) -> t.Iterator[Reader]:
    """All of them.

    :param directory: of their own, in memory.
    """
    yield from _deployment_files(directory / "inventory")
    yield from _compositions(directory)
    yield from _words(directory)


def _deployment_files(directory: Path) -> t.Iterator[Reader]:
    directory.mkdir(parents=True)
    (directory / "composition.json").write_text(json.dumps(codec.encode(_COMPOSITION)))
    (directory / "nodes.yml").write_text("node: 2\nserver: a,b\n")
    loader = DataLoader()
    plugin = _plugin()
    path = directory / "site.compose.yml"
    head = {"plugin": "immutable.compose.composition", "composition": "composition.json", "state_dir": "state"}
    whole = [{**head, **file} for file in FILES]

    def listed(text: bytes) -> object:
        path.write_bytes(text)
        inventory = InventoryData()
        for host in ("rack1", "rack2"):
            inventory.add_host(host)
        inventory.add_group("rack")
        for host in ("rack1", "rack2"):
            inventory.add_child("rack", host)
        plugin.parse(inventory, loader, str(path), cache=False)
        return None

    refuses = (ComposeError, AnsibleError)
    yield Reader("deployment file", listed, yaml_like(whole), refuses, "site.compose.yml", 3)

    defaults = {
        "builder": "debian",
        "network": "10.87.0.0/16",
        "keep": 3,
        "boot_timeout": 300,
        "verify_timeout": 1800,
        "stable_for": 15,
    }
    others = Others({"rack1": {}}, {"rack": ["rack1"]})

    def parsed(data: t.Any) -> object:
        if not isinstance(data, dict):
            return None
        given = {**defaults, "platform": "nspawn", **{str(key): value for key, value in data.items()}}
        found = parse(given, _COMPOSITION, str(path), PLATFORMS, BUILDERS, others)
        return from_hostvars(found.deployment.name, _hostvars(found.deployment))

    yield Reader("deployment", parsed, data_like(FILES), names="site.compose.yml", share=2)

    def refused(text: bytes) -> object:
        path.write_bytes(text)
        return sources.why_no_nodes([str(directory)])

    yield Reader("refused deployment file", refused, yaml_like(whole), share=0.3)
    yield Reader(
        "variables of hosts",
        lambda data: from_hostvars("site", data),
        fitting(data_like([_hostvars(DEPLOYMENT)]), _are_variables),
        share=2,
    )
    beside = directory / "nodes.yml"

    def distributed(text: bytes) -> object:
        beside.write_bytes(text)
        options = {"distribution": "nodes.yml", "roles": {"server": {"options": {}}}}
        return with_distribution(options, ["node", "server"], str(path))

    forms = [b"node: 2\nserver: a,b\nx: !DefaultRole 3\n", b"node: [a, b]\nserver: !DefaultRole\n"]
    docker = {"deployment": {"10.0.0.1": {"role": "node", "host": "n1"}, "s": {"role": "server"}}}
    yield Reader(
        "role distribution", distributed, either(text_like(forms), json_like([docker, {"node": 2}])), names="nodes.yml"
    )


def _plugin() -> InventoryModule:
    """As Ansible makes it, but from what is imported here."""
    documented = yaml.safe_load(composition.DOCUMENTATION)["options"]
    constants.config.initialize_plugin_configuration_definitions("inventory", InventoryModule.NAME, documented)
    plugin = InventoryModule()
    plugin._load_name = InventoryModule.NAME
    plugin._original_path = composition.__file__
    return plugin


def _hostvars(deployment: t.Any) -> dict[str, dict[str, t.Any]]:
    shared, own = to_hostvars(deployment)
    return {name: {**shared, **held} for name, held in own.items()}


def _are_variables(data: t.Any) -> bool:
    """Ansible has no other."""
    return isinstance(data, dict) and all(
        isinstance(held, dict) and all(isinstance(key, str) for key in held) for held in data.values()
    )


def _compositions(directory: Path) -> t.Iterator[Reader]:
    for builder, sample in (("debian", ATTRIBUTES), ("guix", _GUIX), ("nixos", {"roles": {"a": {"ports": [1]}}})):
        yield Reader(
            f"composition of {builder}",
            lambda data, builder=builder: check_composition(data, "composition.nix", builder),
            data_like([sample]),
            names="composition.nix",
        )
    web = directory / "web"
    yield from_file(
        "lock",
        web / "compose.lock.json",
        lambda: read_lock(str(web)),
        [codec.encode(SAMPLES["lock"])],
        "compose.lock.json",
        2,
    )
    guix = directory / "guix"
    guix.mkdir()
    (guix / "web.scm").touch()
    (guix / "test.py").write_text("start_all()")

    def scheme(text: bytes) -> object:
        (guix / "composition.yml").write_bytes(text)
        return read_composition(str(guix), json.loads).roles

    yield Reader("composition.yml of Guix", scheme, yaml_like([_GUIX]), names="composition.yml")
    nixos = directory / "nixos"
    nixos.mkdir()
    (nixos / "hive.nix").touch()

    def beside(text: bytes) -> object:
        (nixos / "composition.yml").write_bytes(text)
        source = find_source(str(nixos), "")
        return source.checked(source.beside(), ["a"])

    yield Reader(
        "composition.yml of NixOS", beside, yaml_like([{"roles": {"a": {"ports": [1]}}}]), names="composition.yml"
    )
    evaluated = {"roles": {"a": {}}, "testScript": "", "compose": {"a": {"ports": [1]}}, "rolesDistribution": {"a": 1}}
    yield Reader(
        "composition of NXC",
        lambda data: of_composition(answer(Evaluated, data, "composition.nix"), "composition.nix"),
        data_like([evaluated]),
        names="composition.nix",
        share=0.5,
    )
    nxc = directory / "nxc"
    nxc.mkdir()
    (nxc / "flake.nix").touch()
    (nxc / "composition.nix").touch()
    named = {"composition": "composition.nix", "default_flavour": "vm"}
    yield from_file("nxc.json", nxc / "nxc.json", lambda: Project.find(str(nxc)), [named], "nxc.json", 0.5)
    setup = {
        "options": {"flavour": "vm", "kernel-params": "a", "nix-flags": "-L"},
        "project": {"selected": "x", "a": {}},
    }

    def toml(data: t.Any) -> object:
        read = Setup.read(data, "setup.toml")
        read.write(str(nxc / "setup.toml"))
        return read.flavour, read.nix_flags

    yield Reader("setup.toml", toml, data_like([setup]), share=0.5)
    yield Reader(
        "ports of a compose file",
        lambda data: container_ports(data if isinstance(data, list) else [data]),
        data_like([["8080:80", "53/udp", "127.0.0.1::443/tcp"]]),
        share=0.3,
    )


def _words(directory: Path) -> t.Iterator[Reader]:
    def advised(data: t.Any) -> object:
        return Advisories(data).find(IMAGE.packages)

    yield Reader("advisories", advised, data_like([OSV, PLAIN, [OSV, *PLAIN]]), names="advisories")
    file = directory / "advisories.yml"

    def advisories(text: bytes) -> object:
        file.write_bytes(text)
        return fleet._advisories(str(file))

    yield Reader("file of advisories", advisories, yaml_like([OSV, PLAIN]), names="advisories", share=0.5)
    versions = [b"1:2.3~rc1-4+deb12u1 5.2.21-r0", b"0 9999"]

    def compared(text: bytes) -> object:
        left, _space, right = text.decode("utf-8", "replace").partition(" ")
        return [compare(left, right) for compare in (compare_debian, compare_nix, compare_guix)]

    yield Reader("versions", compared, text_like(versions), share=0.5)
    playbook = [{"name": "x", "hosts": ["web", "db"], "serial": 1, "tasks": [{"ping": None}]}, {"hosts": "all"}]
    book = directory / "site.yml"

    def listed(text: bytes) -> object:
        book.write_bytes(text)
        return list(plays.plays_in(str(directory / "site.yml")))

    yield Reader("playbook", listed, yaml_like([playbook]), share=0.5)
    lines = [b"cat /etc/x | grep -c 'a b' && test -e \"$(readlink -f /x)\"; ls >/dev/null 2>&1"]
    yield Reader(
        "command line", lambda text: only_looks({"_raw_params": text.decode("utf-8", "replace")}), text_like(lines)
    )
    yield Reader(
        "command",
        only_looks,
        fitting(data_like([{"cmd": "ls", "argv": ["ls", "-l"], "chdir": "/"}]), lambda data: isinstance(data, dict)),
        share=0.3,
    )
    yield Reader(
        "machines", lambda text: expanded(text.decode("utf-8", "replace")), text_like([b"dahu-[1-4,7]", b"a[1-2]b[3]"])
    )
    place = [
        {
            "host": "https://pve1.example.org:8006/",
            "token_id": "deploy@pve!compose",
            "token_secret": "3f",
            "fingerprint": "AB:" * 31 + "AB",
        }
    ]
    access_of = fitting(
        data_like(place),
        lambda data: (
            isinstance(data, dict)
            and set(data) <= set(place[0])
            and all(isinstance(value, str) for value in data.values())
            and "host" in data
        ),
    )
    yield Reader("access to Proxmox", lambda data: Access.at(**data).check(), access_of, share=0.5)
    yield Reader(
        "walltime",
        lambda text: seconds(text.decode("utf-8", "replace")),
        text_like([b"2:00:00", b"90m", b"1-12"]),
        share=0.5,
    )
    yield Reader(
        "start",
        lambda text: start_time(text.decode("utf-8", "replace")),
        text_like([b"2027-01-30 18:00:00", b"18:00"]),
        share=0.5,
    )
