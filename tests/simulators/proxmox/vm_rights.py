"""Which privilege an option of a VM needs."""

from __future__ import annotations

import re
import typing as t

from .calls import Call
from .datacenter import tags_of_all
from .drives import NEW_DISK, is_cdrom, is_cloudinit, is_drive, parse_drive, storage_of
from .errors import ApiError, parameter_error
from .formats import split_list
from .schema import parse_properties, properties_of

if t.TYPE_CHECKING:
    from .cluster import Cluster

OPTIONS = {
    "VM.Config.CPU": "cores cpu runningcpu cpulimit cpuunits numa smp sockets vcpus",
    "VM.Config.Memory": "memory balloon shares allow-ksm",
    "VM.Config.HWType": "acpi hotplug kvm machine runningmachine scsihw smbios1 tablet vga watchdog audio0 rng0",
    "VM.Config.Options": "agent autostart bios description keyboard localtime migrate_downtime migrate_speed name"
    " onboot ostype protection reboot startdate startup tdf template",
    "VM.PowerMgmt": "freeze",
    "VM.Config.Disk": "boot bootdisk vmstatestorage",
}
PRIVILEGE = {option: privilege for privilege, options in OPTIONS.items() for option in options.split()}
CLOUDINIT = ["cicustom", "cipassword", "citype", "ciuser", "ciupgrade", "nameserver", "searchdomain", "sshkeys"]


def check_options(cluster: Cluster, call: Call, vmid: int, keys: t.Iterable[str], pool: str | None = None) -> None:
    """Dies when the user may not change an option; drives and tags are checked by their values, elsewhere."""
    if call.user == "root@pam":
        return
    for key in keys:
        if is_drive(key) or key in ("cdrom", "tags") or re.fullmatch(r"(unused|serial|usb|hostpci|virtiofs)\d+", key):
            continue
        privilege = PRIVILEGE.get(key)
        if re.fullmatch(r"numa\d+", key):
            privilege = "VM.Config.CPU"
        elif re.fullmatch(r"net\d+", key):
            privilege = "VM.Config.Network"
        if privilege:
            cluster.access.check_vm(call.user, vmid, [privilege], pool=pool)
            if key == "startup":
                cluster.access.check(call.user, "/", ["Sys.Modify"])
        elif key in CLOUDINIT or re.fullmatch(r"ipconfig\d+", key):
            either = ["VM.Config.Cloudinit", "VM.Config.Network"]
            cluster.access.check_vm(call.user, vmid, either, pool=pool, any_of=True)
        elif key == "vmstate":
            cluster.access.check_vm(call.user, vmid, ["VM.Config.Disk", "VM.PowerMgmt"], pool=pool)
        else:
            raise ApiError(f"only root can set '{key}' config")


def check_device(
    cluster: Cluster,
    call: Call,
    vmid: int,
    key: str,
    value: str | None,
    pool: str | None = None,
    *,
    verb: str = "set",
) -> None:
    """Dies when the user may not give a device of the node to a VM.

    :param verb: what is done to a serial port, as messages tell it
    """
    if call.user == "root@pam" or value is None:
        return
    access, kind = cluster.access, key.rstrip("0123456789")
    if kind == "serial" and value != "socket":
        raise ApiError(f"only root can {verb} '{key}' config for real devices")
    if kind in ("serial", "usb", "rng"):
        access.check_vm(call.user, vmid, ["VM.Config.HWType"], pool=pool)
    if kind in ("usb", "hostpci"):
        _check_mapping(cluster, call, kind, key, value)
    if kind == "hostpci":
        access.check_vm(call.user, vmid, ["VM.Config.HWType"], pool=pool)
        if "romfile=" in value:
            raise parameter_error({key: "only root@pam can set 'romfile' option"})
    if kind == "rng" and "/dev/hwrng" in value:
        access.check(call.user, "/mapping/hwrng", ["Mapping.Use"])
    if kind == "virtiofs":
        access.check_vm(call.user, vmid, ["VM.Config.Disk"], pool=pool)
        directory = parse_properties(properties_of(cluster.files.options[key]), value).get("dirid")
        access.check(call.user, f"/mapping/dir/{directory}", ["Mapping.Use"])


def _check_mapping(cluster: Cluster, call: Call, kind: str, key: str, value: str) -> None:
    """A device of the node is root's; one that is mapped may be used with a privilege."""
    device = parse_properties(properties_of(cluster.files.options[key]), value)
    host, mapped = device.get("host"), device.get("mapping")
    if host and not (kind == "usb" and host.lower() == "spice"):
        devices = "real" if kind == "usb" else "non-mapped"
        raise ApiError(f"only root can set '{key}' config for {devices} devices")
    if not host and not mapped:
        raise ApiError("either 'host' or 'mapping' must be set.")
    if mapped:
        path = f"/mapping/{'usb' if kind == 'usb' else 'pci'}/{mapped}"
        cluster.access.check(call.user, path, ["Mapping.Use"])


