"""Changes of a VM's configuration: at once (PUT) or in a task (POST)."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
import typing as t
import uuid
from urllib.parse import unquote

from .calls import Call, answers
from .drives import boot_order, check_drives, is_cdrom, is_drive, parse_drive, parse_net, print_boot_order
from .errors import ApiError, parameter_error
from .formats import split_list
from .images import qemu_version
from .schema import parse_properties, print_properties
from .tasks import say
from .vm_disks import create_disks, deallocate, register_unused
from .vm_pending import apply_pending, hotplug_pending
from .vm_rights import check_bridges, check_device, check_drive, check_options, check_storages, check_tags
from .vm_status import memory_of
from .vmconfig import Values, VmConfig

if t.TYPE_CHECKING:
    from .cluster import Cluster

#: Parameters that are no options; the second part is told in the log.
SILENT = ("node", "vmid", "digest", "background_delay", "skip_cloud_init", "import-working-storage")
CONTROL = (*SILENT, "skiplock", "delete", "revert", "force")
DEVICE = re.compile(r"(serial|usb|hostpci|rng|virtiofs)\d+")


def random_mac() -> str:
    """An address of the default prefix."""
    return "BC:24:11:" + ":".join(f"{secrets.randbelow(256):02X}" for dummy in range(3))


def complete(cluster: Cluster, call: Call, values: Values) -> None:
    """Puts drives and interfaces into the form in which they are written."""
    check_drives(values, lambda volume: cluster.volumes.parse(call.node, volume).kind)
    schema = cluster.files.options["net0"]["format"]
    for key in [key for key in values if re.fullmatch(r"net\d+", key) and values[key]]:
        values[key] = print_properties(schema, parse_net(str(values[key]), random_mac, schema))


def check_keys(text: str | None) -> None:
    """Dies when a line is no public SSH key."""
    for line in unquote(text or "").splitlines():
        if not line.strip():
            continue
        match = re.search(r"(?:^|\s)(ssh-[\w-]+|ecdsa-[\w-]+|sk-[\w@.-]+) (AAAA[A-Za-z0-9+/]+=*)(?:\s|$)", line)
        if match is None or match[1].encode() not in base64.b64decode(match[2] + "===")[:64]:
            raise ApiError("SSH public key validation error")


def resolve_cdrom(values: Values) -> None:
    """``cdrom`` is another name of ``ide2``."""
    if values.get("cdrom"):
        text = str(values.pop("cdrom"))
        values["ide2"] = text if "media=" in text else f"{text},media=cdrom"


class Update:
    """One change of a configuration."""

    def __init__(self, cluster: Cluster, call: Call, vmid: int, parameters: Values) -> None:
        self.cluster, self.call, self.vmid = cluster, call, vmid
        self.digest = parameters.get("digest")
        self.values = {key: value for key, value in parameters.items() if key not in CONTROL}
        shown = {key: value for key, value in parameters.items() if key not in SILENT}
        self.told = " ".join(f"-{key} {'<hidden>' if key == 'cipassword' else shown[key]}" for key in sorted(shown))
        if parameters.get("skiplock") not in (None, "0") and call.user != "root@pam":
            raise parameter_error({"skiplock": "Only root may use this option."})
        self.skiplock = parameters.get("skiplock") not in (None, "0")
        self.force = str(parameters.get("force") or "0") == "1"
        check_keys(self.values.get("sshkeys"))
        self._take_keys(parameters)
        resolve_cdrom(self.values)
        complete(cluster, call, self.values)
        self._check_script()
        if self.values.get("vmgenid") == "1":
            self.values["vmgenid"] = new_uuid()
        check_options(cluster, call, vmid, self.delete)
        check_options(cluster, call, vmid, self.values)
        check_storages(cluster, call, vmid, self.values)
        check_bridges(cluster, call, self.values)

    def _check_script(self) -> None:
        script = self.values.get("hookscript")
        if script is None:
            return
        try:
            volume = self.cluster.volumes.parse(self.call.node, script)
            if volume.kind != "snippets":
                raise ApiError(f"'{script}' is not in the snippets directory")
            place, name = self.cluster.volumes.find(self.call.node, script)
            if not place.exists(name):
                raise ApiError(f"script '{script}' does not exist")
        except ApiError as error:
            raise parameter_error({"hookscript": error.message}) from None

    def _take_keys(self, parameters: Values) -> None:
        delete, revert = parameters.get("delete"), parameters.get("revert")
        if not delete and not revert and not self.values:
            raise ApiError("no options specified")
        known = self.cluster.files.options
        self.revert, self.delete = split_list(revert), []
        for key in self.revert:
            if key not in known:
                raise parameter_error({"revert": f"unknown option '{key}'"})
            if self.values.get(key) is not None:
                raise parameter_error({"delete": f"you can't use '-{key}' and -revert {key}' at the same time"})
        for key in split_list(delete):
            key = "ide2" if key == "cdrom" else key
            if self.values.get(key) is not None:
                raise parameter_error({"delete": f"you can't use '-{key}' and -delete {key}' at the same time"})
            if key in self.revert:
                told = f"you can't use '-delete {key}' and -revert {key}' at the same time"
                raise parameter_error({"revert": told})
            if key not in known:
                raise parameter_error({"delete": f"unknown option '{key}'"})
            self.delete.append(key)

    def load(self, *, final: bool) -> VmConfig:
        """The configuration, checked; with ``final`` reverted options are taken from it."""
        config = self.cluster.files.load(self.call.node, self.vmid)
        if self.digest and self.digest != config.digest:
            raise ApiError("checksum mismatch (file change by other user?)")
        if not self.skiplock and not ("vmstate" in self.delete and config.values.get("lock") == "suspended"):
            config.check_lock()
        if "vmstate" in self.delete and final:
            internal = ("runningmachine", "runningcpu")
            locked = ("lock",) if config.values.get("lock") == "suspended" else ()
            self.delete += [*locked, *(key for key in internal if key in config.values)]
        for key in self.revert:
            if config.values.get(key) is not None:
                self.values[key] = config.values[key]
            elif config.pending.get(key) is not None and final:
                self.delete.append(key)
        if self.values.get("memory") or self.values.get("balloon") is not None:
            self._check_balloon(config)
        return config

    def _check_balloon(self, config: VmConfig) -> None:
        both = {**config.values, **config.pending, **self.values}
        if int(both.get("balloon") or 0) > memory_of(both):
            raise ApiError("balloon value too large (must be smaller than assigned memory)")

    def run(self) -> None:
        """Makes the change, under the lock of the configuration."""
        with self.cluster.locks.config(self.vmid):
            self._run()

    def _run(self) -> None:
        config = self.load(final=True)
        say(f"update VM {self.vmid}: {self.told}")
        modified: set[str] = set()
        order = boot_order(config.values.get("boot"))
        for key in self.delete:
            if self._delete(config, key, order):
                modified |= {key, "boot"} if "boot" in config.pending else {key}
        for key in list(self.values):
            modified.add(key)
            if config.pending.get(key) is not None and str(self.values[key]) == str(config.pending[key]):
                continue
            self._set(config, key, order)
            modified |= {"boot"} if "boot" in config.pending else set()
            config.drop_pending_delete(key)
            self._write(config)
        if config.clean_pending():
            self._write(config)
        if not config.pending:
            return
        if self.cluster.guests.running(self.vmid):
            errors = hotplug_pending(self.cluster, self.call, self.vmid, config, modified)
        else:
            errors = apply_pending(self.cluster, self.call, self.vmid, config)
        if errors:
            raise parameter_error(errors)

    def _write(self, config: VmConfig) -> None:
        self.cluster.files.write(self.call.node, self.vmid, config)

    def _delete(self, config: VmConfig, key: str, order: list[str]) -> bool:
        value = config.values.get(key, config.pending.get(key))
        if value is None:
            say(f"cannot delete '{key}' - not set in current configuration!")
            return False
        was_pending = config.pending.pop(key, None) is not None
        if key in order:
            order.remove(key)
            config.pending["boot"] = print_boot_order(order)
        if key.startswith("unused") or key == "vmstate":
            self._destroy(config, key, str(value))
        elif is_drive(key):
            config.check_protection(f"can't remove drive '{key}'")
            check_drive(self.cluster, self.call, self.vmid, key, str(value))
            if was_pending:
                register_unused(self.cluster, self.call.node, self.vmid, config, parse_drive(key, str(value)))
            config.add_pending_delete(key, self.force)
        elif key == "tags":
            check_tags(self.cluster, self.call, self.vmid, str(value), None)
            config.values.pop(key, None)
        else:
            if DEVICE.fullmatch(key):
                check_device(self.cluster, self.call, self.vmid, key, str(value), verb="delete")
            if re.fullmatch(r"net\d+", key) and config.values.get(key):
                check_bridges(self.cluster, self.call, {key: config.values[key]})
            config.add_pending_delete(key, self.force)
        self._write(config)
        return True

    def _destroy(self, config: VmConfig, key: str, value: str) -> None:
        drive = (parse_drive(key, value) if key != "vmstate" else None) or {"file": value}
        what = f"unused disk '{drive['file']}'" if key != "vmstate" else f"vmstate '{value}'"
        config.check_protection(f"can't remove {what}")
        self.cluster.access.check_vm(self.call.user, self.vmid, ["VM.Config.Disk"])
        deallocate(self.cluster, self.call, self.vmid, config, key, drive)
        config.values.pop(key, None)

    def _set(self, config: VmConfig, key: str, order: list[str]) -> None:
        value = self.values[key]
        if is_drive(key):
            self._set_drive(config, key, str(value), order)
        elif key == "tags":
            check_tags(self.cluster, self.call, self.vmid, config.values.get(key), value)
            config.pending[key] = self.cluster.datacenter.unique_tags(value)
        elif key == "cipassword":
            config.values[key] = value if str(value).startswith("$") else f"$5$sim${secrets.token_hex(16)}"
        elif key == "boot" and value is not None and (devices := boot_order(value)):
            for device in devices:
                known = config.values.get(device) or config.pending.get(device) or self.values.get(device)
                if not known or device in self.delete:
                    raise ApiError(f"invalid bootorder: device '{device}' does not exist'")
            config.pending[key] = print_boot_order(devices)
            if config.values.get("bootdisk"):
                config.add_pending_delete("bootdisk")
        else:
            if DEVICE.fullmatch(key):
                check_device(self.cluster, self.call, self.vmid, key, config.values.get(key), verb="modify")
                check_device(self.cluster, self.call, self.vmid, key, value, verb="modify")
            if key == "machine":
                check_machine(str(value))
            if key == "vga":
                check_vga(str(value))
            if re.fullmatch(r"net\d+", key) and config.values.get(key):
                check_bridges(self.cluster, self.call, {key: config.values[key]})
            chosen = self.values.get("machine") is not None or config.pending.get("machine") is not None
            if key == "ostype" and not chosen and "machine" not in self.delete:
                with contextlib.suppress(ApiError):
                    pin_machine(self.cluster, config.pending, config.values.get("machine"), value)
            config.pending[key] = value

    def _set_drive(self, config: VmConfig, key: str, value: str, order: list[str]) -> None:
        if config.values.get(key):
            check_drive(self.cluster, self.call, self.vmid, key, str(config.values[key]))
        check_drive(self.cluster, self.call, self.vmid, key, value)
        if key == "tpmstate0" and config.values.get(key):
            _check_tpm(str(config.values[key]), value)
        if config.pending.get(key) is not None:
            waiting = parse_drive(key, str(config.pending[key]))
            register_unused(self.cluster, self.call.node, self.vmid, config, waiting)
        made, dummy = create_disks(self.cluster, self.call, self.vmid, config, {key: value})
        config.pending.update(made)
        drive = parse_drive(key, value, allocate=True)
        if order and drive and is_cdrom(drive, but_cloudinit=True) and key not in order:
            order.append(key)
            config.pending["boot"] = print_boot_order(order)


def _check_tpm(old: str, new: str) -> None:
    before, after = parse_drive("tpmstate0", old), parse_drive("tpmstate0", new)
    if before and after and before["file"] == after["file"]:
        versions = {drive.get("version", "v1.2") for drive in (before, after)}
        if len(versions) > 1:
            raise ApiError("cannot change TPM state version after creation")


def pin_machine(cluster: Cluster, values: Values, text: t.Any, system: t.Any) -> None:
    """Sets the machine; that of a Windows stays at its version, whatever QEMU comes."""
    schema = cluster.files.options["machine"]["format"]
    machine = parse_properties(schema, str(text or ""))
    if re.match("w[2x]|wvista|win", str(system or "")) and machine.get("type", "pc") in ("pc", "q35"):
        version = ".".join(qemu_version().split(".")[:2])
        machine["type"] = f"pc-{'q35' if machine.get('type') == 'q35' else 'i440fx'}-{version}"
    printed = print_properties(schema, machine)
    if printed:
        check_machine(printed)
        values["machine"] = printed


def check_machine(text: str) -> None:
    """Dies when an IOMMU does not fit the type of the machine."""
    parts = dict(part.split("=", 1) if "=" in part else ("type", part) for part in text.split(","))
    if parts.get("viommu") == "intel":
        if "q35" not in parts.get("type", ""):
            raise ApiError("to use Intel vIOMMU please set the machine type to q35")
        if parts.get("aw-bits") not in (None, "0", "39", "48"):
            raise ApiError("Intel vIOMMU supports only 39 or 48 bits as address width")
    if parts.get("aw-bits") not in (None, "0") and "viommu" not in parts:
        raise ApiError("cannot set aw-bits if no vIOMMU is configured")


def check_vga(text: str) -> None:
    """Dies when the clipboard does not fit the display."""
    parts = dict(part.split("=", 1) if "=" in part else ("type", part) for part in text.split(","))
    kind = parts.get("type")
    if parts.get("clipboard") == "vnc" and kind and not re.match("std|cirrus|vmware|virtio|qxl", kind):
        raise ApiError(f"vga type {kind} is not compatible with VNC clipboard")


def new_uuid() -> str:
    """A random UUID."""
    return str(uuid.uuid4())


def update_now(cluster: Cluster, call: Call, vmid: int, parameters: Values) -> None:
    """Changes a VM before the call is answered."""
    update = Update(cluster, call, vmid, parameters)
    update.load(final=False)
    update.run()


@answers("PUT /nodes/{node}/qemu/{vmid}/config")
def update_sync(cluster: Cluster, call: Call) -> None:
    """Changes a VM before the call is answered."""
    update_now(cluster, call, call.vmid, call.parameters)


@answers("PUT /nodes/{node}/qemu/{vmid}/unlink")
def unlink(cluster: Cluster, call: Call) -> None:
    """Detaches or destroys disks."""
    update_now(cluster, call, call.vmid, {**call.rest("idlist"), "delete": call.get("idlist")})


@answers("POST /nodes/{node}/qemu/{vmid}/config")
def update_task(cluster: Cluster, call: Call) -> str | None:
    """Changes a VM in a task."""
    update = Update(cluster, call, call.vmid, call.parameters)
    update.load(final=False)
    upid = cluster.fork(call, "qmconfig", call.vmid, update.run)
    delay = call.number("background_delay")
    if delay:
        task = cluster.tasks.get(upid)
        task.ended.wait(delay * cluster.clock.pace)
        if task.status == "OK":
            return None
        if task.status is not None:
            raise ApiError(f"failed to update VM {call.vmid}: {task.status}")
    return upid
