"""Named formats of the API schema.

The published schema names these formats without defining them; the rules are those of PVE::JSONSchema, qemu-server,
pve-storage, pve-access-control and pve-ha-manager 9.2. A format that is unknown here accepts everything.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .errors import FormatError
from .privileges import PRIVILEGES

Properties = dict[str, dict[str, t.Any]]

CONFIGID = r"[A-Za-z][A-Za-z0-9_-]+"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*"
REALM = r"[A-Za-z][A-Za-z0-9.\-_]+"
USER = r"[^\s:/]+"
UUID = r"[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}"
VOLUME_ID = re.compile(r"^([a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]):(.+)$")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
CONTENT = ("images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none")


def split_list(text: str | None) -> list[str]:
    """Items of a list separated by commas, semicolons, blanks or NUL."""
    return [item for item in re.split(r"[,;\0\s]+", text or "") if item]


def parse_size(text: str) -> int | None:
    """Bytes of ``10G``; ``None`` where this is no size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:([KMGT])(?:iB)?)?", text)
    return int(float(match[1]) * UNITS[match[2] or ""]) if match else None


def format_size(size: int) -> str:
    """The shortest exact text of a number of bytes, for example ``64M``."""
    for unit in ("", "K", "M", "G"):
        if size % 1024:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}T"


def _identifier(kind: str, text: str) -> str:
    if len(text) < 2:
        raise FormatError(f"{kind} ID '{text}' cannot be shorter than 2 characters")
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]", text):
        raise FormatError(f"{kind} ID '{text}' contains illegal characters")
    return text


def _is_address(text: str, version: int | None = None) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return version in (None, address.version)


def _is_cidr(text: str, version: int | None = None) -> bool:
    address, slash, mask = text.partition("/")
    if not slash or not mask.isdigit() or not _is_address(address, version):
        return False
    return 7 < int(mask) <= (32 if _is_address(address, 4) else 128)


NAME = r"([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)"


def _is_name(text: str) -> bool:
    return re.fullmatch(rf"({NAME}\.)*{NAME}", text) is not None


def _is_startup(text: str) -> bool:
    return text not in ("", "0") and all(
        re.fullmatch(r"\s*|(order=)?\d+|up=\d+|down=\d+", part) is not None for part in text.split(",")
    )


def _is_cpuset(text: str) -> bool:
    ranges = [re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part) for part in text.rstrip(",").split(",") if text.strip(",")]
    return all(found and int(found[1]) <= int(found[2] or found[1]) for found in ranges)


def _is_portal(text: str) -> bool:
    found = re.fullmatch(r"[a-zA-Z0-9\-.]+(:\d+)?|\[([a-zA-Z0-9\-.:]+)\](:\d+)?|([^.]+)(\.\d+)?", text)
    return found is not None and (found[4] is None or _is_address(found[4], 6))


def _is_override(text: str) -> bool:
    kind, _equals, path = text.partition("=")
    return kind in CONTENT and path != "" and ".." not in path and not path.endswith(".")


def _is_volume(text: str) -> bool:
    return VOLUME_ID.match(text) is not None


def _pair(kind: str) -> t.Callable[[str], object]:
    """An item of a map of storages or bridges: 1, a target, or source:target."""

    def check(text: str) -> None:
        pair = re.fullmatch("([^:]+):([^:]+)", text)
        try:
            for item in pair.groups() if pair else [text] if text != "1" else []:
                CHECKS[kind](item)
        except FormatError as error:
            raise FormatError(f"entry '{text}' contains invalid ID - {error}\n\n") from None

    return check


def _block_size(text: str) -> None:
    found = re.fullmatch("([1-9][0-9]*)([km]?)", text, re.IGNORECASE)
    if not text:
        return
    if not found:
        told = "Use a positive number (no leading zeros) with an optional 'k' or 'm' suffix."
        raise FormatError(f"invalid ZFS blocksize format '{text}'. {told}")
    size = int(found[1]) * UNITS[found[2].upper()]
    if not 512 <= size <= 16 * UNITS["M"] or size & (size - 1):
        told = "Must be a power of 2 between 512B and 16MiB (e.g., 4k, 8k, 16k, 64k, 1m)."
        raise FormatError(f"value '{text}' is not a valid ZFS blocksize. {told}")


