# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes whose machines start them with kexec, and that have their root file system over NFS."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

from .conftest import SiteOf
from .platforms.kexec import Hall
from .site import Site

on_kexec = pytest.mark.parametrize("ground", ["kexec"], indirect=True)


@pytest.fixture
def export(ground: Hall, tmp_path: Path) -> Path:
    """The directory that a server exports."""
    directory = tmp_path / "images"
    directory.mkdir()
    ground.exported.parent.mkdir(exist_ok=True)
    ground.exported.symlink_to(directory)
    return directory


def say(site: Site, **options: t.Any) -> None:
    """Give all nodes options."""
    site.set(nodes=tuple(replace(node, options={**node.options, **options}) for node in site.deployment.nodes))


def held(export: Path) -> list[str]:
    return sorted(str(path.relative_to(export)) for path in export.rglob("*") if path.is_file())


@on_kexec
def test_two_deployments_have_their_roots_on_one_server(site_of: SiteOf, ground: Hall, export: Path) -> None:
    one, two = site_of(1, "one"), site_of(1, "two")
    for site in (one, two):
        say(site, nfs="192.0.2.9:/images", nfs_dir=str(export))
        assert site.deploy()["failed_nodes"] == []
    assert one.runs() == two.runs() == {"web1": "v1"}
    assert held(export) == ["one/v1.squashfs", "two/v1.squashfs"]
    assert one.plan() == {"web1": "keep"}

    before = two.boots()
    one.means = "v2"
    assert one.deploy()["failed_nodes"] == []
    assert one.runs() == {"web1": "v2"} and "one/v2.squashfs" in held(export)

    one.destroy()
    assert held(export) == ["two/v1.squashfs"] and two.boots() == before
    two.destroy()
    assert held(export) == []


@on_kexec
def test_a_server_that_does_not_answer_is_told_before_anything_is_touched(
    site_of: SiteOf, ground: Hall, tmp_path: Path
) -> None:
    site = site_of()
    say(site, nfs="192.0.2.9:/images", nfs_dir=str(tmp_path))
    before = ground.linuxes()
    with pytest.raises(ComposeError, match=r"mounting 192\.0\.2\.9:/images .*v1\.squashfs") as refused:
        site.deploy()
    assert "No such file or directory" in str(refused.value)
    assert ground.linuxes() == before and site.runs() == {} and ground.left(site.deployment) == []


@on_kexec
def test_a_directory_that_is_not_what_the_server_exports(
    site_of: SiteOf, ground: Hall, export: Path, tmp_path: Path
) -> None:
    site = site_of()
    (tmp_path / "other").mkdir()
    say(site, nfs="192.0.2.9:/images", nfs_dir=str(tmp_path / "other"))
    before = ground.linuxes()
    with pytest.raises(ComposeError, match=r"is nfs_dir the directory that 192\.0\.2\.9 exports as /images\?"):
        site.deploy()
    assert ground.linuxes() == before and held(export) == []


@on_kexec
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"nfs": "192.0.2.9:/images"}, "has nfs, and no nfs_dir: a server exports as nfs what is nfs_dir on this host"),
        ({"nfs_dir": "/srv"}, "has nfs_dir, and no nfs: "),
        (
            {"nfs": "192.0.2.9:/images", "nfs_dir": "/no/such"},
            "nfs_dir: directory /no/such does not exist, or cannot be written to",
        ),
    ],
)
def test_half_an_export_is_refused(site_of: SiteOf, ground: Hall, options: dict[str, str], why: str) -> None:
    site = site_of()
    say(site, **options)
    before = ground.linuxes()
    with pytest.raises(ComposeError, match=why):
        site.deploy()
    assert ground.linuxes() == before and ground.left(site.deployment) == []
