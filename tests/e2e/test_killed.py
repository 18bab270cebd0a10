# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed at any step is finished by the next one."""

from __future__ import annotations

import shutil
import typing as t

import pytest
from lab import NEW, ROOT, Lab, changed

#: Step → which image is deployed, and what the run says when it is in the middle of the step.
#: The first two images are new, the others are those that ran before.
STEPS = {
    "build": ("one", "compose | build "),
    "stage": ("two", "TASK [immutable.compose.deploy : Stage]"),
    "switch": ("one", "TASK [immutable.compose.deploy : Switch]"),
    "switched": ("two", "compose | switch proxy: started"),
    "verify": ("one", "TASK [immutable.compose.deploy : Verify]"),
    "commit": ("two", "TASK [immutable.compose.deploy : Settle]"),
}


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("killed", "web", platform="nspawn")
    lab.drop_kernels()
    lab.play("deploy")
    return lab


@pytest.mark.parametrize(("image", "says"), STEPS.values(), ids=STEPS)
def test_killed_in(lab: Lab, image: str, says: str) -> None:
    boots, images = lab.boots(), lab.images()
    shutil.copy(ROOT / "compositions/web/nginx.conf", lab.composition)
    lab.edit("server {", f"# {image} {NEW}\nserver {{", "nginx.conf")
    lab.kill_when(says)
    lab.play("deploy")
    assert changed(boots, lab.boots()) == {"proxy"}
    assert changed(images, lab.images()) == {"proxy"}


def test_a_module_that_is_killed_takes_its_change_back(lab: Lab) -> None:
    boots, images, release = lab.boots(), lab.images(), lab.release()
    shutil.copy(ROOT / "compositions/web/nginx.conf", lab.composition)
    lab.edit("server {", f"# three {NEW}\nserver {{", "nginx.conf")
    run = lab.kill_module("deployment_verify")
    assert run.returncode == 2
    assert run.said("deployment_verify: the module has crashed (exit code -9): it printed nothing")
    assert (lab.images(), lab.release()) == (images, release)
    assert changed(boots, lab.boots()) == {"proxy"}
    lab.play("deploy")
    assert changed(images, lab.images()) == {"proxy"}
    assert lab.release() > release


def test_nothing_is_left_to_do(lab: Lab) -> None:
    boots = lab.boots()
    assert lab.play("deploy").changed == 0
    assert lab.boots() == boots