def user_name(text: str) -> str:
    """``user@realm``, checked."""
    if len(text) < 3:
        raise FormatError(f"user name '{text}' is too short")
    if len(text) > 64:
        raise FormatError(f"user name '{text}' is too long ({len(text)} > 64)")
    if not re.fullmatch(rf"{USER}@{REALM}", text):
        raise FormatError(f"value '{text}' does not look like a valid user name")
    return text


def pool_name(text: str) -> str:
    """The name of a pool, checked; pools may be nested."""
    if len(text.rstrip("/").split("/")) > 3:
        raise FormatError(f"pool name '{text}' nested too deeply (max levels = 3)")
    if not re.fullmatch(r"[A-Za-z0-9.\-_]+(?:/[A-Za-z0-9.\-_]+){0,2}", text):
        raise FormatError(f"pool name '{text}' contains invalid characters")
    return text


def hotplug_features(text: str) -> set[str]:
    """What can be plugged into a running VM, from the value of ``hotplug``."""
    if text == "0":
        return set()
    if text == "1":
        return {"network", "disk", "usb"}
    features = set(split_list(text))
    for feature in sorted(features - {"network", "disk", "cpu", "memory", "usb", "cloudinit"}):
        raise FormatError(f"invalid hotplug feature '{feature}'")
    return features


def _pattern(pattern: str, message: str, flags: re.RegexFlag = re.NOFLAG) -> t.Callable[[str], object]:
    compiled = re.compile(pattern, flags)
    return _rule(lambda text: compiled.fullmatch(text) is not None, message)


def _rule(accepts: t.Callable[[str], bool], message: str) -> t.Callable[[str], object]:
    def check(text: str) -> str:
        if not accepts(text):
            raise FormatError(message.format(text))
        return text

    return check


LIKE = "value does not look like a valid "

