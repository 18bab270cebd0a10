# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a node's next system disk and document to its VM, while that runs on as before. PRIVATE to the collection.

The new volumes end up as ``unusedN`` of the VM, with a record of what is in them. Three ways lead there:

``import``  a full copy, made in a free SATA slot: disks there are never plugged into a running VM.
``clone``   the image is imported once, into a template; a linked clone of that hands its disk over to such a slot.
``volume``  somebody else has made the volume, on a node; it is only found.

A drive that is being staged has a serial number that tells what is in it. So a run that was killed is taken up where it
ended: what is in a slot already is not made anew.
"""

from __future__ import annotations

import typing as t
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from ...errors import ComposeError
from ...model.composition import Volume
from ...model.document import NodeDocument
from ...model.image import Image
from ...progress import Progress
from .client import LostAnswer, Refusal
from .config import Config, Drive
from .record import STAGED_SERIAL, Content, Record, short
from .storage import Storage
from .tasks import TaskError
from .templates import Templates
from .uploads import Uploads
from .vm import ChangedError, Vm

#: How often a VM is looked at anew; six times if nothing comes between.
_TRIES = 12
#: How often of these because a task met a lock that somebody held for long.
_BUSY = 2


@dataclass(frozen=True)
class Wanted:
    """What a VM is to get."""

    node: str
    #: ``None``: only a document.
    image: Image | None
    document: NodeDocument
    document_digest: str
    #: Where its disks are.
    storage: Storage
    #: ``import``, ``clone`` or ``volume``.
    method: str
    #: Data volumes that the node is to have, by name.
    volumes: t.Mapping[str, Volume] = field(default_factory=dict)
    #: For ``clone``: of templates and clones, as of VMs that are made.
    pool: str | None = None
    #: For ``volume``: which, with ``{vmid}``, ``{node}`` and ``{image}``.
    pattern: str = ""

    @property
    def image_serial(self) -> str:
        """Serial number of the system disk while it is staged."""
        return staged_serial(self.image.identity if self.image else "")

    @property
    def document_serial(self) -> str:
        """The same of the disk with the document."""
        return staged_serial(self.document_digest)

    def data_serial(self, name: str) -> str:
        """The same of a disk that is to become a data volume."""
        return staged_serial(f"data {name} {self.volumes[name].size}")


def staged_serial(what: str) -> str:
    """Serial number, of 20 characters, of a drive that is being filled with an image or a document."""
    return STAGED_SERIAL + short(what)[: 20 - len(STAGED_SERIAL)]


class Staging:
    """Stages for many VMs at once.

    :param drive: makes the disk that holds a node document.
    """

    def __init__(
        self,
        uploads: Uploads,
        templates: Templates,
        drive: t.Callable[[NodeDocument], bytes],
        progress: Progress,
    ) -> None:
        self.uploads = uploads
        self.templates = templates
        self._drive = drive
        self._progress = progress

    def stage(self, vm: Vm, wanted: Wanted) -> bool:
        """Have image and document as volumes of a VM that has a record; whether anything had to be done.

        :raises ComposeError: the VM stays locked, was changed meanwhile, or something could not be made.
        """
        trouble: ComposeError | None = None
        busy = 0
        for attempt in range(_TRIES):
            config = vm.free()
            record = vm.known(config)
            if attempt == 0 and record.current and not record.tidy:
                self._tell_lost(vm, config, record)
            missing = _missing(vm, config, record, wanted)
            try:
                if empty_slots(vm, config, record, wanted):
                    continue
                if not missing.anything:
                    return attempt > 0
                if record.tidy:  # before anything is made: what is left of it, should this run be killed, is looked for
                    vm.record(config, replace(record, tidy=False))
                    continue
                self._make(vm, config, record, wanted, missing)
            except ChangedError as error:  # also by what a killed run began
                self._progress.say(f"stage: VM {vm.vmid} was changed by someone else meanwhile: looking at it anew")
                trouble = error
            except LostAnswer as error:
                trouble = error
                vm.cluster.vms(anew=True)  # what was asked for may be there
            except Refusal as error:
                if isinstance(error, TaskError) and error.passing and busy < _BUSY:
                    busy += 1
                elif not error.stale:
                    raise
                trouble = error
        raise trouble or ComposeError(f"VM {vm.vmid} keeps changing: left alone; run again")

    def _tell_lost(self, vm: Vm, config: Config, record: Record) -> None:
        """After a run that failed: what Proxmox made but could not enter into the configuration may be anybody's."""
        named = config.volumes() | set(record.volumes)
        for storage in sorted({volume.partition(":")[0] for volume in named}):
            for volume in sorted(set(vm.volumes_on(storage)) - named):
                self._progress.say(
                    f"stage: {volume} is in no drive of VM {vm.vmid}; unless a snapshot has it, remove it as root on "
                    f"{vm.node}: qm rescan --vmid {vm.vmid}, then qm set {vm.vmid} --delete unusedN"
                )

    def _make(self, vm: Vm, config: Config, record: Record, wanted: Wanted, missing: _Missing) -> None:
        image = wanted.image if missing.system else None
        if image is None or wanted.method == "import":
            self._import(vm, config, wanted, image, missing)
        elif wanted.method == "clone":
            slot = config.cold_slot(vm.running_config().drives)
            self.templates.hand_over(vm, config, slot, image, wanted.storage, wanted.image_serial, wanted.pool)
        else:
            self._find(vm, config, record, wanted, image)

    def _import(self, vm: Vm, config: Config, wanted: Wanted, image: Image | None, missing: _Missing) -> None:
        node = vm.node
        slots: dict[str, str] = {}
        seen = vm.running_config().drives  # by a guest that was started again while a slot was in use
        with ExitStack() as sent:  # the document holds the node's private key: it goes at once
            if image is not None:
                source = self.uploads.image(node, image)
                slots[config.cold_slot(seen)] = wanted.storage.imported(source, wanted.image_serial)
            if missing.document:
                name = f"{wanted.node}.{wanted.document_digest}"
                source = sent.enter_context(self.uploads.document(node, name, self._drive(wanted.document)))
                slots[config.cold_slot({*seen, *slots})] = wanted.storage.imported(source, wanted.document_serial)
            # In the same task: a large disk takes longer to be made than a call may.
            free = config.cold_slots({*seen, *slots})
            if missing.data and not free and not slots:
                config.cold_slot(seen)  # says so
            for slot, name in zip(free, missing.data):  # the others come next
                slots[slot] = wanted.storage.new_disk(wanted.volumes[name].size, wanted.data_serial(name))
            vm.task("POST", "/config", "import", digest=config.digest, **slots)

    def _find(self, vm: Vm, config: Config, record: Record, wanted: Wanted, image: Image) -> None:
        name = wanted.pattern.format(vmid=vm.vmid, node=wanted.node, image=short(image.identity))
        sizes = vm.volumes_on(name.partition(":")[0])
        if name not in sizes:
            raise ComposeError(
                f"volume {name} of VM {vm.vmid} does not exist; make it on a node from the image "
                f"{image.path('qcow2')}, or choose another way of staging"
            )
        contents = {**record.volumes, name: Content(image=image.identity, size=sizes[name])}
        vm.record(config, replace(record, volumes=contents, tidy=False))


