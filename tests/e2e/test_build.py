# SPDX-License-Identifier: GPL-3.0-or-later
"""Building without deploying: formats that a person asks for, images that must come out the same twice."""

from __future__ import annotations

import subprocess
import tarfile
import typing as t
from pathlib import Path

import pytest
from lab import PATIENCE, Lab


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("build", "web", platform="nspawn", roles={"proxy": 0, "backend": 0})
    lab.drop_kernels()
    lab.drop_test_script()
    return lab


def test_formats_that_no_platform_asked_for(lab: Lab) -> None:
    run = lab.play("build", "-e", '{"compose_formats": ["tar"]}')
    bundle = Path(run.said('"database": "')[0].split('"')[3])
    with tarfile.open(bundle / "root.tar") as archive:
        assert "./usr/bin/redis-server" in archive.getnames()
    assert not (lab.state / "nodes").exists()
    assert lab.play("build", "-e", '{"compose_formats": ["tar"]}').changed == 0


def test_what_is_built_is_signed_and_copied_to_a_cache(lab: Lab) -> None:
    key, public = lab.directory / "secret", lab.directory / "public"
    subprocess.run(["nix-store", "--generate-binary-cache-key", "lab-1", key, public], check=True)
    cache = lab.directory / "cache"
    lab.write(builder={"name": "debian", "push_to": f"file://{cache}?compression=none", "signing_key": str(key)})
    lab.play("build", "-e", '{"compose_formats": ["tar"]}')
    infos = [path.read_text() for path in cache.glob("*.narinfo")]
    assert any("-web-database-image" in info for info in infos)
    assert all("\nSig: lab-1:" in info for info in infos)
    lab.write(builder="debian")


def test_an_unknown_format_is_refused_by_its_name(lab: Lab) -> None:
    run = lab.play("build", "-e", '{"compose_formats": ["qcow"]}', expect=2)
    assert run.said("formats has 'qcow'") and run.said("did you mean 'qcow2'?")
    run = lab.play("build", "-e", '{"compose_formats": ["iso"]}', expect=2)
    assert run.said("the builder 'debian' makes no image in format iso")


def test_a_path_that_no_role_may_have_is_refused_by_its_name(lab: Lab) -> None:
    kept = (lab.composition / "composition.nix").read_text()
    lab.edit('units."redis-server.service" = { };', 'files."/run/redis.conf".text = "";')
    process = lab.start("build")
    output, _errors = process.communicate(timeout=PATIENCE)
    (lab.composition / "composition.nix").write_text(kept)
    assert process.returncode == 1
    assert 'roles.database.files."/run/redis.conf": cannot be in an image' in output


def test_an_image_that_differs_ends_the_run_before_anything_is_touched(lab: Lab) -> None:
    lab.edit('units."redis-server.service" = { };', 'postInstall = "cat /proc/sys/kernel/random/uuid > /etc/chance";')
    run = lab.play("deploy", "-v", "-e", "compose_reproducible=true", expect=2)
    assert run.said("the image of role 'database' differs") and run.said('"kind": "not-reproducible"')
    assert not (lab.state / "nodes").exists()
