# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment file with many mistakes is refused once, with all of them, and nothing is touched."""

from __future__ import annotations

import typing as t

import yaml
from lab import Lab

COUNT = 40


def test_all_that_is_wrong_is_told_in_one_refusal(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of(
        "problems",
        "web",
        platform="qemu",
        roles={
            "backend": {"count": COUNT, "options": {"memory": 0, "ssh_port_base": 27900}},
            "proxy": {"names": ["front"], "options": {"ssh_port": 70000}},
            "database": {"names": ["db"], "options": {"ssh_port": 27999, "cpus": 0}},
        },
    )
    lab.drop_test_script()
    run = lab.play("deploy", expect=2)
    names = ", ".join(f"backend{number}" for number in range(1, COUNT + 1))
    for words in (
        "plan: 3 problems. Nothing was touched",
        f"- {names}: memory is 0, expected 1 or more",
        "- db: cpus is 0, expected 1 or more",
        "- front: port 70000 is not a port number, expected 1 to 65535",
        "  What to do: give the platform another ssh_port_base in the deployment file, or the node another ssh_port",
    ):
        assert run.said(words), run.output
    assert not lab.state.exists()
    # What another deployment is going to take in the same run is not free, either.
    lab.write(roles={"backend": 2, "proxy": 0, "database": 0}, platform={"name": "qemu", "ssh_port_base": 27900})
    other = {
        **lab.deployment,
        "name": "other",
        "roles": {**lab.deployment["roles"], "backend": {"names": ["one", "two"]}},
    }
    (lab.inventory / "other.compose.yml").write_text(yaml.safe_dump(other))
    run = lab.play("plan", expect=2)
    assert run.said("port 27901 is that of node ") and run.said("which this run starts, too")
    failed = {host for host, counts in run.recap.items() if counts["failed"]}
    assert failed in ({"one", "two"}, {"backend1", "backend2"})
    (lab.inventory / "other.compose.yml").unlink()
    lab.write(roles={"backend": 0, "proxy": 0, "database": {"names": ["db"], "options": {"cpus": 0}}})
    assert lab.play("plan", expect=2).said("plan, db: cpus is 0, expected 1 or more")
