"""Pending changes become real: at once when a VM is stopped, by hotplug where that is possible when it runs."""

from __future__ import annotations

import re
import typing as t

from .calls import Call
from .drives import Drive, is_cdrom, is_cloudinit, is_drive, parse_drive
from .errors import ApiError
from .formats import hotplug_features
from .tasks import say
from .vm_disks import detach, register_unused
from .vm_rights import CLOUDINIT
from .vm_status import agent_options, boot_disks
from .vmconfig import VmConfig

if t.TYPE_CHECKING:
    from .cluster import Cluster

#: Options that do not touch a running VM.
FAST = {
    "description",
    "hookscript",
    "lock",
    "migrate_downtime",
    "migrate_speed",
    "name",
    "onboot",
    "protection",
    "shares",
    "startup",
    "tags",
    "vmstatestorage",
}
#: Options of a disk that only a new start changes.
COLD = ("aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro")


def _is_fast(key: str) -> bool:
    return key in FAST or key in CLOUDINIT or re.fullmatch(r"ipconfig\d+", key) is not None


class Skip(Exception):
    """A change waits for the next start."""


def apply_pending(cluster: Cluster, call: Call, vmid: int, config: VmConfig) -> dict[str, str]:
    """Applies all pending changes of a stopped VM and writes it; answers what went wrong."""
    errors: dict[str, str] = {}
    if not config.pending:
        return errors
    for key, force in sorted(config.pending_delete().items()):
        try:
            if config.values.get(key) is not None and is_drive(key):
                detach(cluster, call, vmid, config, key, force=force)
        except ApiError as error:
            errors[key] = f"unable to apply pending change {key} : {error}"
            say(errors[key])
        else:
            config.drop_pending_delete(key)
            config.values.pop(key, None)
    config.clean_pending()
    for key in [key for key in config.pending if key != "delete"]:
        try:
            if config.values.get(key) is not None and is_drive(key):
                register_unused(cluster, call.node, vmid, config, parse_drive(key, str(config.values[key])))
        except ApiError as error:
            errors[key] = f"unable to apply pending change {key} : {error}"
            say(errors[key])
        else:
            config.values[key] = config.pending.pop(key)
    cluster.files.write(call.node, vmid, config)
    return errors


def hotplug_pending(
    cluster: Cluster, call: Call, vmid: int, config: VmConfig, selected: t.Collection[str]
) -> dict[str, str]:
    """Applies what a running VM takes and writes it; answers what went wrong."""
    errors: dict[str, str] = {}
    for key in [key for key in config.pending if _is_fast(key)]:
        config.values[key] = config.pending.pop(key)
    features = hotplug_features(str(config.values.get("hotplug", "1")))
    for key, force in sorted(config.pending_delete().items()):
        if key not in selected:
            continue
        try:
            _unplug(cluster, call, vmid, config, key, force, features)
        except Skip:
            continue
        except ApiError as error:
            errors[key] = f"hotplug problem - {error}"
        else:
            config.values.pop(key, None)
            config.drop_pending_delete(key)
    for key in [key for key in config.pending if key in selected and key != "delete"]:
        try:
            _plug(cluster, call, vmid, config, key, features)
        except Skip:
            continue
        except ApiError as error:
            errors[key] = f"hotplug problem - {error}"
        else:
            config.values[key] = config.pending.pop(key)
    cluster.files.write(call.node, vmid, config)
    return errors


def _unplug(
    cluster: Cluster, call: Call, vmid: int, config: VmConfig, key: str, force: bool, features: set[str]
) -> None:
    if _is_fast(key) or key in ("cpuunits", "cpulimit"):
        return
    if key == "hotplug" and not re.search("cpu|memory", str(config.values.get("hotplug"))):
        return
    if key == "tablet" and "usb" in features:
        return
    if (key == "vcpus" and "cpu" in features) or (key == "memory" and "memory" in features):
        return
    if key == "balloon" and str(config.values.get("balloon")) != "0":
        return
    if re.fullmatch(r"net\d+", key) and "network" in features:
        return
    if not is_drive(key) or "disk" not in features or re.match("efidisk|ide|sata|tpmstate", key):
        raise Skip
    _check_unplug(config, key)
    detach(cluster, call, vmid, config, key, force=force)


def _check_unplug(config: VmConfig, key: str) -> None:
    if key in boot_disks(config.values):
        raise ApiError(f"can't unplug bootdisk '{key}'")


def _plug(cluster: Cluster, call: Call, vmid: int, config: VmConfig, key: str, features: set[str]) -> None:
    old, new = config.values.get(key), config.pending[key]
    if key in ("cpuunits", "cpulimit"):
        return
    if key == "hotplug" and not re.search("cpu|memory", f"{old} {new}"):
        return
    if key == "tablet" and "usb" in features:
        return
    if (key == "vcpus" and "cpu" in features) or (key == "memory" and "memory" in features):
        return
    if key == "balloon" and (old is None or bool(int(old))) == bool(int(new)):
        return
    if key == "agent" and old and _same_agent(str(old), str(new)):
        return
    if re.fullmatch(r"net\d+", key):
        _plug_net(str(old or ""), str(new), features)
        return
    drive = parse_drive(key, str(new)) if is_drive(key) and key not in ("efidisk0", "tpmstate0") else None
    if drive is None:
        raise Skip
    _plug_drive(cluster, call, vmid, config, key, drive, features)


def _same_agent(old: str, new: str) -> bool:
    """Only whether disks are trimmed after a move differs."""
    before, after = (agent_options({"agent": text}) for text in (old, new))
    return all(before.get(key) == after.get(key) for key in {*before, *after} - {"fstrim_cloned_disks"})


def _plug_net(old: str, new: str, features: set[str]) -> None:
    """Bridge, tag, link and rate of an interface change without hotplug; model and address do not."""
    same_device = old.partition(",")[0] == new.partition(",")[0]
    if "network" not in features and not (old and same_device):
        raise Skip


def _plug_drive(
    cluster: Cluster, call: Call, vmid: int, config: VmConfig, key: str, drive: Drive, features: set[str]
) -> None:
    old = parse_drive(key, str(config.values[key])) if config.values.get(key) else None
    if old is not None:
        if drive.get("media", "disk") != old.get("media", "disk"):
            raise ApiError("unable to change media type")
        if is_cdrom(old):
            if drive["file"] == "none" and is_cloudinit(old):
                register_unused(cluster, call.node, vmid, config, old)
            return
        if drive["file"] == old["file"]:
            if any(drive.get(one) != old.get(one) for one in COLD):
                raise Skip
            return
        if "disk" not in features:
            raise Skip
        if not re.match("ide|sata", key):
            _check_unplug(config, key)
        elif key in boot_disks(config.values):
            raise ApiError(f"can't unplug bootdisk '{key}'")
        else:
            raise ApiError(f"can't unplug device '{key}'")
        register_unused(cluster, call.node, vmid, config, old)
    if "disk" not in features or re.match("ide|sata", key):
        raise Skip
    cluster.volumes.activate(call.node, drive["file"])
