# SPDX-License-Identifier: GPL-3.0-or-later
"""The role runs the user's hooks, each for its nodes as hosts, and tells the steps what became of them."""

from __future__ import annotations

import typing as t

import yaml

from .conftest import Site

NODES = [f"app{index}" for index in range(1, 4)]
#: Notes who ran; fails where there is a file that says so.
HOOK = """
- name: Note it
  ansible.builtin.lineinfile:
    path: {directory}/noted
    line: "{{{{ compose_hook }}}} {{{{ inventory_hostname }}}}"
    create: true
    mode: "0644"
  delegate_to: localhost
  throttle: 1
- name: Tell the proxy
  ansible.builtin.command: test ! -e {directory}/no-{{{{ compose_hook }}}}-{{{{ inventory_hostname }}}}
  delegate_to: localhost
"""


def hooks(site: Site, *names: str) -> dict[str, str]:
    """The key of a deployment file, and the files that it names."""
    for name in names:
        path = site.directory / "hooks" / f"{name}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HOOK.format(directory=site.directory))
    return {name: f"../hooks/{name}.yml" for name in names}


def noted(site: Site) -> list[str]:
    """Which hooks ran for whom since the last time that this was asked."""
    path = site.directory / "noted"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_hooks_run_as_their_nodes_wave_by_wave(site: Site) -> None:
    given = hooks(site, "drain", "undrain", "back", "end")
    site.write(roles={"app": 3, "postgres": 0}, hooks=given, at_most={"app": 2})
    site.play("deploy")
    assert sorted(noted(site)) == sorted(f"{hook} {name}" for hook in ("undrain", "end") for name in NODES)
    (site.directory / "web/composition.nix").write_text("two")
    assert site.play("plan").said("plan: hook drain: app1, app2, app3") and noted(site) == []
    told = site.play("deploy").result("artifacts")
    assert told["immutable_replaced"] == NODES and told["immutable_release"] == {"site": 2}  # once, however many turns
    ran = noted(site)
    assert [sorted(ran[:2]), sorted(ran[2:4]), ran[4:6], sorted(ran[6:])] == [
        ["drain app1", "drain app2"],
        ["undrain app1", "undrain app2"],
        ["drain app3", "undrain app3"],
        [f"end {name}" for name in NODES],
    ]


def test_a_hook_that_fails_is_a_failed_node_of_its_deployment_alone(site: Site) -> None:
    two: dict[str, t.Any] = {
        "plugin": "immutable.compose.composition",
        "composition": "../web",
        "builder": "sketch",
        "platform": "sketched",
        "state_dir": str(site.directory / "state"),
        "roles": {"app": ["other1", "other2"], "postgres": 0},
        "network": "10.88.0.0/16",
        "hooks": hooks(site, "drain"),
        "at_most": {"app": 1},
    }
    (site.directory / "inventory/two.compose.yml").write_text(yaml.safe_dump(two))
    site.write(roles={"app": 1, "postgres": 0}, hooks=hooks(site, "undrain", "end"))
    site.play("deploy")
    assert noted(site) == ["undrain app1", "end app1"]
    (site.directory / "web/composition.nix").write_text("two")
    for refused in ("drain-other1", "end-app1"):
        (site.directory / f"no-{refused}").touch()
    run = site.play("deploy", expect=2)
    assert sorted(noted(site)) == ["drain other1", "end app1", "undrain app1"]
    words = {result["msg"] for name, result in run.events if name.endswith("Report") and "msg" in result}
    file = site.directory / "hooks"
    assert any(word.startswith(f"switch: drain: {file}/drain.yml: Tell the proxy: ") for word in words), words
    assert any(word.startswith(f"end: {file}/end.yml: Tell the proxy: ") for word in words), words
    assert any("left as it was: other1 failed before its turn" in word for word in words)
    assert run.said("deployment site, release 2")
