"""Options in a deployment file that cannot be meant are refused with file, key and value."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.options import validate_options
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.options import OPTIONS
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("parallel", 0, "1 or more"),
        ("memory", 8, "16 or more"),
        ("cpus", 0, "1 or more"),
        ("vmid", 99, "100 or more"),
        ("port", 0, "1 or more"),
        ("task_timeout", 0, "1 or more"),
        ("lock_timeout", -1, "0 or more"),
        ("shutdown_timeout", -1, "0 or more"),
        ("networks", ["vmbr0"], "a list of interfaces as Proxmox writes them, for example bridge=vmbr0,tag=20"),
        ("networks", ["bridge=vmbr0", "tag=20"], "a list of interfaces as Proxmox writes them, for example bridge="),
        ("tags", ["good", "two words"], "letters, digits and _ + . - in each"),
        ("volume", "vm-{vmid}-sys-{image}", "STORAGE:VOLUME, for example ceph:vm-{vmid}-sys-{image}"),
        ("volume", "ceph:vm-{id}-sys", "no braces but {vmid}, {node}, {image}; write others twice: {{"),
        ("snapshot_command", "for v in {volumes}; do rbd snap create ${v}@x; done", "no braces but {vmid}, {node}, "),
        ("snapshot_command", "awk '{print $1}'", "no braces but {vmid}, {node}, {host}, {volumes}; write others twice"),
        ("snapshot_command", "echo {", "no braces but"),
        ("snapshot_command", "echo {vmid.real}", "no braces but"),
        ("snapshot_command", "echo {}", "no braces but"),
    ],
)
def test_refused(key: str, value: t.Any, expected: str) -> None:
    with pytest.raises(InputError) as error:
        validate_options(Proxmox, {key: value}, "lab.compose.yml: platform", "platform")
    assert str(error.value).startswith(f"lab.compose.yml: platform: {key} is {value!r}, expected {expected}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("networks", []),
        ("networks", ["bridge=vmbr0,tag=20,firewall=1", "mtu=1400,bridge=internal"]),
        ("tags", ["Web", "tier-1", "a.b+c_d"]),
        ("volume", "ceph:vm-{vmid}-sys-{image}"),
        ("snapshot_command", "ssh root@{host} 'for v in {volumes}; do rbd snap create ${{v}}@{vmid}; done' # {node}"),
        ("lock_timeout", 0),
    ],
)
def test_allowed(key: str, value: t.Any) -> None:
    assert validate_options(Proxmox, {key: value}, "lab.compose.yml", "platform") == {key: value}


def test_defaults_are_allowed() -> None:
    defaults = {key: option.default for key, option in OPTIONS.items() if option.default is not None}
    assert validate_options(Proxmox, defaults, "", "platform") == defaults
