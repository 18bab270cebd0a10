# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of Proxmox VE: an image that is there once, of which VMs get linked clones. PRIVATE to the collection.

A VM that has the tags of a deployment and of an image, but of no node, is a template, or was to become one, or is a
clone of one that has not handed over its disk yet. All but templates are removed when they are found.
"""

from __future__ import annotations

import re
import threading
import typing as t
from contextlib import suppress

from ...errors import ComposeError
from ...model.image import Image
from ...progress import Progress
from .answers import Volume
from .client import LostAnswer, ProxmoxError, Refusal
from .cluster import Cluster, Resource
from .config import Config
from .record import deployment_tag, image_tag, short
from .storage import Storage
from .uploads import Uploads
from .vm import Patience, Vm, comes_to_be

#: The drive of a template.
_SLOT = "sata0"
#: Two who ask for a free number may get the same.
_TRIES = 20


class Templates:
    """The templates of a deployment."""

    def __init__(self, cluster: Cluster, uploads: Uploads, deployment: str, patience: Patience) -> None:
        self.cluster = cluster
        self.uploads = uploads
        self.deployment = deployment
        self.patience = patience
        self._lock = threading.Lock()
        self._busy: dict[tuple[str, str], threading.Lock] = {}
        #: Numbers of templates that were looked at.
        self._sound: set[int] = set()

    def hand_over(
        self, vm: Vm, config: Config, slot: str, image: Image, storage: Storage, serial: str, pool: str | None
    ) -> None:
        """Give a VM, which may run, a linked clone of an image in a free slot where it does not see it.

        :param config: what the slot was chosen by.
        :param serial: serial number of the new drive.
        :param pool: of what has to be made for it.
        """
        node = vm.node
        template = self._template(node, image, storage, serial, pool)
        name = f"compose-{self.deployment}-{short(image.identity)}"
        path = f"/nodes/{template.node}/qemu/{template.vmid}/clone"
        target = node if node != template.node else None
        values = {"name": name, "target": target, "pool": pool}
        tags = template.tags  # they are copied
        clone, upid = create(self.cluster, path, "newid", values, tags=tags, node=node, seconds=self.patience.task)
        temporary = self._at(clone)
        try:
            temporary.done(upid, f"clone of template {template.vmid}")
        except BaseException:  # the number may be somebody else's by now, who was faster: nothing is removed
            self.cluster.forget(clone)
            raise
        try:
            handed = {"target-vmid": vm.vmid, "target-disk": slot, "target-digest": config.digest}
            temporary.task("POST", "/move_disk", "hand-over of the disk", disk=_SLOT, **handed)
        except BaseException:
            with suppress(ComposeError):  # what went wrong before is more to the point
                self._remove(temporary)
            raise
        self._remove(temporary, empty=True)

    def _template(self, node: str, image: Image, storage: Storage, serial: str, pool: str | None) -> Resource:
        """The template of an image; made if there is none. On a local storage each node needs its own."""
        where = "" if storage.shared else node
        with self._lock:
            busy = self._busy.setdefault((where, image.identity), threading.Lock())
        with busy:
            for found in self._tagged(image.identity):
                if where in ("", found.node):
                    if self._is_sound(found):
                        return found
                    if found.template:
                        self._remove(self._at(found.vmid))
            tags = {deployment_tag(self.deployment), image_tag(image.identity)}
            source = self.uploads.image(node, image)
            drive = storage.imported(source, serial)
            name = f"compose-{self.deployment}-{image.role}"
            values = {"name": name, "tags": ";".join(sorted(tags)), "pool": pool, _SLOT: drive}
            path, seconds = "/nodes/{node}/qemu", self.patience.task
            vmid, upid = create(self.cluster, path, "vmid", values, tags=tags, node=node, seconds=seconds)
            made = self._at(vmid)
            made.done(upid, f"import of {image.identity} as a template")
            _make_template(made)
            self.cluster.add(vmid, node, tags, template=True)
            self._sound.add(vmid)
            return self.cluster.vms()[vmid]

    def _is_sound(self, template: Resource) -> bool:
        """A template that can be cloned.

        One whose making failed half-way calls itself one, too, and the list of VMs calls a new one so only later.
        """
        if template.vmid in self._sound:
            return True
        try:
            if not _is_template(_mended(self._at(template.vmid))):
                return False
        except ProxmoxError as error:
            if not error.missing:
                raise
            return False  # a clone that has handed over its disk meanwhile
        self._sound.add(template.vmid)
        return True

    def prune(self, keep: t.Collection[str], progress: Progress) -> list[str]:
        """Remove templates of images (identities) that are not kept, and what a killed run left.

        :returns: what has to be tried again, in words; a template that has linked clones stays as long as they do.
        """
        left = []
        kept = {image_tag(identity) for identity in keep}
        for found in sorted(self.found(), key=lambda vm: vm.template):  # first what may be a clone of a template
            if not (found.template and found.tags & kept):
                try:
                    vm = self._at(found.vmid)
                    config = _mended(vm)
                    needed = _is_template(config) and found.tags & kept
                    # Somebody's own clone of a template has its tags, but not its name.
                    if not needed and config.get("name").startswith(f"compose-{self.deployment}-"):
                        self._remove(vm)
                except InUseError as error:
                    progress.say(f"prune: VM {found.vmid}, which is not a node, stays: {error.message}")
                except (Refusal, LostAnswer) as error:
                    left.append(f"VM {found.vmid}, which is not a node, stays: {error.message}")
        return left

    def found(self) -> list[Resource]:
        """The templates of all images, and what was to become one."""
        ours = self.cluster.tagged(deployment_tag(self.deployment))
        return [vm for vm in ours if _is_of_no_node(vm, self.deployment)]

    def _tagged(self, identity: str) -> list[Resource]:
        return [vm for vm in self.found() if image_tag(identity) in vm.tags]

    def _at(self, vmid: int) -> Vm:
        return Vm(self.cluster, vmid, self.patience)

    def _remove(self, vm: Vm, *, empty: bool = False) -> None:
        """Remove a VM that is no node; one that is gone is no error.

        :param empty: it has no disk any more.
        :raises InUseError: its disk is the base of clones.
        """
        try:
            # Proxmox removes a VM even if it cannot remove its disk, which nobody would know of then.
            drive = None if empty else vm.config().drives.get(_SLOT)
            if drive is not None:
                _remove_disk(vm, drive.volume)
            vm.task("DELETE", "", "removal", purge=1)
        except ProxmoxError as error:
            if not error.missing:
                raise
        self.cluster.forget(vm.vmid)


class InUseError(ComposeError):
    """The disk of a template is the base of clones."""


def _remove_disk(vm: Vm, volume: str) -> None:
    """Remove the disk of a template; a removal that Proxmox refuses would wait, and hide the disk from then on.

    :raises InUseError: it has clones.
    """
    path = f"/nodes/{vm.node}/storage/{volume.partition(':')[0]}/content"
    names = [entry.volid for entry in vm.cluster.client.get(list[Volume], path, content="images")]
    clones = sorted(name for name in names if name.startswith(f"{volume}/"))
    if clones:
        raise InUseError(f"its disk {volume} is in use by linked clones: {', '.join(clones)}")
    try:
        vm.task("POST", "/config", "removal of the disk", delete=_SLOT, force=1)
    except Refusal as error:  # of clones that the caller may not see
        with suppress(ComposeError):
            _mended(vm)
        raise InUseError(error.message) if "in use by linked clone" in error.message else error from None


def _mended(vm: Vm) -> Config:
    """The configuration; if the disk's removal was refused, and waits, that is taken back."""
    config = vm.config()
    if config.get("template") == "1" and _SLOT not in config.drives and _SLOT in vm.running_config().drives:
        vm.call("PUT", "/config", revert=_SLOT)
        config = vm.config()
    return config


