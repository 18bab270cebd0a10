"""What a deployment file gives: hosts, groups, variables."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.plugin_utils.connections import reached

from .conftest import ROOT, Site


def test_hosts_groups_and_variables(site: Site) -> None:
    source = site.write(
        """
name: demo-1
state_dir: state
roles:
  node: {count: 2, options: {memory: 700}, variables: {rack: left}}
"""
    )
    data = site.list(source).data
    connection = reached(str(site.directory / "state" / "demo-1"), "refuse")
    assert data.pop("_meta")["hostvars"] == {
        "node1": {
            **connection,
            "ansible_host": "node1",
            "compose_role": "node",
            "compose_index": 1,
            "compose_address": "10.87.0.1",
            "compose_options": {"memory": 700},
            "rack": "left",
        },
        "node2": {
            **connection,
            "ansible_host": "node2",
            "compose_role": "node",
            "compose_index": 2,
            "compose_address": "10.87.0.2",
            "compose_options": {"memory": 700},
            "rack": "left",
        },
        "server": {
            **connection,
            "ansible_host": "server",
            "compose_role": "server",
            "compose_index": 1,
            "compose_address": "10.87.128.1",
        },
    }
    del data["all"]
    assert data == {
        "immutable": {"children": ["deployment_demo_1", "role_server", "role_node"]},
        "composition_nfs": {"children": ["deployment_demo_1"]},
        "platform_qemu": {"children": ["deployment_demo_1"]},
        "deployment_demo_1": {
            "children": ["machines_demo_1"],
            "vars": {
                "compose_deployment": "demo-1",
                "compose_composition": str(site.composition),
                "compose_builder": "debian",
                "compose_composition_name": "nfs",
                "compose_builder_options": {},
                "compose_platform": "qemu",
                "compose_network": "10.87.0.0/16",
                "compose_state": str(site.directory / "state" / "demo-1"),
                "compose_parameters": {},
                "compose_setup": {},
                "compose_authorized_keys": [],
                "compose_members": [
                    {
                        "nodes": "node[1:2]",
                        "role": "node",
                        "index": 1,
                        "address": "10.87.0.1",
                        "options": {"memory": 700},
                    },
                    {"nodes": "server", "role": "server", "index": 1, "address": "10.87.128.1", "options": {}},
                ],
                "compose_adopt_data": [],
                "compose_at_most": {},
                "compose_at_least": {},
                "compose_retries": 0,
                "compose_silent": "refuse",
                "compose_may_fail": [],
                "compose_keep": 3,
                "compose_boot_timeout": 300,
                "compose_verify_timeout": 1800,
                "compose_stable_for": 15,
            },
        },
        "machines_demo_1": {"hosts": ["node1", "node2", "server"]},
        "role_server": {"hosts": ["server"]},
        "role_node": {"hosts": ["node1", "node2"]},
    }


def test_nodes_have_the_addresses_that_the_state_directory_says(site: Site) -> None:
    def found() -> dict[str, str]:
        hosts = site.list(source).data["_meta"]["hostvars"]
        return {name: variables["compose_address"] for name, variables in hosts.items()}

    more = "\nstate_dir: state\nroles: {node: [c, new], server: 0}\nnodes: {new: {address: 10.87.0.3}}\n"
    source = site.write(more)
    assert found() == {"c": "10.87.0.1", "new": "10.87.0.3"}
    ledger = site.directory / "state" / "demo" / "addresses.json"
    ledger.parent.mkdir(parents=True)
    nodes = {"c": {"address": "10.87.0.2"}, "gone": {"address": "10.87.0.1"}}
    ledger.write_text(json.dumps({"schema": "immutable.compose/addresses/1", "nodes": nodes}))
    assert found() == {"c": "10.87.0.2", "new": "10.87.0.3"}
    hosts = site.list(source).data["_meta"]["hostvars"]
    assert [host.get("compose_address_given") for host in (hosts["c"], hosts["new"])] == [None, True]
    ledger.write_text("")  # a step says what to do about it
    assert found() == {"c": "10.87.0.1", "new": "10.87.0.3"}


def test_templates_are_data(site: Site) -> None:
    """Neither the file nor what comes from the composition makes Ansible run anything."""
    template = '{{ lookup("pipe", "touch pwned") }}'
    source = site.write(
        f"""
