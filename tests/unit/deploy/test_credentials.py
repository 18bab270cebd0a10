# SPDX-License-Identifier: GPL-3.0-or-later
"""What logs in to a platform: from environment and inventory, through the real Ansible, to the platform; never seen."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import typing as t
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.module_utils.deploy.parcel import described
from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import to_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.plugin_utils.fleet import credentials_of

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent

#: A platform that says all it knows wherever it can, and then refuses.
PLATFORM = """
from ..errors import ComposeError
from .base import Platform


class Gossip(Platform):
    name = "gossip"
    formats = ("root",)
    boots_kernel = False
    environment = {"host": "GOSSIP_HOST", "user": "GOSSIP_USER", "password": "GOSSIP_PASSWORD"}
    public_credentials = ("host", "user")

    def check(self, nodes):
        told = ", ".join(f"{key}={value}" for key, value in sorted(self.deployment.credentials.items()))
        self.progress.say(f"logs in with {told}")
        raise ComposeError(f"refused {told} of {len(self.deployment.credentials['password'])} characters")


Gossip.__abstractmethods__ = frozenset()
"""
#: What runs commands "elsewhere": the last argument of ssh is the command.
SSH = '#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n'
SECRET = "correct-horse-battery"
OTHER = "staple-of-another-kind"


@dataclass
class Site:
    directory: Path

    def plan(self, *args: str | Path, **environment: str) -> str:
        """All that a refused ``plan`` put out, at the level of a bug report."""
        done = subprocess.run(
            [BIN / "ansible-playbook", "-vvv", "-i", "inventory", "immutable.compose.plan", *args],
            cwd=self.directory,
            env={
                "HOME": str(self.directory),
                "PATH": os.environ["PATH"],
                "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
                "ANSIBLE_NOCOLOR": "true",
                "ANSIBLE_LOCAL_TEMP": str(self.directory / "local"),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 2, done.stdout
        return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One node on a platform of the test's own."""
    collection = tmp_path / "collections/ansible_collections/immutable/compose"
    shutil.copytree(ROOT / "plugins", collection / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("playbooks", "roles", "meta", "nix", "galaxy.yml"):
        (collection / part).symlink_to(ROOT / part)
    platforms = collection / "plugins/module_utils/platforms"
    (platforms / "gossip.py").write_text(PLATFORM)
    with open(platforms / "registry.py", "a", encoding="utf-8") as registry:
        registry.write("\nfrom .gossip import Gossip\n\nPLATFORMS[Gossip.name] = Gossip\n")
    shutil.copytree(ROOT / "compositions/web", tmp_path / "web")
    (tmp_path / "inventory/group_vars").mkdir(parents=True)
    deployment = {
        "plugin": "immutable.compose.composition",
        "composition": "../web",
        "platform": "gossip",
        "state_dir": str(tmp_path / "state"),
    }
    (tmp_path / "inventory/lab.compose.yml").write_text(yaml.safe_dump(deployment))
    return Site(tmp_path)


def said(output: str) -> str:
    """What the platform got, as far as it may be read."""
    assert f"{len(SECRET)} characters" in output, output
    assert "compose | logs in with" in output
    (line,) = set(re.findall(rf"refused (.*?) of {len(SECRET)} characters", output))
    return str(line)


def test_the_environment_of_the_controller_reaches_the_platform_and_nobody_sees_the_secret(site: Site) -> None:
    output = site.plan(GOSSIP_HOST="pve1", GOSSIP_USER="web@pam", GOSSIP_PASSWORD=SECRET)
    assert said(output) == "host=pve1, password=********, user=web@pam"
    assert SECRET not in output


def test_encrypted_variables_and_templates_win_over_the_environment(site: Site) -> None:
    (site.directory / "key").write_text("open sesame")
    encrypted = subprocess.run(
        [BIN / "ansible-vault", "encrypt_string", "--vault-password-file", "key", "--name", "password", SECRET],
        cwd=site.directory,
        env={"HOME": str(site.directory), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (site.directory / "inventory/group_vars/platform_gossip.yml").write_text(
        'realm: pam\ncompose_credentials:\n  user: "web@{{ realm }}"\n  ' + encrypted.replace("\n", "\n  ")
    )
    output = site.plan("--vault-password-file", "key", GOSSIP_HOST="pve1", GOSSIP_USER="x", GOSSIP_PASSWORD=OTHER)
    assert said(output) == "host=pve1, password=********, user=web@pam"
    assert SECRET not in output and OTHER not in output


def test_another_host_that_runs_the_deployment_gets_those_of_the_controller(site: Site) -> None:
    ssh = site.directory / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    builder = {
        "ansible_connection": "ssh",
        "ansible_ssh_executable": str(ssh),
        "ansible_ssh_transfer_method": "piped",
        "ansible_python_interpreter": sys.executable,
    }
    (site.directory / "inventory/hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"builder": builder}}}))
    output = site.plan("-e", "compose_host=builder", GOSSIP_HOST="pve1", GOSSIP_USER="u", GOSSIP_PASSWORD=SECRET)
    assert "-> builder" in output
    assert said(output) == "host=pve1, password=********, user=u"
    assert SECRET not in output


def test_a_misspelt_credential_is_refused_without_its_value(site: Site) -> None:
    output = site.plan("-e", json.dumps({"compose_credentials": {"pasword": SECRET}}))
    assert "compose_credentials: 'pasword' is not a credential of platform 'gossip'; did you mean 'password'?" in output


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        ({"host": "x"}, "'host' is not a credential of platform 'nspawn'"),
        (SECRET, "compose_credentials is of type str, expected a mapping of strings"),
    ],
)
def test_refusals_say_no_value(variable: t.Any, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        credentials_of("nspawn", {}, variable)
    assert SECRET not in str(caught.value)


def test_a_deployment_shows_no_credentials() -> None:
    deployment = Deployment("lab", "/c", "debian", "nspawn", (Node("a", "a"),), credentials={"password": SECRET})
    shown = json.dumps([described(deployment), to_hostvars(deployment)], default=asdict) + repr(deployment)
    assert SECRET not in shown