CHECKS: dict[str, t.Callable[[str], object]] = {
    "string": lambda text: text,
    "urlencoded": _pattern(r"[-%a-zA-Z0-9_.!~*'()]*", "invalid urlencoded string: {}"),
    "pve-configid": _pattern(CONFIGID, "invalid configuration ID '{}'"),
    "pve-storage-id": lambda text: _identifier("storage", text),
    "acme-plugin-id": lambda text: _identifier("ACME plugin", text),
    "pve-bridge-id": _pattern(r"[-_.\w\d]+", "invalid bridge ID '{}'"),
    "pve-vmid": _pattern(r"[1-9][0-9]{2,8}", LIKE + "VM ID"),
    "pve-node": _pattern(NAME, LIKE + "node name"),
    "pve-ha-node": _pattern(rf"{NAME}(:\d+)?", LIKE + "ha node"),
    "mac-addr": _pattern(r"[a-f0-9][02468ace](?::[a-f0-9]{2}){5}", LIKE + "unicast MAC address", re.IGNORECASE),
    "mac-prefix": _pattern(
        r"[a-f0-9][02468ace](?::[a-f0-9]{2}){0,2}(?::[a-f0-9]?)?",
        "value is not a valid unicast MAC address prefix",
        re.IGNORECASE,
    ),
    "ipv4": _rule(lambda text: _is_address(text, 4), LIKE + "IPv4 address"),
    "ipv6": _rule(lambda text: _is_address(text, 6), LIKE + "IPv6 address"),
    "ip": _rule(_is_address, LIKE + "IP address"),
    "CIDRv4": _rule(lambda text: _is_cidr(text, 4), LIKE + "IPv4 CIDR network"),
    "CIDRv6": _rule(lambda text: _is_cidr(text, 6), LIKE + "IPv6 CIDR network"),
    "CIDR": _rule(_is_cidr, LIKE + "CIDR network"),
    "pve-ipv4-config": _rule(
        lambda text: text in ("dhcp", "manual") or _is_cidr(text, 4), LIKE + "ipv4 network configuration"
    ),
    "pve-ipv6-config": _rule(
        lambda text: text in ("auto", "dhcp", "manual") or _is_cidr(text, 6), LIKE + "ipv6 network configuration"
    ),
    "email": _pattern(r"[\w+\-~]+(\.[\w+\-~]+)*@[a-zA-Z0-9\-]+(\.[a-zA-Z0-9\-]+)*", LIKE + "email address"),
    "dns-name": _rule(_is_name, LIKE + "DNS name"),
    "address": _rule(lambda text: _is_address(text) or _is_name(text), LIKE + "address: {}"),
    "pve-iface": _pattern(r"[a-zA-Z][a-zA-Z0-9_]{1,20}([:.]\d+)?", "invalid network interface name '{}'"),
    "disk-size": _rule(lambda text: parse_size(text) is not None, LIKE + "disk size: {}"),
    "pve-startup-order": _rule(_is_startup, "unable to parse startup options"),
    "pve-tag": _pattern(TAG, "invalid characters in tag"),
    "pve-task-status-type": _pattern("ok|error|warning|unknown", "invalid status '{}'", re.IGNORECASE),
    "pve-volume-id": _rule(_is_volume, "unable to parse volume ID '{}'"),
    "pve-volume-id-or-absolute-path": _rule(
        lambda text: text.startswith("/") or _is_volume(text), "unable to parse volume ID '{}'"
    ),
    # An allocation may leave out the storage.
    "pve-volume-id-or-qm-path": _rule(
        lambda text: text in ("none", "cdrom") or text.startswith("/") or _is_volume(text),
        "unable to parse volume ID '{}'",
    ),
    "pve-storage-content": _rule(lambda text: text in CONTENT, "invalid content type '{}'"),
    "pve-storage-format": _rule(lambda text: text in ("raw", "qcow2", "vmdk", "subvol"), "invalid format '{}'"),
    "pve-storage-path": _pattern(r"/[^;()]+.*", LIKE + "absolute path"),
    "pve-storage-server": _rule(lambda text: _is_address(text) or _is_name(text), LIKE + "server name or IP address"),
    "pve-storage-vgname": _pattern(
        r"[a-zA-Z0-9][a-zA-Z0-9\-_.]*[a-zA-Z0-9]", "lvm name '{}' contains illegal characters"
    ),
    "pve-storage-options": _pattern(r"\S+", "invalid options '{}'"),
    "pve-storage-portal-dns": _rule(_is_portal, LIKE + "portal address"),
    "pve-dir-override": _rule(_is_override, "invalid override '{}'"),
    "pve-groupid": _pattern(r"[A-Za-z0-9.\-_]+", "group name '{}' contains invalid characters"),
    "pve-roleid": _pattern(r"[A-Za-z0-9.\-_]+", "role name '{}' contains invalid characters"),
    "pve-poolid": pool_name,
    "pve-priv": _rule(lambda text: text in PRIVILEGES, "invalid privilege '{}'"),
    "pve-realm": _pattern(REALM, LIKE + "realm"),
    "pve-userid": user_name,
    "pve-tokenid": _pattern(rf"{USER}@{REALM}!{REALM}", "value '{}' does not look like a valid token ID"),
    "pve-ha-resource-id": _pattern(r"[a-z]+:\S+", LIKE + "ha resource id"),
    "pve-ha-resource-or-vm-id": _pattern(r"\d+|[a-z]+:\S+", LIKE + "ha resource id"),
    "pve-hotplug-features": hotplug_features,
    "pve-qm-bootdev": _pattern(
        r"ide[0-3]|sata[0-5]|scsi([12]?\d|30)|virtio(\d|1[0-5])|net([12]?\d|3[01])|usb(\d|1[0-3])|hostpci(\d|1[0-5])",
        "invalid boot device '{}'",
    ),
    "pve-qm-bootdisk": _pattern(
        r"ide[0-3]|sata[0-5]|scsi([12]?\d|30)|virtio(\d|1[0-5])|efidisk0|tpmstate0", "invalid boot disk '{}'"
    ),
    "pve-cpuset": _rule(_is_cpuset, "unable to parse cpuset option"),
    "storage-pair": _pair("pve-storage-id"),
    "bridge-pair": _pair("pve-bridge-id"),
    "pve-storage-zfs-blocksize": _block_size,
    "pve-phys-bits": _pattern(r"host|[89]|[1-5]\d|6[0-4]", "value must be an integer between 8 and 64 or 'host'"),
}


def _text(**more: t.Any) -> dict[str, t.Any]:
    return {"type": "string", "optional": 1, **more}


