# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading an inventory that somebody else wrote."""

from __future__ import annotations

import json
import subprocess
import typing as t

from lab import Lab
from tiny import Tiny

SECRET = "a secret of this host"


def read(lab: Lab, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [lab.program("ansible-inventory"), "-i", str(lab.inventory), "--list"],
        env={**lab.environment(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nothing_of_the_host_is_read_unless_the_deployment_trusts_its_composition(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("reading", "web", platform="nspawn", roles={"backend": 1, "proxy": 0, "database": 0})
    outside = lab.directory / "outside"
    outside.write_text(SECRET)
    composition = lab.composition / "composition.nix"
    composition.write_text(f"""{{ ... }}: {{ roles.backend.files."/etc/found".text = builtins.readFile {outside}; }}""")
    lab.write(roles={"backend": 1})
    refused = read(lab)
    assert refused.returncode == 1
    assert "forbidden in restricted mode" in refused.stderr and SECRET not in refused.stderr
    assert "'trust: true' in the deployment file lets it read, fetch and run whatever its user may" in refused.stderr
    lab.write(trust=True)
    trusted = read(lab)
    assert trusted.returncode == 0, trusted.stderr
    assert json.loads(trusted.stdout)["_meta"]["hostvars"]["backend1"]["compose_trust"] is True
    lab.write(trust="yes please")
    assert "trust is 'yes please', expected true or false" in read(lab).stderr
    # Variables of the environment are empty for it.
    composition.write_text("""{ ... }: { roles.${"r" + builtins.getEnv "TOKEN"}.files."/etc/found".text = ""; }""")
    lab.write(trust=False, roles={})
    assert json.loads(read(lab, TOKEN="x").stdout)["role_r"]["hosts"] == ["r"]


def test_that_a_deployment_has_no_nodes_is_told_by_each_playbook(tiny_of: t.Callable[..., Tiny]) -> None:
    lab = tiny_of(1, 0)
    told = "compose | deployment 'two' has no nodes: nothing is done for it or its composition"
    for playbook in ("plan", "evaluate"):
        assert len(lab.play(playbook).said(told)) == 1
    lab.write_two(roles={"app": ["other"]})
    assert not lab.play("plan").said(told)
    lab.write_two(roles={"app": 0})
    lab.write(roles={"app": 0})
    assert lab.play("lock", expect=None).said("no role has a node")
    lab.write(roles={"app": 1})  # those who destroy it need one