def empty_slots(vm: Vm, config: Config, record: Record, wanted: Wanted | None = None) -> bool:
    """Keep what is in staging slots as unused volumes, and note what it is; whether there was anything."""
    staged = {key: drive for key, drive in config.drives.items() if drive.serial.startswith(STAGED_SERIAL)}
    if staged:
        contents = {drive.volume: _content(drive, wanted) if wanted else Content() for drive in staged.values()}
        new = replace(record, volumes={**record.volumes, **contents}, tidy=False)
        vm.detach(config, new, staged)
    return bool(staged)


@dataclass(frozen=True)
class _Missing:
    """What a VM does not have yet."""

    system: bool
    document: bool
    data: t.Sequence[str]

    @property
    def anything(self) -> bool:
        return self.system or self.document or bool(self.data)


def _missing(vm: Vm, config: Config, record: Record, wanted: Wanted) -> _Missing:
    def is_there(fits: t.Callable[[Content], bool]) -> bool:
        volumes = [volume for volume, content in record.volumes.items() if fits(content)]
        # A volume that somebody else made is in no drive yet; one in a slot that the guest has seen leaves it later.
        return any(volume in config.volumes() or vm.has(volume) for volume in volumes)

    def has_data(name: str, size: int) -> bool:
        return is_there(lambda content: content.data == name and content.size >= size << 20)

    image = wanted.image
    return _Missing(
        system=image is not None and not is_there(lambda content: content.image == image.identity),
        document=not is_there(lambda content: content.document == wanted.document_digest),
        data=[
            name
            for name, volume in wanted.volumes.items()
            if config.with_serial(name) is None and not has_data(name, volume.size)
        ],
    )


def _content(drive: Drive, wanted: Wanted) -> Content:
    """What is in a drive that is staged; nothing known if it was for another run: then it is pruned later."""
    if wanted.image and drive.serial == wanted.image_serial:
        return Content(image=wanted.image.identity, size=drive.size)
    if drive.serial == wanted.document_serial:
        return Content(document=wanted.document_digest, size=drive.size)
    for name in wanted.volumes:
        if drive.serial == wanted.data_serial(name):
            return Content(data=name, size=drive.size)
    return Content()