_BOOL: dict[str, t.Any] = {"type": "boolean", "optional": 1}
_BASE64 = r"[A-Za-z0-9+/]+={0,2}"
_PCI = r"(?:[a-fA-F0-9]{4,}:)?[a-fA-F0-9]{2}:[a-fA-F0-9]{2}(?:\.[a-fA-F0-9])?"
_FLAG = r"[+-][a-zA-Z0-9\-_.]+"

PROPERTIES: dict[str, Properties] = {
    "pve-qm-boot": {
        "legacy": _text(default_key=1, pattern="[acdn]{1,4}"),
        "order": _text(format="pve-qm-bootdev-list"),
    },
    "pve-qm-smbios1": {
        "uuid": _text(pattern=UUID),
        **{key: _text(pattern=_BASE64) for key in ("version", "serial", "manufacturer", "product", "sku", "family")},
        "base64": _BOOL,
    },
    "pve-qm-cicustom": {key: _text(format="pve-volume-id") for key in ("meta", "network", "user", "vendor")},
    "pve-qm-ipconfig": {
        "ip": _text(format="pve-ipv4-config"),
        "gw": _text(format="ipv4", requires="ip"),
        "ip6": _text(format="pve-ipv6-config"),
        "gw6": _text(format="ipv6", requires="ip6"),
    },
    "pve-qm-watchdog": {
        "model": _text(default_key=1, enum=["i6300esb", "ib700"]),
        "action": _text(enum=["reset", "shutdown", "poweroff", "pause", "debug", "none"]),
    },
    "pve-qm-rng": {
        "source": {"type": "string", "default_key": 1, "enum": ["/dev/urandom", "/dev/random", "/dev/hwrng"]},
        "max_bytes": {"type": "integer", "optional": 1},
        "period": {"type": "integer", "optional": 1},
    },
    "pve-qm-hostpci": {
        "host": _text(default_key=1, pattern=f"{_PCI}(;{_PCI})*"),
        "mapping": _text(format="pve-configid"),
        "rombar": _BOOL,
        "romfile": _text(pattern="[^,;]+"),
        "pcie": _BOOL,
        "x-vga": _BOOL,
        "legacy-igd": _BOOL,
        "mdev": _text(pattern=r"[^/\.:]+"),
        **{key: _text(pattern="0x[0-9a-fA-F]{4}") for key in ("vendor-id", "device-id", "sub-vendor-id")},
        "sub-device-id": _text(pattern="0x[0-9a-fA-F]{4}"),
        "driver": _text(enum=["vfio", "keep"]),
    },
    "pve-node-location": {
        "name": _text(maxLength=128),
        "latitude": {"type": "number", "minimum": -90, "maximum": 90},
        "longitude": {"type": "number", "minimum": -180, "maximum": 180},
    },
    "pve-qemu-sev-fmt": {
        "type": {"type": "string", "default_key": 1, "enum": ["std", "es", "snp"], "maxLength": 3},
        **dict.fromkeys(("no-debug", "no-key-sharing", "allow-smt", "kernel-hashes"), _BOOL),
    },
    "pve-qemu-tdx-fmt": {
        "type": {"type": "string", "default_key": 1, "enum": ["tdx"]},
        "attestation": {"type": "boolean"},
        "vsock-cid": {"type": "integer", "minimum": 2, "optional": 1},
        "vsock-port": {"type": "integer", "minimum": 0, "optional": 1},
    },
    "pve-vm-cpu-conf": {
        "cputype": _text(default_key=1),
        "reported-model": _text(),
        "hidden": _BOOL,
        "hv-vendor-id": _text(pattern="[a-zA-Z0-9]{1,12}"),
        "flags": _text(pattern=f"{_FLAG}(;{_FLAG})*"),
        "guest-phys-bits": {"type": "integer", "minimum": 32, "maximum": 64, "optional": 1},
        "phys-bits": _text(format="pve-phys-bits"),
        "level": {"type": "integer", "minimum": 0, "maximum": 4294967295, "optional": 1},
    },
    "prune-backups": {
        "keep-all": _BOOL,
        **{
            f"keep-{period}": {"type": "integer", "minimum": 0, "optional": 1}
            for period in ("last", "hourly", "daily", "weekly", "monthly", "yearly")
        },
    },
}