def check_drive(cluster: Cluster, call: Call, vmid: int, key: str, value: str) -> None:
    """Dies when the user may not change a drive."""
    drive = parse_drive(key, value, allocate=True) or {"file": ""}
    if is_cloudinit(drive):
        cluster.access.check_vm(call.user, vmid, ["VM.Config.Cloudinit", "VM.Config.CDROM"])
    elif is_cdrom(drive, but_cloudinit=True):
        cluster.access.check_vm(call.user, vmid, ["VM.Config.CDROM"])
    else:
        cluster.access.check_vm(call.user, vmid, ["VM.Config.Disk"])


def check_tags(cluster: Cluster, call: Call, vmid: int, old: str | None, new: str | None) -> None:
    """Dies when the user may not change tags."""
    cluster.access.check_vm(call.user, vmid, ["VM.Config.Options"])
    cluster.datacenter.check_tags(cluster.access, call.user, old, new, tags_of_all(cluster))


def check_bridges(cluster: Cluster, call: Call, values: t.Mapping[str, t.Any]) -> None:
    """Dies when the user may not use a bridge."""
    if call.user == "root@pam":
        return
    schema = cluster.files.options["net0"]["format"]
    for key in sorted(key for key in values if re.fullmatch(r"net\d+", key) and values[key]):
        net = parse_properties(schema, str(values[key]))
        if not net.get("bridge"):
            continue
        path = f"/sdn/zones/localnetwork/{net['bridge']}"
        tags = [net["tag"]] if net.get("tag") else split_list(net.get("trunks", ""))
        if tags and not cluster.access.may(call.user, path, ["SDN.Use"]):
            for tag in tags:
                cluster.access.check(call.user, f"{path}/{tag}", ["SDN.Use"])
        elif not tags:
            cluster.access.check(call.user, path, ["SDN.Use"])


def check_storages(
    cluster: Cluster, call: Call, vmid: int, values: t.Mapping[str, t.Any], default: str | None = None
) -> None:
    """Dies when the user may not allocate, attach or copy a volume that the values name."""
    for key in sorted(key for key in values if is_drive(key)):
        drive = parse_drive(key, str(values[key]), allocate=True)
        if drive is None:
            continue
        _check_file(cluster, call, vmid, key, drive, default)
        if "import-from" in drive:
            _check_source(cluster, call, vmid, key, drive["import-from"])
    for key in sorted(key for key in values if re.fullmatch(r"unused\d+", key)):
        drive = parse_drive(key, str(values[key]))
        if drive is None:
            raise parameter_error({key: f"failed to parse value '{values[key]}'"})
        cluster.volumes.check_access(call.user, call.node, vmid, drive["file"], "images")
    if values.get("vmstatestorage"):
        cluster.access.check(call.user, f"/storage/{values['vmstatestorage']}", ["Datastore.AllocateSpace"])


def _check_file(
    cluster: Cluster, call: Call, vmid: int, key: str, drive: dict[str, t.Any], default: str | None
) -> None:
    file = drive["file"]
    new = NEW_DISK.fullmatch(file)
    parts = storage_of(file)
    if file in ("none", "cloudinit") or (parts and parts[1] == "cloudinit"):
        return
    if is_cdrom(drive) and file == "cdrom":
        cluster.access.check(call.user, "/", ["Sys.Console"])
    elif not is_cdrom(drive) and new:
        storage = new[1] or default
        if not storage:
            raise ApiError("no storage ID specified (and no default storage)")
        cluster.access.check(call.user, f"/storage/{storage}", ["Datastore.AllocateSpace"])
        if "images" not in cluster.volumes.storage(call.node, storage).content:
            raise parameter_error({"storage": f"storage '{storage}' does not support vm images"})
    else:
        cluster.volumes.check_access(call.user, call.node, vmid, file)
        if parts and cluster.volumes.parse(call.node, file).kind not in ("images", "iso"):
            raise parameter_error({key: "content type needs to be 'images' or 'iso'"})


def _check_source(cluster: Cluster, call: Call, vmid: int, key: str, source: str) -> None:
    if storage_of(source):
        volume = cluster.volumes.parse(call.node, source)
        if volume.kind not in ("images", "import"):
            told = f"{source} has wrong type '{volume.kind}' - needs to be 'images' or 'import'"
            raise parameter_error({key: told})
        if volume.kind == "images" and volume.vmid:
            cluster.access.check(call.user, f"/vms/{volume.vmid}", ["VM.Clone"])
            return
    cluster.volumes.check_access(call.user, call.node, vmid, source)
