# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that make keys or look at the machine as they are installed: nothing of it is in images, all on nodes."""

from __future__ import annotations

import re
import subprocess
import typing as t
from pathlib import Path

import pytest
from lab import Lab

#: Packages whose maintainer scripts make keys, or databases, or write down the name of the machine.
PACKAGES = (
    *("bind9", "dovecot-core", "exim4-daemon-light", "mariadb-server", "munge", "postfix", "postgresql"),
    *("rabbitmq-server", "slapd", "ssl-cert", "unbound"),
)
COMPOSITION = """
{{ ... }}:
{{
{roles}
  roles.cluster = {{
    packages = [ "munge" "postgresql" "slapd" ];
    generated."/etc/munge/munge.key".secret = "munge";
    volumes.data = {{ mount = "/var/lib/postgresql"; user = "postgres"; group = "postgres"; mode = "0755"; }};
    debconf = [ "slapd slapd/domain string example.org" ];
  }};
}}
"""
KEY = "a key that all nodes of the cluster have"


def of_cluster(secrets: t.Mapping[str, str]) -> dict[str, t.Any]:
    """``roles`` of the deployment file: of the packages, there are images only."""
    return {**dict.fromkeys(PACKAGES, 0), "cluster": {"count": 2, "secrets": secrets}}


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("packages", "web", platform="nspawn", roles=of_cluster({"munge": KEY}), boot_timeout=300)
    roles = "".join(f'  roles.{package} = {{ packages = [ "{package}" ]; }};\n' for package in PACKAGES)
    (lab.composition / "composition.nix").write_text(COMPOSITION.format(roles=roles))
    lab.play("lock")
    return lab


def odd(image: Path) -> list[str]:
    """What only its owner may read, and is in no package: a key, or something like it."""
    listing = subprocess.run(["unsquashfs", "-lls", str(image)], check=True, capture_output=True, text=True).stdout
    return re.findall(
        r"^-(?:rw|r-)------- \S+ +[1-9]\d* .* squashfs-root(\S+(?:key|cookie|\.pem|\.mdb|pg_control)\S*)$",
        listing,
        re.M,
    )


def test_images_are_reproducible_and_have_no_keys(lab: Lab) -> None:
    run = lab.play("check_reproducible")
    total = len(PACKAGES) + 1
    assert run.said(f"{total} images, {total} reproducible")
    images = [path / "root.squashfs" for path in (lab.state / "roots").iterdir()]
    assert len(images) == total
    assert {str(image): found for image in images if (found := odd(image))} == {}


def test_nodes_make_what_they_need_and_keep_it_with_their_data(lab: Lab) -> None:
    lab.play("deploy")
    credential = lab.ssh("cluster1", "munge --no-input").stdout.strip()
    assert "Success" in lab.ssh("cluster2", f"echo '{credential}' | unmunge").stdout
    assert (
        lab.ssh("cluster1", "cat /etc/munge/munge.key; stat -c %a:%U /etc/munge/munge.key").stdout
        == f"{KEY}600:munge\n"
    )

    def ask(node: str, query: str) -> str:
        return lab.ssh(node, f"cd /; runuser -u postgres -- psql --no-psqlrc -qAtc '{query}'").stdout.strip()

    ask("cluster1", "CREATE TABLE kept AS SELECT 7 AS number")
    one, two = (ask(node, "SELECT system_identifier FROM pg_control_system()") for node in ("cluster1", "cluster2"))
    assert one and two and one != two
    assert (
        "olcSuffix: dc=example,dc=org"
        in lab.ssh("cluster1", "cat /etc/ldap/slapd.d/cn=config/olcDatabase=*mdb.ldif").stdout
    )
    lab.edit('"slapd" ];', '"slapd" ]; files."/etc/greeting".text = "hello";')
    lab.play("deploy")
    assert ask("cluster1", "SELECT number FROM kept") == "7"
    assert ask("cluster1", "SELECT system_identifier FROM pg_control_system()") == one


def test_a_secret_that_is_missing_is_refused_with_the_plan(lab: Lab) -> None:
    lab.write(roles=of_cluster({}))
    refused = lab.play("plan", expect=2)
    assert refused.said(
        """roles.cluster.generated."/etc/munge/munge.key": no secret 'munge', which is to be written there"""
    )
