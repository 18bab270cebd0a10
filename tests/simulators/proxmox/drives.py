"""Drives of VMs: ``scsi0: local:100/vm-100-disk-0.qcow2,serial=…,size=64M``."""

from __future__ import annotations

import re
import typing as t

from .errors import FormatError, parameter_error
from .formats import PROPERTIES, VOLUME_ID, Properties, parse_size, split_list
from .schema import parse_properties, print_properties

#: Keys of a drive as text; ``size`` in bytes.
Drive = dict[str, t.Any]

#: ``STORAGE:SIZE`` makes a volume of so many GiB.
NEW_DISK = re.compile(r"(?:([^/:\s]+):)?(\d+(?:\.\d+)?)")
CLOUDINIT = re.compile(r"[:/](?:vm-\d+-)?cloudinit(?:\.(?:raw|qcow2?|qed|vmdk|cloop))?$")
NAME = re.compile(r"(ide|sata|scsi|virtio|efidisk|tpmstate|unused)(\d+)")
HIGHEST = {"ide": 3, "sata": 5, "scsi": 30, "virtio": 15, "efidisk": 0, "tpmstate": 0}
DROPPED = ("cyls", "heads", "secs", "trans")

#: Formats of drives, with what only allocation understands; filled from the schema at start.
FORMATS: dict[str, Properties] = {"unused": {"file": {"type": "string", "default_key": 1, "format": "pve-volume-id"}}}


def learn(options: Properties) -> None:
    """Takes the formats of drives from the parameters of the call that changes a VM."""
    for kind in HIGHEST:
        FORMATS[kind] = options[f"{kind}0"]["format"]
    PROPERTIES["pve-qm-ide"] = {key: wanted for key, wanted in FORMATS["ide"].items() if key != "import-from"}


def is_drive(key: str) -> bool:
    """The key names a drive (not an unused volume)."""
    match = NAME.fullmatch(key)
    return match is not None and int(match[2]) <= HIGHEST.get(match[1], -1)


def parse_drive(key: str, text: str, *, allocate: bool = False) -> Drive | None:
    """A drive, or ``None`` where the text is none.

    :param allocate: understands ``import-from``
    """
    match = NAME.fullmatch(key)
    if match is None:
        return None
    schema = FORMATS[match[1]]
    if not allocate:
        schema = {name: wanted for name, wanted in schema.items() if name != "import-from"}
    try:
        drive: Drive = dict(parse_properties(schema, text, skip=DROPPED))
    except FormatError:
        return None
    if not _consistent(drive, match[1]):
        return None
    if "size" in drive:
        drive["size"] = parse_size(drive["size"])
    return drive


def _consistent(drive: Drive, kind: str) -> bool:
    for name in ("bps", "bps_rd", "bps_wr"):
        if drive.pop(name, None) is not None:
            if f"m{name}" in drive:
                return False
            drive[f"m{name}"] = "0.000"  # the daemon forgets the number, too
    given = {name for name, value in drive.items() if value not in ("", "0")}
    for way in ("", "_rd", "_wr"):
        burst = f"mbps{way}_max"
        needs = {burst: f"mbps{way}", f"bps{way}_max_length": burst, f"iops{way}_max_length": f"iops{way}_max"}
        if any(name in given and needed not in given for name, needed in needs.items()):
            return False
    if any({f"{name}_{way}", name} <= given for name in ("mbps", "iops") for way in ("rd", "wr")):
        return False
    return not (is_cdrom(drive) and (drive.get("snapshot") or drive.get("format") or kind == "virtio"))


def print_drive(drive: Drive) -> str:
    """The text of a drive."""
    schema: Properties = {}
    for kind in HIGHEST:
        schema = {**FORMATS[kind], **schema}
    return print_properties(schema, drive)


def is_cloudinit(drive: Drive) -> bool:
    """The drive is made from cloud-init options."""
    return CLOUDINIT.search(drive["file"]) is not None


def is_cdrom(drive: Drive, *, but_cloudinit: bool = False) -> bool:
    """The drive is an optical one."""
    if but_cloudinit and is_cloudinit(drive):
        return False
    return drive.get("media") == "cdrom"


def storage_of(volume: str) -> tuple[str, str] | None:
    """Storage and name of a volume; ``None`` for a path."""
    match = VOLUME_ID.match(volume)
    return (match[1], match[2]) if match else None


def boot_order(value: t.Any) -> list[str]:
    """Devices of ``boot: order=…``."""
    if not value:
        return []
    return split_list(parse_properties(PROPERTIES["pve-qm-boot"], str(value)).get("order"))


def print_boot_order(devices: list[str]) -> str:
    """The value of ``boot``; empty without devices."""
    return f"order={';'.join(devices)}" if devices else ""


def check_drives(parameters: dict[str, t.Any], kind_of: t.Callable[[str], str]) -> None:
    """Refuses drives that cannot be; writes the others in Proxmox' order of keys.

    :param kind_of: answers the kind of content that a volume is
    """
    for key in sorted(key for key in parameters if is_drive(key)):
        drive = parse_drive(key, str(parameters[key]), allocate=True)
        if drive is None:
            raise parameter_error({key: "unable to parse drive options"})
        new = NEW_DISK.fullmatch(drive["file"])
        if "import-from" in drive:
            if new is None or float(new[2]) != 0:
                special = "use <storage ID>:0,import-from=<source>"
                raise parameter_error({key: f"'import-from' requires special syntax - {special}"})
            for required in {"efidisk0": ("efitype", "pre-enrolled-keys"), "tpmstate0": ("version",)}.get(key, ()):
                if required not in drive:
                    raise parameter_error({key: f"need to specify '{required}' when using 'import-from'"})
        if drive["file"].startswith("/") and not drive["file"].startswith("/dev/"):
            raise parameter_error({key: f"unable to associate path '{drive['file']}' to any storage"})
        if drive["file"] in ("cdrom", "none"):
            drive.setdefault("media", "cdrom")
        parts = storage_of(drive["file"])
        kind = kind_of(drive["file"]) if parts and not new and parts[1] != "cloudinit" else None
        if kind == "iso" and drive.get("media") != "cdrom":
            raise parameter_error({key: "explicit 'media=cdrom' is required for iso images"})
        parameters[key] = print_drive(drive)


def parse_net(text: str, mac: t.Callable[[], str], schema: Properties) -> dict[str, str]:
    """A network interface; one without an address gets a new one."""
    net = parse_properties(schema, text)
    net.setdefault("macaddr", mac())
    return net