def _make_template(vm: Vm) -> None:
    try:
        vm.task("POST", "/template", "making a template")
    except LostAnswer:  # another one must not be made if it was understood
        if not vm.becomes(_is_template):
            raise


def _is_template(config: Config) -> bool:
    """The disk of a template gets a name of its own, last."""
    return config.get("template") == "1" and _SLOT in config.drives and "base-" in config.drives[_SLOT].volume


def _is_of_no_node(vm: Resource, deployment: str) -> bool:
    return not any(tag.startswith(f"{deployment_tag(deployment)}.") for tag in vm.tags)


def create(
    cluster: Cluster,
    path: str,
    key: str,
    values: t.Mapping[str, t.Any],
    *,
    tags: t.AbstractSet[str],
    node: str | None,
    seconds: float,
    number: int | None = None,
    storages: t.Sequence[Storage] = (),
    bridges: t.Collection[str] = (),
) -> tuple[int, str]:
    """Make a VM under a number that is free; the number, and the task that goes on with it, if it is not done yet.

    :param key: parameter for the number.
    :param tags: that it will have.
    :param node: where it will be; ``None``: where the fewest are. ``{node}`` in the path is replaced by it.
    :param seconds: deadline for its making, where that has to be waited for.
    :param number: which it is to be, if that matters.
    :param storages: that a node must have on which it will be.
    :param bridges: that it must have besides.
    """
    with cluster.creating:
        place = node or next(iter(cluster.nodes(*storages, bridges=bridges)), None)
        if place is None:
            raise ComposeError("no node of the cluster that is on has the storages and the bridges")
        for _attempt in range(_TRIES):
            vmid = number or cluster.client.get(int, "/cluster/nextid")
            # A clone takes its number only when its task has begun; so may one of which no answer came.
            while not number and (vmid in cluster.vms() or vmid in cluster.asked_for):
                vmid += 1
            cluster.asked_for.add(vmid)
            try:
                upid = str(cluster.client.call("POST", path.format(node=place), **{**values, key: vmid}))
            except ProxmoxError as error:
                if number or not re.search(r"already (exists|in use)", error.text):
                    raise
                continue
            except LostAnswer:
                if not comes_to_be(cluster, vmid, values["name"], seconds):
                    raise
                upid = ""
            cluster.add(vmid, place, tags)
            return vmid, upid
    raise ComposeError(f"no free number for a VM was found in {_TRIES} tries")
