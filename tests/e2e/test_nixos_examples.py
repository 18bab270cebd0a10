# SPDX-License-Identifier: GPL-3.0-or-later
"""BeeGFS and OrangeFS in the form of NixOS Compose, evaluated with stubs in the place of Nixpkgs and of sources."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

import pytest
from example import Example
from lab import NEW, PATIENCE, ROOT

STUB = str(ROOT / "tests/unit/builders/stub_nixos")
FORMATS = ("-e", '{"compose_formats": ["root", "kernel", "initrd"]}')


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], Example]:
    """Makes working copies of examples whose Nixpkgs is the stub."""
    monkeypatch.setenv("NIX_CONFIG", "sandbox = false\nsubstituters =")

    def make(name: str) -> Example:
        lab = Example(tmp_path, name)
        lab.write(builder={"name": "nixos", "nixpkgs": STUB})
        return lab

    return make


@pytest.fixture
def beegfs(example: t.Callable[[str], Example], tmp_path: Path) -> Example:
    """BeeGFS, with a source that is pinned as ``nix flake lock`` does it."""
    lab, source = example("beegfs"), tmp_path / "source"
    source.mkdir()
    (source / "Makefile").write_text(f"# {NEW}\n")
    lock = {
        "version": 7,
        "root": "root",
        "nodes": {
            "root": {"inputs": {"beegfs": "beegfs_2"}},
            "beegfs_2": {"flake": False, "locked": {"type": "path", "path": str(source)}},
        },
    }
    (lab.composition / "flake.lock").write_text(json.dumps(lock))
    return lab


class Node:
    """A directory in which scripts of a role run as they would on a node."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for directory in ("run/compose", "var/lib", "bin"):
            (root / directory).mkdir(parents=True)

    def start(self, script: str, role: str, index: int) -> None:
        names = {"mgmtd": ["boss"], "server": ["server1", "server2"], role: [f"{role}{index}"]}
        peers = [{"name": name, "role": of} for of, all_ in names.items() for name in all_]
        document = {"role": role, "index": index, "peers": peers, "secrets": {"beegfs": "hidden"}}
        (self._root / "run/compose/node.json").write_text(json.dumps(document))
        here = script.replace("/run/", f"{self._root}/run/").replace("/var/", f"{self._root}/var/")
        subprocess.run(
            ["bash", "-e", "-c", here],
            env={"PATH": f"{self._root}/bin:/usr/bin:/bin"}, check=True, timeout=PATIENCE,
        )  # fmt: skip

    def add_program(self, name: str, script: str) -> None:
        (self._root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (self._root / "bin" / name).chmod(0o755)

    def read(self, path: str) -> str:
        return (self._root / path).read_text()


def hosts(lab: Example) -> list[str]:
    listed = subprocess.run(
        [lab.program("ansible-inventory"), "-i", str(lab.inventory), "--list"],
        env=lab.environment(), check=True, capture_output=True, text=True,
    )  # fmt: skip
    return sorted(json.loads(listed.stdout)["_meta"]["hostvars"])


def systems(lab: Example) -> dict[str, t.Any]:
    """Role → what its system is made of, as the stub writes it down."""
    roots = lab.state / "roots"
    for root in roots.iterdir() if roots.exists() else ():
        root.unlink()  # of an earlier build
    lab.play("build", *FORMATS)
    found = {}
    for root in roots.iterdir():
        image = json.loads((root / "image.json").read_text())
        _variant, _space, text = (Path("/nix/store") / image["identity"] / "file").read_text().partition(" ")
        found[image["role"]] = json.loads(text[text.index("{") :])
    return found


def told(path: str) -> dict[str, t.Any]:
    """What the build of a package was told."""
    return t.cast("dict[str, t.Any]", json.loads((Path(path) / "told").read_text()))


def package(system: dict[str, t.Any], name: str) -> str:
    (path,) = (path for path in system["packages"] if path[44:].startswith(f"{name}-"))
    return str(path)


def test_inventories_need_neither_nixpkgs_nor_sources(example: t.Callable[[str], Example]) -> None:
    lab = example("beegfs")
    nodes = ["client1", "client2", "meta1", "mgmtd", "storage1", "storage2"]
    for builder in ("nixos", "nxc"):
        lab.write(builder=builder)
        assert hosts(lab) == nodes


def test_stub_nixpkgs_orangefs_is_that_of_nixpkgs_and_counts_are_in_no_image(
    example: t.Callable[[str], Example],
) -> None:
    lab = example("orangefs")
    assert hosts(lab) == ["client1", "client2", "server1", "server2"]
    found = systems(lab)
    assert sorted(found) == ["client", "server"]
    assert package(found["server"], "orangefs") == package(found["client"], "orangefs")
    assert found["client"]["orangefs"]["enable"] is True
    assert "server2" not in json.dumps(found)
    lab.count(server=3)
    assert lab.play("build", *FORMATS).changed == 0


def test_stub_nixpkgs_servers_of_orangefs_are_those_of_the_node_document(
    example: t.Callable[[str], Example], tmp_path: Path
) -> None:
    node = Node(tmp_path / "node")
    node.add_program("chown", "exit 0")
    node.add_program("pvfs2-genconfig", 'for file; do :; done; echo "$@" >"$file"')
    node.start(systems(example("orangefs"))["server"]["services"]["orangefs-conf"]["script"], "client", 1)
    assert " --ioservers server1,server2 --metaservers server1,server2 " in node.read("run/orangefs/server.conf")


def test_stub_nixpkgs_without_a_pin_the_source_of_beegfs_is_missed_in_plain_words(
    example: t.Callable[[str], Example],
) -> None:
    lab = example("beegfs")
    run = lab.play("build", *FORMATS, expect=2)
    assert run.said("no source of BeeGFS is pinned: ") and run.said("`nix flake lock`")


def test_stub_nixpkgs_beegfs_is_built_of_the_source_that_is_pinned(beegfs: Example) -> None:
    found = systems(beegfs)
    assert sorted(found) == ["client", "meta", "mgmtd", "storage"]
    (path,) = {package(system, "beegfs") for system in found.values()}
    source = Path(told(path)["src"])
    assert (source / "Makefile").read_text() == f"# {NEW}\n"
    for role in ("meta", "mgmtd", "storage"):
        service = found[role]["services"][f"beegfs-{role}"]
        assert service["serviceConfig"]["ExecStart"].startswith(f"{path}/bin/beegfs-{role} ")
        assert found[role]["modules"] == []
    assert told(found["client"]["modules"][0])["src"] == str(source)


def kernels(found: dict[str, t.Any]) -> tuple[str, str]:
    """The kernel that a client boots, and the one for which its module is built."""
    (module,) = found["client"]["modules"]
    (directory,) = (flag for flag in told(module)["makeFlags"] if flag.startswith("KDIR="))
    return found["client"]["kernel"], directory.removeprefix("KDIR=").partition("/lib/modules/")[0]


def test_stub_nixpkgs_the_module_of_beegfs_is_for_the_kernel_that_the_client_boots(beegfs: Example) -> None:
    found = systems(beegfs)
    booted, module = kernels(found)
    assert booted == module and told(booted)["version"] == "6.6"
    assert told(found["storage"]["kernel"])["version"] == "6.12"

    beegfs.write(setup={"kernel": "6_12"})
    other, module = kernels(systems(beegfs))
    assert other == module and told(other)["version"] == "6.12"

    # What is configured of a kernel makes another one of it.
    beegfs.edit(
        'boot.kernelModules = [ "beegfs" ];', 'boot.kernelModules = [ "beegfs" ]; boot.kernelPatches = [ "own" ];'
    )
    patched, module = kernels(systems(beegfs))
    assert patched == module != other and told(patched)["patches"] == ["own"]


def test_stub_nixpkgs_servers_of_beegfs_keep_the_numbers_that_they_had_first(beegfs: Example, tmp_path: Path) -> None:
    found, node = systems(beegfs), Node(tmp_path / "node")
    for role, number in (("storage", 2), ("meta", 1)):
        node.start(found[role]["services"][f"beegfs-{role}"]["preStart"], role, number)
        assert node.read(f"var/lib/beegfs/{role}/nodeNumID") == f"{number}\n"
        assert "sysMgmtdHost = boss\n" in node.read(f"run/beegfs/{role}.conf")
    assert node.read("run/beegfs/secret") == "hidden\n"
    node.start(found["storage"]["services"]["beegfs-storage"]["preStart"], "storage", 5)
    assert node.read("var/lib/beegfs/storage/nodeNumID") == node.read("var/lib/beegfs/storage/targetNumID") == "2\n"


def test_stub_nixpkgs_beegfs_is_not_built_by_who_has_not_accepted_its_terms(beegfs: Example) -> None:
    beegfs.edit("nixpkgs.config.allowUnfreePredicate", "nixpkgs.config.another")
    assert beegfs.play("build", *FORMATS, expect=2).said("has an unfree license")
