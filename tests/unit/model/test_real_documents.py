# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole run leaves in the state directory, and hands to modules, fits docs/schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from schemas import check_state, complaints

from ansible_collections.immutable.compose.plugins.module_utils.deploy.parcel import described
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.files import write_json
from ansible_collections.immutable.compose.plugins.module_utils.model import codec

from ..deploy import conftest as deploying
from ..deploy.conftest import Site
from ..platforms import conftest as platforms
from ..platforms.conftest import Lab

rack, lab = deploying.rack, platforms.lab


def test_a_run(rack: Site, tmp_path: Path) -> None:
    rack.set(composition=str(tmp_path))
    rack.test_script = "start_all()"
    rack.deploy()
    rack.set(parameters={"size": 3})
    rack.means["web"] = "v2"
    rack.deploy()
    rack.engine().write_evaluated(pretend=False)
    assert check_state(rack.deployment.state) >= {"addresses", "current", "image", "release", "report"}
    assert complaints(json.loads((tmp_path / "composition.json").read_text()), "composition") == []
    assert complaints(codec.encode(rack.deployment), "deployment") == []
    assert complaints(json.loads(described(rack.deployment)), "deployment") == []
    for machine in rack.machines.values():
        assert complaints(codec.encode(machine.target.document), "node") == []


def test_machines(lab: Lab) -> None:
    platform = lab.platform()
    lab.switch(platform, "image-1")
    platform.commit(platform.deployment.nodes, 1)
    records = [*Path(lab.state).glob("nodes/*/current.json"), *Path(lab.state).glob("nodes/*/verified.json")]
    assert len(records) == 2 * len(platform.deployment.nodes)
    for path in records:
        assert complaints(json.loads(path.read_text()), "machine") == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "found no JSON (it is empty)"),
        ("[1]", "releases/1.json: release is a list, expected an object"),
        ('{"schema": "immutable.compose/release/4"}', "a newer version of immutable.compose wrote it; install"),
        ('{"schema": "immutable.compose/release/1"}', "releases/1.json: release.number is missing, expected a number"),
    ],
)
def test_damaged_releases_are_named(rack: Site, content: str, why: str) -> None:
    rack.deploy()
    Path(rack.deployment.state, "releases/1.json").write_text(content)
    with pytest.raises(InputError) as caught:
        rack.deploy()
    assert why in str(caught.value)


def test_a_damaged_image_is_named(rack: Site) -> None:
    rack.deploy()
    path = Path(rack.deployment.state, "roots/v1/image.json")
    write_json(
        str(path), {**json.loads(path.read_text()), "formats": {"root": {"file": "root", "size": "big", "sha256": ""}}}
    )
    with pytest.raises(InputError, match=f'^{path}: image.formats.root.size is "big", expected a number$'):
        rack.deploy()
