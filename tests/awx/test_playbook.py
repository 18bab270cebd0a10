# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that sets up AWX, against what a real AWX has answered."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".cache" / "awx"
EXAMPLE = ROOT / "examples" / "controller"
sys.path.insert(0, str(ROOT / "tests" / "simulators"))

from awx.controller import UNRECORDED, Controller, serve  # noqa: E402

SETTINGS = {
    "awx_organization": "Ops",
    "awx_image": "registry.example.org/immutable-compose",
    "awx_scm_url": "https://git.example.org/ops/infra",
    "awx_credentials": ["builder ssh", "ops vault"],
    "awx_notification": {
        "name": "ops webhook",
        "notification_type": "webhook",
        "notification_configuration": {
            "url": "https://chat.example.org/hook",
            "http_method": "POST",
            "headers": {},
            "disable_ssl_verification": False,
        },
    },
}
#: Template → variables that its survey asks for.
QUESTIONS = {
    "plan": ["compose_release"],
    "deploy": ["compose_serial", "compose_replace"],
    "verify": ["verify_release", "verify_drift"],
    "drift": ["compose_heal"],
    "rollback": ["compose_release"],
    "audit": ["compose_advisories"],
}


class Site:
    """A controller, and a playbook that sets it up."""

    def __init__(self, directory: Path, controller: Controller) -> None:
        self.directory = directory
        self.controller = controller
        #: Where the modules are.
        self.modules = ENVIRONMENT / "controller"
        self._server = serve(controller)

    def set_up(self, expect: int = 0, **settings: t.Any) -> str:
        done = subprocess.run(
            [ENVIRONMENT / "bin/ansible-playbook", "immutable.compose.awx", "-e", json.dumps({**SETTINGS, **settings})],
            cwd=self.directory,
            env={
                "PATH": f"{ENVIRONMENT}/bin:/usr/bin:/bin",
                "HOME": str(self.directory),
                "ANSIBLE_COLLECTIONS_PATH": ":".join(map(str, (ROOT / ".cache/collections", self.modules))),
                "ANSIBLE_NOCOLOR": "1",
                "CONTROLLER_HOST": f"http://127.0.0.1:{self._server.server_port}",
                "CONTROLLER_USERNAME": "admin",
                "CONTROLLER_PASSWORD": "secret",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=540,
            check=False,
        )
        print(done.stdout)
        assert self.controller.unknown == []
        assert done.returncode == expect
        return done.stdout

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def changes(output: str) -> int:
    (found,) = re.findall(r"changed=(\d+)", output)
    return int(found)


@pytest.fixture
def site(tmp_path: Path) -> t.Iterator[Site]:
    controller = Controller({str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*.yml")})
    for name in SETTINGS["awx_credentials"]:
        controller.seed("credentials", name=name)
    site = Site(tmp_path, controller)
    yield site
    site.close()


def test_what_is_missing_is_made_and_then_nothing_changes(site: Site) -> None:
    assert changes(site.set_up()) == 10
    made = site.controller.objects
    templates = {each["name"]: each for each in made["job_templates"]}
    assert set(templates) == {f"immutable {name}" for name in QUESTIONS}
    asked: dict[str, list[str]] = {}
    for name, template in templates.items():
        assert (template["allow_simultaneous"], template["job_slice_count"]) == (False, 1)
        assert len(site.controller.linked[f"{template['url']}credentials/"]) == 2
        spec = site.controller.surveys[f"{template['url']}survey_spec/"]["spec"]
        asked[name.removeprefix("immutable ")] = [question["variable"] for question in spec]
    assert asked == QUESTIONS
    (source,) = made["inventory_sources"]
    assert (source["overwrite"], source["update_on_launch"]) == (True, True)
    assert yaml.safe_load(source["source_vars"]) == {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
    assert len(made["schedules"]) == 3
    # sync → plan → approval → deploy
    nodes = {each["identifier"]: each for each in made["workflow_job_template_nodes"]}
    ways = {name: site.controller.linked.get(f"{node['url']}success_nodes/", []) for name, node in nodes.items()}
    order = ["sync", "plan", "approval", "deploy"]
    assert ways == {
        name: [nodes[following]["id"] for following in order[number : number + 1]]
        for number, name in enumerate(order, 1)
    }
    numbers = {name: len(each) for name, each in made.items()}
    assert changes(site.set_up()) == 0
    assert {name: len(each) for name, each in made.items()} == numbers
    assert site.controller.unrecorded == set(UNRECORDED)


def test_templates_wait_for_the_playbooks_of_the_project(site: Site) -> None:
    """With the modules of a fork, which has another name, and no others."""
    theirs, site.modules = site.modules, site.directory / "collections"
    shutil.copytree(theirs / "ansible_collections/awx/awx", site.modules / "ansible_collections/example/fork")
    site.controller.playbooks = ["playbooks/plan.yml"]
    said = site.set_up(expect=2, awx_collection="example.fork")
    assert "Playbook not found for project." in said
    assert [each["name"] for each in site.controller.objects["job_templates"]] == ["immutable plan"]


def test_a_request_that_no_recording_knows_is_noticed(site: Site) -> None:
    assert site.controller.answer("GET", "/api/v2/teams/", "name=x", None)[0] == 501
    assert site.controller.answer("POST", "/api/v2/organizations/", "", {"name": "x", "colour": "red"})[0] == 501
    assert site.controller.unknown == ["GET teams/ name []", "POST organizations/ ['colour', 'name']"]


def test_vault_credentials_on_a_source_are_refused(site: Site) -> None:
    site.set_up()
    (source,) = site.controller.objects["inventory_sources"]
    status, said = site.controller.answer("PATCH", source["url"], "", {"credential": 4})
    assert status == 400 and "vault are disallowed" in json.dumps(said)
