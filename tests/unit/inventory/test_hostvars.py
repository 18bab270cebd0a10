"""From the deployment file through Ansible's own variables back to the deployment, as the action plugins do it."""

from __future__ import annotations

import json

from .conftest import Site

ACTION = """
import json
from ansible.plugins.action import ActionBase
from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import from_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.model.codec import encode
from ansible_collections.immutable.compose.plugins.plugin_utils.secrets import with_secrets


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        hostvars = {host: task_vars["hostvars"][host] for host in task_vars["groups"]["immutable"]}
        read = {name: from_hostvars(name, hostvars) for name in ("one", "two")}
        found = {
            name: with_secrets(each, [node.name for node in each.nodes], task_vars["hostvars"], self._templar)
            for name, each in read.items()
        }
        with open("found.json", "w") as stream:
            json.dump({name: encode(each) for name, each in found.items()}, stream)
        return {}
"""
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - deployments:
      run_once: true
"""


def test_deployments_come_back_from_hostvars(site: Site) -> None:
    password = site.directory / "password"
    password.write_text("open sesame")
    vault = ("--vault-password-file", password)
    encrypted = site.run("ansible-vault", "encrypt_string", *vault, "--name", "key", "the treasure").stdout
    indented = encrypted.replace("\n", "\n      ")
    one = site.write(
        f"""
parameters: {{top: [1, {{deep: ['{{{{ 7 * 7 }}}}', null, 1.5]}}], who: all}}
authorized_keys: [ssh-ed25519 AAAA me]
keep: 5
adopt_data: [node2]
at_most: {{node: 1, pair: {{nodes: [node1, server], count: 1}}}}
roles:
  node: {{count: 2, parameters: {{who: node}}, options: {{memory: 700}}}}
  server:
    secrets:
      {indented}
""",
        file="one.compose.yml",
    )
    two = site.write("\nroles: {node: [a], server: 0}\n", file="two.compose.yml")
    variables = site.directory / "host_vars"
    variables.mkdir()
    (variables / "a.yml").write_text("treasure: gold\ncompose_secrets: {key: 'made of {{ treasure }}'}\n")
    (site.directory / "action_plugins").mkdir()
    (site.directory / "action_plugins" / "deployments.py").write_text(ACTION)
    (site.directory / "play.yml").write_text(PLAYBOOK)
    done = site.run("ansible-playbook", "-i", one, "-i", two, *vault, "play.yml")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    found = json.loads((site.directory / "found.json").read_text())
    parameters = {"top": [1, {"deep": ["{{ 7 * 7 }}", None, 1.5]}], "who": "all"}
    assert found["one"]["parameters"] == parameters
    assert (found["one"]["keep"], found["one"]["authorized_keys"]) == (5, ["ssh-ed25519 AAAA me"])
    assert (found["one"]["adopt_data"], found["one"]["composition_name"]) == (["node2"], "nfs")
    assert found["one"]["at_most"] == {
        "node": {"nodes": ["node1", "node2"], "count": 1},
        "pair": {"nodes": ["node1", "server"], "count": 1},
    }
    assert [node["name"] for node in found["one"]["nodes"]] == ["node1", "node2", "server"]
    assert found["one"]["nodes"][0]["parameters"] == {**parameters, "who": "node"}
    assert found["one"]["nodes"][0]["options"] == {"memory": 700}
    assert found["one"]["nodes"][2]["secrets"] == {"key": "the treasure"}
    assert [node["secrets"] for node in found["two"]["nodes"]] == [{"key": "made of gold"}]


def test_secrets_that_cannot_be_read_are_named_and_the_rest_comes_back(site: Site) -> None:
    (site.directory / "password").write_text("open sesame")
    vault = ("--vault-password-file", site.directory / "password")
    encrypted = site.run("ansible-vault", "encrypt_string", *vault, "--name", "key", "the treasure").stdout
    indented = encrypted.replace("\n", "\n      ")
    one = site.write(f"\nroles:\n  node: 2\n  server:\n    secrets:\n      {indented}\n", file="one.compose.yml")
    two = site.write("\nroles: {node: [a, b], server: 0}\n", file="two.compose.yml")
    variables = site.directory / "host_vars"
    variables.mkdir()
    (variables / "a.yml").write_text(f"{encrypted}compose_secrets: {{fine: x, made: 'of {{{{ key }}}}'}}\n")
    (site.directory / "action_plugins").mkdir()
    (site.directory / "action_plugins" / "deployments.py").write_text(ACTION)
    (site.directory / "play.yml").write_text(PLAYBOOK)
    done = site.run("ansible-playbook", "-i", one, "-i", two, "play.yml")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    found = json.loads((site.directory / "found.json").read_text())
    assert len(found["one"]["nodes"]) == 3
    assert set(found["one"]["unreadable"]) == {"server"}
    why = found["one"]["unreadable"]["server"]
    line = (site.directory / "one.compose.yml").read_text().splitlines().index("      key: !vault |") + 1
    assert f"one.compose.yml:{line}: compose_secrets.key of 'server' cannot be read: " in why, why
    assert "no vault secrets found" in why
    assert set(found["two"]["unreadable"]) == {"a"}
    assert "host_vars/a.yml:" in found["two"]["unreadable"]["a"]
    assert "compose_secrets.made of 'a' cannot be read" in found["two"]["unreadable"]["a"]
