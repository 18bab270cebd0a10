# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed at any step is finished by the next one."""

from __future__ import annotations

import typing as t

import pytest
from lab import NEW, Lab, changed

#: Step → what the run says when it is in the middle of it.
STEPS = {
    "build": "compose | build ",
    "stage": "TASK [immutable.compose.deploy : Stage]",
    "switch": "TASK [immutable.compose.deploy : Switch]",
    "switched": "compose | switch proxy: started",
    "verify": "TASK [immutable.compose.deploy : Verify]",
    "commit": "TASK [immutable.compose.deploy : Commit]",
}


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("killed", "web", platform="nspawn")
    lab.play("deploy")
    return lab


@pytest.mark.parametrize("step", STEPS)
def test_killed_in(lab: Lab, step: str) -> None:
    boots, images = lab.boots(), lab.images()
    lab.edit("server {", f"# {step} {NEW}\nserver {{", "nginx.conf")
    lab.kill_when(STEPS[step])
    lab.play("deploy")
    assert changed(boots, lab.boots()) == {"proxy"}
    assert changed(images, lab.images()) == {"proxy"}
    assert lab.play("deploy").changed == 0
