# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace what a VM boots: stop, one change, start. PRIVATE to the collection.

The volume that was in the boot drive stays with the VM, as ``unusedN``. So the way back is the same change with the
volumes the other way round.
"""

from __future__ import annotations

import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ...describe.ownership import Owner
from ...errors import ComposeError
from ...model.composition import Volume
from ...process import run
from . import ha
from .client import Refusal
from .config import Config, Drive
from .record import DOCUMENT_SERIAL, Boot, Record, short
from .vm import ChangedError, Vm

#: Values of a VM that is not to start by itself, and finds nothing to boot (\"c\": only a disk, of which none is named)
#: if somebody starts it: by default it would ask the network.
NOT_STARTED: t.Mapping[str, t.Any] = {"onboot": 0, "boot": "c"}
#: Where the system disk of a VM is that had none.
SYSTEM_SLOT = "virtio0"
#: Name of the snapshot before a switch.
SNAPSHOT = "before-compose"


@dataclass(frozen=True)
class Wishes:
    """What else is to hold for a VM when it is stopped."""

    #: Data volumes by name; those that are missing were staged.
    volumes: t.Mapping[str, Volume]
    #: Values of the configuration that must differ no longer; ``None``: not there.
    values: t.Mapping[str, str | None]
    #: Whose the data are from now on.
    owner: Owner | None = None
    #: They are those of the last verified image.
    back: bool = False
    #: ``none``, ``vm`` or ``node-command``: what secures the data before the change.
    snapshot: str = "none"
    #: For ``node-command``, with ``{vmid}``, ``{node}``, ``{host}`` and ``{volumes}``.
    command: str = ""
    #: Seconds for the command.
    command_deadline: int = 600


def boot(vm: Vm, wanted: Boot, wishes: Wishes) -> list[str]:
    """Have a VM boot volumes that were staged.

    :returns: keys of what somebody else had changed to take effect with the next start, which this was.
    :raises ComposeError: the VM was changed by someone else meanwhile, or does not start.
    """
    config = vm.free()
    record = vm.known(config)
    for volume in (wanted.system, wanted.drive):
        if volume not in config.volumes() and not vm.has(volume):
            raise ComposeError(f"VM {vm.vmid} has no volume {volume} any more; run again to get it anew")
    now = vm.running_config()
    _require_data(vm, config, now, record, wishes)
    _while_stopped(vm, config, lambda record: _change(vm, config, record, wanted, wishes))
    return sorted(
        key for key in {*now.values, *config.values} - {*now.drives, *config.drives} if now.get(key) != config.get(key)
    )


def boot_original(vm: Vm, key: str, value: str) -> bool:
    """Have a VM that is older than its node boot the drive that it had before; whether it runs now, as it did then."""
    runs = not vm.known(vm.config()).was_off

    def change(record: Record) -> None:
        config = vm.free()
        slot = config.with_serial(DOCUMENT_SERIAL)
        new = replace(record, current=None, tidy=False)
        if slot:
            vm.detach(config, new, [slot], {key: value})
        else:
            vm.record(config, new, {key: value})

    _while_stopped(vm, vm.free(), change, start=runs)
    return runs


def _while_stopped(vm: Vm, config: Config, change: t.Callable[[Record], None], *, start: bool = True) -> None:
    """Stop a VM, change it, start it; if the change fails, it is started again as it was."""
    record = _ha_off(vm, config, vm.known(config))
    try:
        was_running = vm.stop()
        try:
            change(record)
        except BaseException as error:
            if was_running:
                with _besides(error):
                    vm.start()
            raise
        if start:
            vm.start()
    except BaseException as error:
        with _besides(error):
            _ha_on(vm, record)
        raise
    _ha_on(vm, record)


@contextmanager
def _besides(error: BaseException) -> t.Iterator[None]:
    """What is still tried after an error does not hide that."""
    try:
        yield
    except ComposeError as another:
        if isinstance(error, ComposeError):
            error.message += f"; besides: {another.message}"


def _ha_off(vm: Vm, config: Config, record: Record) -> Record:
    """Keep high availability from starting what is stopped; the record says how it was."""
    if not vm.status().ha.managed:
        return record
    state = ha.states(vm.cluster.client).get(vm.vmid)
    if state in (None, "ignored"):
        return record
    record = replace(record, ha=state, tidy=False)
    vm.record(config, record)
    ha.keep_off(vm.cluster.client, vm.vmid)
    return record


def _ha_on(vm: Vm, record: Record) -> None:
    if record.ha:
        ha.come_back(vm.cluster.client, vm.vmid, record.ha)


def _require_data(vm: Vm, config: Config, now: Config, record: Record, wishes: Wishes) -> None:
    """Refuse to make a data volume where the one that there was may only be detached, or will be when the VM stops."""
    known = {*record.volumes, *([Drive.parse(record.original[1]).volume] if record.original else [])}
    detached = sorted(({*config.unused} | (now.volumes() - config.volumes())) - known)
    for name in wishes.volumes:
        if record.current and detached and config.with_serial(name) is None:
            raise ComposeError(
                f"VM {vm.vmid} has no disk with the serial number {name!r}, but keeps {', '.join(detached)} detached: "
                f"attach that with serial={name}, or remove it"
            )


def _change(vm: Vm, before: Config, record: Record, wanted: Boot, wishes: Wishes) -> None:
    """The one change, of a VM that is stopped."""
    config = vm.free()
    # The stop itself may have changed the configuration: what waited for it was applied. The rest must be as it was.
    if vm.known(config) != record or config.boot_drive != before.boot_drive:
        raise ChangedError(vm.vmid)
    record = _secured(vm, config, record, wishes)
    if record.snapshot:
        config = vm.free()
    values, old = _drives(config, record, wanted, wishes)
    replaced = {key: config.get(key) or None for key in wishes.values} if record.verified else {}
    record = replace(record, before={} if wishes.back else {**replaced, **record.before})
    if wishes.owner:
        record = replace(record, composition=wishes.owner.composition, role=wishes.owner.role)
    in_drives = {Drive.parse(value).volume for value in values.values()}  # data that nobody may remove from now on
    volumes = {name: what for name, what in record.volumes.items() if not (what.data and name in in_drives)}
    record = replace(record, current=wanted, volumes=volumes, original=record.original or old, tidy=False)
    gone = ",".join(key for key, value in wishes.values.items() if value is None)
    plain = {key: value for key, value in wishes.values.items() if value is not None}
    vm.record(config, record, {**plain, **values, **({"delete": gone} if gone else {})})
    _grow(vm, config, record, wanted, wishes)


def _drives(
    config: Config, record: Record, wanted: Boot, wishes: Wishes
) -> tuple[dict[str, str], tuple[str, str] | None]:
    """Values of all drives that change, and the boot drive of a VM that boots something of ours for the first time."""
    key = _system_slot(config, record)
    drive = config.drives.get(key) or Drive("", {})
    values = {key: drive.holding(wanted.system, short(wanted.image))}
    if config.boot_key is None:
        values["boot"] = f"order={key}"
    slot = config.with_serial(DOCUMENT_SERIAL) or config.document_slot()
    values[slot] = f"{wanted.drive},serial={DOCUMENT_SERIAL}"
    for name in wishes.volumes:
        if config.with_serial(name) is None:
            values[config.virtio_slot({*values, SYSTEM_SLOT})] = f"{_staged(config, record, name)},serial={name}"
    first = record.current is None and drive.volume not in ("", *record.volumes)
    return values, (key, config.get(key)) if first else None


def _staged(config: Config, record: Record, name: str) -> str:
    """The empty volume that was staged for data."""
    staged = [
        (content.size, volume)
        for volume, content in record.volumes.items()
        if content.data == name and volume in config.unused
    ]
    if staged:
        return max(staged)[1]
    raise ComposeError(f"the data volume {name!r} is not staged any more; run again", node=record.node)


def _system_slot(config: Config, record: Record) -> str:
    """The drive that boots, or is to do so: never one that has something else."""
    before = record.original[0] if record.original else None if record.created else config.first_disk
    return config.boot_key or before or config.virtio_slot()


def _grow(vm: Vm, before: Config, record: Record, wanted: Boot, wishes: Wishes) -> None:
    """A system disk is as large as the one before, a data disk at least as large as is said; none ever shrinks."""
    key = _system_slot(before, record)
    drive = before.drives.get(key)
    content = record.volumes.get(wanted.system)
    if drive and content and content.size:
        size = drive.size if drive.volume == wanted.system else content.size
        needed = _size_before(vm, drive, record, wanted)
        if needed > size:
            _resize(vm, key, wanted.system, f"{needed >> 10}K", "the system disk")
    for name, volume in wishes.volumes.items():
        disk = before.with_serial(name)
        if disk and 0 < before.drives[disk].size < volume.size << 20:
            _resize(vm, disk, before.drives[disk].volume, f"{volume.size}M", f"the volume {name!r}")


def _resize(vm: Vm, key: str, volume: str, size: str, what: str) -> None:
    config = vm.config()
    try:
        if key not in config.drives or config.drives[key].volume != volume:
            raise ChangedError(vm.vmid)
        vm.task("PUT", "/resize", f"resize of {what}", disk=key, size=size, digest=config.digest)
    except Refusal as error:
        raise (ChangedError(vm.vmid) if error.stale else error) from None


def _size_before(vm: Vm, drive: Drive, record: Record, wanted: Boot) -> int:
    """Bytes of the system disk that was there before the wanted one, which a killed run may have put into its place."""
    if drive.volume != wanted.system:
        return drive.size
    if record.verified and record.verified.system != wanted.system:
        return vm.volumes_on(record.verified.system.partition(":")[0]).get(record.verified.system, 0)
    return Drive.parse(record.original[1]).size if record.original else 0


# -- before the change -------------------------------------------------------------------------------------------------


def _secured(vm: Vm, config: Config, record: Record, wishes: Wishes) -> Record:
    """Secure the data as is wished; of a VM that never ran there are none."""
    if record.current is None and record.original is None and record.created:
        return record
    if wishes.snapshot == "vm":
        if record.snapshot and record.current == record.verified:
            drop_snapshot(vm, record)  # of a switch that was taken back
        elif not record.snapshot:
            record = replace(record, snapshot=SNAPSHOT, tidy=False)
            vm.record(config, record)
        if SNAPSHOT not in _snapshots(vm):  # else that of a run that was killed after it
            vm.task("POST", "/snapshot", "snapshot", snapname=SNAPSHOT, description="until the new system is verified")
    elif wishes.snapshot == "node-command":
        volumes = [drive.volume for key, drive in sorted(config.drives.items()) if drive.serial in wishes.volumes]
        command = wishes.command.format(vmid=vm.vmid, node=record.node, host=vm.node, volumes=" ".join(volumes))
        run(["sh", "-c", command], timeout=wishes.command_deadline)
    return record


def drop_snapshot(vm: Vm, record: Record) -> None:
    """Remove the snapshot that was made before the switch; one that is gone is no error."""
    if record.snapshot in _snapshots(vm):
        vm.task("DELETE", f"/snapshot/{record.snapshot}", "removal of the snapshot")


def _snapshots(vm: Vm) -> list[str]:
    return vm.snapshots()