roles:
  server:
    variables: {{trap: '{template}', nested: [{{deep: '{template}'}}], plain: "100 %"}}
    secrets: {{key: '{template}'}}
"""
    )
    variables = site.list(source).data["_meta"]["hostvars"]["server"]
    assert variables["trap"] == {"__ansible_unsafe": template}
    assert variables["plain"] == "100 %"
    message = "msg={{ [trap, nested, compose_secrets] }}"
    shown = site.run("ansible", "-i", source, "-m", "debug", "-a", message, "server")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("touch pwned") == 3
    assert not (site.directory / "pwned").exists()


def test_encrypted_secrets_stay_encrypted(site: Site) -> None:
    password = site.directory / "password"
    password.write_text("open sesame")
    vault = ("--vault-password-file", password)
    encrypted = site.run("ansible-vault", "encrypt_string", *vault, "--name", "key", "the treasure").stdout
    indented = encrypted.replace("\n", "\n      ")
    source = site.write(f"\nroles:\n  server:\n    secrets:\n      {indented}\n")
    listed = site.list(source)  # without the password
    assert "$ANSIBLE_VAULT" in listed.data["_meta"]["hostvars"]["server"]["compose_secrets"]["key"]["__ansible_vault"]
    assert "treasure" not in listed.stdout
    shown = site.run(
        "ansible",
        "-i",
        source,
        *vault,
        "-m",
        "debug",
        "-a",
        "msg={{ compose_secrets.key == 'the treasure' }}",
        "server",
    )
    assert '"msg": true' in shown.stdout


def test_hosts_of_other_sources_keep_their_variables(site: Site) -> None:
    (site.directory / "10-legacy.ini").write_text(
        "[mail]\nmx1\n[rack1]\na.example.org ansible_host=10.87.7.1 slot=1\nb.example.org ansible_user=admin\n"
    )
    placed = "name: demo\nroles: {node: {hosts: rack1, variables: {size: 9}}, server: 0}\n"
    site.write(placed, file="20-demo.compose.yml")
    data = site.list(site.directory).data
    hostvars = data["_meta"]["hostvars"]
    a, b = hostvars["a.example.org"], hostvars["b.example.org"]
    assert (a["ansible_host"], a["slot"], a["size"], a["compose_address"]) == ("10.87.7.1", 1, 9, "10.87.7.1")
    assert (b["ansible_user"], b["compose_role"], b["compose_address"]) == ("admin", "node", "10.87.0.2")
    assert data["deployment_demo"]["hosts"] == ["a.example.org", "b.example.org"]
    assert data["rack1"]["hosts"] == data["role_node"]["hosts"]
    # They are reached as before.
    shown = site.run("ansible-inventory", "-i", site.directory, "--host", "a.example.org").data
    assert (shown["compose_deployment"], "ansible_ssh_common_args" in shown) == ("demo", False)


@pytest.mark.parametrize(
    ("legacy", "files", "taken", "said"),
    [
        ("[web]\nweb1 ansible_host=192.0.2.10\n", {}, "false", "at 192.0.2.10 (ansible_host)"),
        (
            "[web]\nweb1 ansible_ssh_host=192.0.2.10 ansible_host=10.87.0.1\n",
            {},
            "false",
            "at 192.0.2.10 (ansible_ssh_host)",
        ),
        ("[web]\nweb1\n[web:vars]\nansible_host=192.0.2.10\n", {}, "false", "at 192.0.2.10 (ansible_host)"),
        (
            "[web]\nweb1 rack=7\n[all:vars]\nansible_host={{ inventory_hostname }}.{{ rack }}.net\n",
            {},
            "false",
            "at web1.7.net (",
        ),
        ("[web]\nweb1\n", {"host_vars/web1.yml": "ansible_host: 192.0.2.10"}, "true", "at 192.0.2.10 (ansible_host)"),
        (
            "[web]\nweb1\n",
            {"group_vars/all/net.yml": "ansible_host: 192.0.2.10"},
            "false",
            "at 192.0.2.10 (ansible_host)",
        ),
    ],
)
def test_a_host_that_other_sources_reach_elsewhere(
    site: Site, legacy: str, files: dict[str, str], taken: str, said: str
) -> None:
    (site.directory / "10-legacy.ini").write_text(legacy)
    for name, text in files.items():
        (site.directory / name).parent.mkdir(parents=True)
        (site.directory / name).write_text(text)
    site.write(f"\nroles: {{server: 0, node: {{hosts: web, take_over: {taken}}}}}\n", file="20-demo.compose.yml")
    message = " ".join(site.list(site.directory).message.split())
    assert f"roles.node.hosts: Ansible reaches 'web1' {said}" in message
    assert "but platform 'qemu' makes a machine for it, at 10.87.0.1: two machines of one name" in message
    assert ("host_vars have the last word" in message) is (taken == "true")


def test_a_node_takes_the_name_of_a_host_over(site: Site) -> None:
    (site.directory / "10-legacy.ini").write_text("[web]\nweb1 ansible_host=192.0.2.10 ansible_ssh_host=192.0.2.11\n")
    site.write("\nname: demo\nroles: {server: 0, node: {hosts: web, take_over: true}}\n", file="20-demo.compose.yml")
    listed = site.list(site.directory).data
    assert (listed["machines_demo"]["hosts"], listed["web"]["hosts"]) == (["web1"], ["web1"])
    held = listed["_meta"]["hostvars"]["web1"]
    assert (held["ansible_host"], held["ansible_ssh_host"], held["ansible_user"]) == ("web1", None, "root")


def test_group_vars_of_others_do_not_say_how_nodes_are_reached(site: Site) -> None:
    (site.directory / "group_vars").mkdir()
    others = {
        "ansible_connection": "paramiko_ssh",
        "ansible_host": "{{ inventory_hostname }}.example.org",
        "ansible_ssh_host": "192.0.2.1",
        "ansible_user": "deploy",
        "ansible_ssh_user": "deploy",
        "ansible_port": 2222,
        "ansible_ssh_port": 2222,
        "ansible_become": True,
        "ansible_password": "secret",
        "ansible_ssh_private_key_file": "x",
        "ansible_ssh_common_args": "-J bastion",
        "ansible_ssh_extra_args": "-J bastion",
        "ansible_ssh_args": "-J bastion",
        "ansible_sftp_extra_args": "-o ProxyJump=bastion",
        "ansible_scp_extra_args": "-o ProxyJump=bastion",
        "ansible_ssh_executable": "/opt/bastion/ssh",
        "ansible_control_path": "/tmp/%%h",
        "ansible_ssh_private_key": "key",
        "ansible_ssh_pkcs11_provider": "/opt/pkcs11.so",
        "ansible_shell_type": "powershell",
        "ansible_shell_executable": "/usr/local/bin/bash",
        "ansible_host_key_checking": False,
        "ansible_ssh_host_key_checking": False,
    }
    (site.directory / "group_vars" / "all.yml").write_text(yaml.safe_dump(others))
    site.write("\nname: demo\nstate_dir: state\n", file="10-demo.compose.yml")
    shown = site.run("ansible-inventory", "-i", site.directory, "--host", "server").data
    assert {key: shown[key] for key in others} == {
        **dict.fromkeys(others),
        "ansible_connection": "immutable.compose.sealed_ssh",
        "ansible_host": "server",
        "ansible_user": "root",
        "ansible_ssh_user": "root",
        "ansible_become": False,
        "ansible_ssh_common_args": f"-F {site.directory}/state/demo/ssh_config",
        "ansible_shell_type": "sh",
        "ansible_host_key_checking": True,
        "ansible_ssh_host_key_checking": True,
    }


@pytest.mark.parametrize(
    ("word", "placed", "sealed"),
    [
        ("", "immutable.compose.sealed_ssh", "refuse"),
        ("sealed: warn\n", "immutable.compose.sealed_ssh", "warn"),
        ("sealed: off\n", "ssh", "off"),  # which YAML reads as false
        ("sealed: 'off'\n", "ssh", "off"),
    ],
)
def test_nodes_are_sealed_as_the_file_says(site: Site, word: str, placed: str, sealed: str) -> None:
    (site.directory / "10-legacy.ini").write_text(
        "[web]\nweb1 ansible_host=10.87.7.1\nweb2 ansible_host=10.87.7.2 ansible_connection=ssh\n"
        "[other]\nweb3 ansible_host=10.87.7.3 ansible_connection=local\n"
    )
    site.write(f"\nname: demo\nroles: {{server: 1, node: {{hosts: [web, other]}}}}\n{word}", file="20-demo.compose.yml")
    hostvars = site.list(site.directory).data["_meta"]["hostvars"]
    assert hostvars["server1"]["compose_sealed"] == sealed
    assert hostvars["server1"]["ansible_connection"] == "immutable.compose.sealed_ssh"
    assert {hostvars[name].get("compose_sealed", "off") for name in ("web1", "web2")} == {sealed}
    assert {hostvars[name].get("ansible_connection", "ssh") for name in ("web1", "web2")} == {placed}
    assert hostvars["web3"]["ansible_connection"] == "local"  # not ours to say


@pytest.mark.parametrize("word", ["on", "maybe", "[off]"])
def test_other_words_for_sealed_are_refused(site: Site, word: str) -> None:
    message = " ".join(site.list(site.write(f"\nsealed: {word}\n")).message.split())
    assert ": sealed is " in message and "expected" in message


def test_two_deployments_in_one_inventory(site: Site) -> None:
    one = site.write("\nroles: {node: [a], server: 0}\n", file="one.compose.yml")
    two = site.write("\nroles: {node: [b], server: 0}\nnetwork: 10.99.0.0/16\n", file="two.compose.yaml")
    data = site.list(one, two).data
    assert data["role_node"]["hosts"] == ["a", "b"]
    assert data["composition_nfs"]["children"] == ["deployment_one", "deployment_two"]
    assert data["_meta"]["hostvars"]["b"]["compose_address"] == "10.99.0.1"


def test_group_variables_of_a_role_win_over_those_of_the_deployment(site: Site) -> None:
    source = site.write()
    folder = site.directory / "group_vars"
    folder.mkdir()
    for group in ("immutable", "composition_nfs", "deployment_demo", "role_node"):
        (folder / f"{group}.yml").write_text(f"who: {group}\n")
    listed = site.run("ansible-inventory", "-i", source, "--list").data["_meta"]["hostvars"]
    assert (listed["node"]["who"], listed["server"]["who"]) == ("role_node", "deployment_demo")


def test_nothing_is_left_of_a_file_that_is_refused(site: Site) -> None:
    good = site.write("\nroles: {node: [a], server: 0}\n", file="good.compose.yml")
    bad = site.write("\nroles: {node: [b, b]}\n", file="bad.compose.yml")
    listed = site.list(bad, good, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="false")
    assert listed.returncode == 0
    assert list(json.loads(listed.stdout)["_meta"]["hostvars"]) == ["a"]
    assert "platform_qemu" in listed.stdout
    assert "bad" not in listed.stdout


def test_other_files_are_not_ours(site: Site) -> None:
    source = site.write(file="demo.yml")
    assert "could not be verified by inventory plugin" in site.list(source).message


SITES: dict[str, t.Any] = {
    "demo": {"node1": "node", "node2": "node", "server": "server"},
    "web": {"backend1": "backend", "backend2": "backend", "database": "database", "proxy": "proxy"},
    "mixed": {"mx1": None, "backend1": "backend", "backend2": "backend", "database": "database", "proxy": "proxy"},
}


@pytest.mark.parametrize("name", SITES)
def test_inventories_of_the_project_list(site: Site, name: str) -> None:
    hostvars = site.list(ROOT / "inventories" / name).data["_meta"]["hostvars"]
    assert {host: variables.get("compose_role") for host, variables in hostvars.items()} == SITES[name]


def test_mixed_inventory_keeps_what_was_there(site: Site) -> None:
    data = site.list(ROOT / "inventories" / "mixed").data
    backend = data["_meta"]["hostvars"]["backend2"]
    assert (backend["slot"], backend["ansible_host"], backend["compose_address"]) == (2, "10.89.7.2", "10.89.7.2")
    assert data["machines_mixed"]["hosts"] == ["database", "proxy"]
    assert data["deployment_mixed"]["hosts"] == ["backend1", "backend2"]
