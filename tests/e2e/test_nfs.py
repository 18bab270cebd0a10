# SPDX-License-Identifier: GPL-3.0-or-later
"""NFS, on virtual machines: nothing is lost when the server loses its power, and who writes goes on."""

from __future__ import annotations

import typing as t

import pytest
from lab import Lab


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    # The default ports are those of `make demo`, which may be running.
    return lab_of("nfs", "nfs", platform={"name": "qemu", "memory": 512, "ssh_port_base": 24300}, roles={"node": 2})


def test_a_server_that_loses_its_power_is_waited_for(lab: Lab) -> None:
    lab.play("deploy")
    lab.play("script", "-e", f"compose_script={lab.composition / 'failure.py'}")
