# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages and tarballs of a composition's own: from the file in its directory to the node, the SBOM and the audit."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import typing as t
from pathlib import Path

import pytest
import yaml
from debs import write_deb
from lab import NEW, Lab
from test_audit import run_tasks

COMPOSITION = """
{ ... }:
{
  roles.node = {
    packages = [ ./debs/our.deb "redis-server" ./debs/helper.deb ];
    archives.tool = { version = "2.1"; source = ./tool.tar.xz; dest = "/opt/tools"; };
    users.bob = { };
  };
  roles.other.users.bob = { };
}
"""
#: Packages make users as they are installed; `our` also needs one of Debian's and one of the other files.
MAKES_A_USER = "adduser --system --group --no-create-home our"


def write_tool(file: Path, text: str) -> None:
    member = tarfile.TarInfo("tool-2.1/tool")
    member.size, member.mode = len(text), 0o755
    with tarfile.open(file, "w:xz") as archive:
        archive.addfile(member, io.BytesIO(text.encode()))


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def fresh(lab_of: t.Callable[..., Lab]) -> Lab:
    """Nothing of it is locked."""
    lab = lab_of("own", "web", platform="nspawn", roles={"node": 1, "other": 0}, boot_timeout=300)
    (lab.composition / "composition.nix").write_text(COMPOSITION)
    depends = "tree, helper (>= 3)"
    write_deb(lab.composition / "debs/our.deb", MAKES_A_USER, depends=depends, version=f"1.2+{NEW}")
    write_deb(lab.composition / "debs/helper.deb", package="helper", version="3")
    write_tool(lab.composition / "tool.tar.xz", "#!/bin/sh\necho tool\n")
    return lab


@pytest.fixture(scope="module")
def lab(fresh: Lab) -> Lab:
    """Locked and deployed."""
    fresh.play("lock")
    fresh.play("deploy")
    return fresh


def owns(lab: Lab) -> dict[str, list[str]]:
    """Name → version and hash."""
    return {
        "our": [f"1.2+{NEW}", sha256(lab.composition / "debs/our.deb")],
        "helper": ["3", sha256(lab.composition / "debs/helper.deb")],
        "tool": ["2.1", sha256(lab.composition / "tool.tar.xz")],
    }


def test_what_is_not_locked_is_not_deployed(fresh: Lab) -> None:
    file = fresh.composition / "compose.lock.json"
    lock = json.loads(file.read_text())
    lock["roles"] = {"node": lock["roles"]["database"]}
    file.write_text(json.dumps(lock))
    refused = fresh.play("deploy", expect=2)
    assert refused.said("roles.node.packages: './debs/our.deb' is not locked")
    assert refused.said("roles.node.archives.tool is not locked")


def test_nodes_have_them(lab: Lab) -> None:
    lock = json.loads((lab.composition / "compose.lock.json").read_text())
    assert {"our", "helper", "tree"} <= set(lock["roles"]["node"]["packages"])
    said = lab.ssh("node1", "our; helper; /opt/tools/tool-2.1/tool; tree --version; dpkg --audit; id -u our").stdout
    assert said.splitlines()[:3] == [f"1.2+{NEW}", "3", "tool"]
    assert said.splitlines()[-1] == str(lock["numbers"]["users"]["our"])
    assert lab.play("deploy").changed == 0


def test_lists_and_sbom_have_them(lab: Lab) -> None:
    bundle = str((lab.state / "roots" / lab.images()["node1"]).resolve())
    cyclonedx, spdx = (
        {"path": bundle, "dest": str(lab.directory / name), "format": name} for name in ("cyclonedx", "spdx")
    )
    (info, *_results), _output = run_tasks(
        lab,
        {"immutable.compose.image_info": {"path": bundle}},
        *({"immutable.compose.image_sbom": each} for each in (cyclonedx, spdx)),
    )
    listed = info["image"]["packages"]
    assert {each["name"]: [each["version"], each["sha256"]] for each in listed if "sha256" in each} == owns(lab)
    components = json.loads((lab.directory / "cyclonedx").read_text())["components"]
    found = {each["name"]: [each["version"], each["hashes"][0]["content"]] for each in components if "hashes" in each}
    assert found == owns(lab)
    purls = {each["name"]: each["purl"] for each in components}
    assert purls["tool"] == f"pkg:generic/tool@2.1?checksum=sha256:{owns(lab)['tool'][1]}"
    assert purls["tree"].startswith("pkg:deb/debian/tree@")
    packages = json.loads((lab.directory / "spdx").read_text())["packages"]
    hashed = {each["name"]: each["checksums"][0]["checksumValue"] for each in packages if each.get("checksums")}
    assert hashed == {name: own[1] for name, own in owns(lab).items()}


def test_no_audit_takes_them_for_clean(lab: Lab) -> None:
    def audit(*advisories: t.Any, expect: int = 0) -> t.Any:
        file = lab.directory / "advisories.yml"
        file.write_text(yaml.safe_dump(list(advisories)))
        return lab.play("audit", "-e", f"compose_advisories={file}", expect=expect)

    clean = audit({"id": "X-1", "package": "bash", "versions": "< 1"})
    for name, (version, _hash) in owns(lab).items():
        assert clean.said(f"not known: {name} {version}: it is the composition's own, and no advisory names it")
    found = audit({"id": "OURS-1", "package": "tool", "versions": "< 2.2"}, expect=2)
    assert found.said("OURS-1 (tool 2.1)")
    assert not found.said("not known: tool")


@pytest.mark.parametrize("name", ["debs/our.deb", "tool.tar.xz"])
def test_another_file_is_refused_until_it_is_locked(lab: Lab, name: str) -> None:
    file = lab.composition / name
    before, release = sha256(file), lab.release()
    if name == "tool.tar.xz":
        write_tool(file, "#!/bin/sh\necho another tool\n")
    else:
        write_deb(file, MAKES_A_USER, depends="tree, helper (>= 3)", version=f"1.3+{NEW}")
    refused = lab.play("deploy", expect=2)
    assert refused.said(f"{file} is not what was locked: its SHA-256 is {sha256(file)}, the lock has {before}")
    assert lab.release() == release
    shown = lab.play("lock", "--check", "--diff")
    assert shown.said(f'-    "sha256": "{before}"') or shown.said(f'"sha256": "{before}"')
    lab.play("lock")
    lab.play("deploy")
    said = lab.ssh("node1", "our; /opt/tools/tool-2.1/tool").stdout.splitlines()
    assert said[1 if name == "tool.tar.xz" else 0] == ("another tool" if name == "tool.tar.xz" else f"1.3+{NEW}")


def test_a_tarball_that_leads_elsewhere_is_refused(lab: Lab) -> None:
    file, lock = lab.composition / "tool.tar.xz", (lab.composition / "compose.lock.json").read_text()
    member = tarfile.TarInfo("tool-2.1/../../../etc/passwd")
    with tarfile.open(file, "w:xz") as archive:
        archive.addfile(member)
    refused = lab.play("lock", expect=2)
    assert refused.said(f"roles.node.archives.tool: {file}: '{member.name}' leads out of the directory")
    assert (lab.composition / "compose.lock.json").read_text() == lock
