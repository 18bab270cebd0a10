# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``compose.lock.json``: every package of every role of a ``debian`` composition, pinned. PRIVATE to the collection.

Packages are kept in layers (*essential* ⊂ *base* ⊂ role; *tools* ⊂ *disk-tools* only build), each of which lists what
was requested and the packages that this layer adds. The host of the mirror is not part of a lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t
from dataclasses import asdict, dataclass, field

from ...errors import InputError
from ...files import json_of
from ...model import codec
from ...model.lock import Layer, Lock, LockedArchive
from ...model.numbers import Numbers
from ...progress import Progress
from ...temporary import TemporaryDirectory
from .apt import PrivateApt, configured_mirrors
from .numbers import Declared, allocate, moving
from .own import COMPOSITION, OwnArchive, OwnFile, OwnPackage, Package, check_archive, read_packages

LOCK_FILE = "compose.lock.json"

#: apt counts itself as essential, and would choose `usrmerge` with all of Perl for the layout that images have anyway.
ESSENTIAL = ("?and(?essential,?not(?exact-name(apt)))", "usr-is-merged")

#: Layers that do not depend on the composition: name → (layers below, requested packages).
LAYERS: t.Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "essential": ((), ESSENTIAL),
    "base": (("essential",), ("iproute2", "jq", "netbase", "openssh-server", "systemd", "systemd-sysv")),
    "tools": (("essential",), ("busybox-static", "cpio", "jq", "kmod", "mount", "squashfs-tools")),
    "disk-tools": (
        ("essential", "tools"),
        ("dosfstools", "fdisk", "mtools", "qemu-utils", "syslinux", "syslinux-common", "systemd-boot-efi"),
    ),
}

#: What a role with a kernel needs besides it: loading modules, device links of volumes, making their file systems.
KERNEL_SUPPORT = ("e2fsprogs", "kmod", "udev")

#: Packages that a message names.
SHOWN = 5

HOW_TO_LOCK = "run `ansible-playbook immutable.compose.lock` with the inventory of the deployment"


@dataclass(frozen=True)
class Wanted:
    """What a role asks of the lock."""

    packages: tuple[str, ...]
    kernel: str | None = None
    declared: Declared = field(default_factory=Declared)
    #: Packages that are files of the composition.
    debs: tuple[OwnFile, ...] = ()
    #: By name.
    archives: t.Mapping[str, OwnArchive] = field(default_factory=dict)

    @property
    def named(self) -> list[str]:
        """Of Debian's archives."""
        return sorted({*self.packages, *(KERNEL_SUPPORT if self.kernel else ())})

    @property
    def requested(self) -> list[str]:
        return sorted([*self.named, *{f"./{file.filename}" for file in self.debs}])


def lock_path(composition: str) -> str:
    return os.path.join(composition, LOCK_FILE)


@dataclass(frozen=True)
class Locked:
    """The lock of a composition, and the digest of all that it says."""

    lock: Lock
    digest: str


def read_lock(composition: str) -> Locked | None:
    """The lock of a composition, ``None`` where there is none. :raises InputError: not a lock."""
    path = lock_path(composition)
    try:
        with open(path, encoding="utf-8") as stream:
            data = json_of(stream.read())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}; {HOW_TO_LOCK}") from None
    try:
        lock = codec.decode(Lock, data, "lock")
    except codec.NewerError as error:
        raise InputError(f"{path}: {error.message}") from None
    except InputError as error:
        raise InputError(f"{path}: {error.message}; {HOW_TO_LOCK}") from None
    unknown = [
        f"{part}.{name}: {package!r} is not one of its packages"
        for part, layers in (("sets", lock.sets), ("roles", lock.roles))
        for name, layer in layers.items()
        for package in (*layer.packages, *([layer.kernel] if layer.kernel else []))
        if package not in lock.packages
    ]
    if unknown:
        raise InputError(f"{path}: lock.{'; '.join(unknown[:SHOWN])}; {HOW_TO_LOCK}")
    said = {key: value for key, value in data.items() if key != "schema"}
    return Locked(lock, hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest())


def differences(lock: Lock, suite: str, name: str, wanted: Wanted) -> list[str]:
    """What of a lock does not fit a role, each in words; empty if the role can be built from it."""
    found = []
    if lock.suite != suite:
        found.append(f"the suite is {suite!r}, the lock has {lock.suite!r}")
    for layer, (_dummy, requested) in LAYERS.items():
        if layer not in lock.sets or lock.sets[layer].requested != sorted(requested):
            found.append(f"the collection's own package list {layer!r} has changed")
    locked = lock.roles.get(name)
    if locked is None:
        return [*found, f"role {name!r} is not in it"]
    before, now = set(locked.requested), set(wanted.requested)
    where = f"roles.{name}"
    found += [f"{where}.packages: {package!r} is not locked" for package in sorted(now - before)]
    found += [f"{where}.packages: {package!r} is locked but no longer wanted" for package in sorted(before - now)]
    if locked.requested_kernel != wanted.kernel:
        found.append(f"{where}.kernel is {wanted.kernel!r}, the lock has {locked.requested_kernel!r}")
    found += _other_files(lock, locked, where, wanted)
    if lock.numbers is not None:
        found += _unnumbered(lock.numbers, where, wanted.declared)
    return found


def _other_files(lock: Lock, locked: Layer, where: str, wanted: Wanted) -> t.Iterator[str]:
    """Files of the composition that are not those that are locked."""
    hashes = {each.filename: each.sha256 for each in lock.packages.values() if each.archive == COMPOSITION}
    for file in wanted.debs:
        other = file.other_than(hashes.get(file.filename, file.sha256))
        if other:
            yield f"{where}.packages: {other}"
    for name in sorted(locked.archives.keys() - wanted.archives.keys()):
        yield f"{where}.archives.{name} is locked but no longer wanted"
    for name, now in sorted(wanted.archives.items()):
        before = locked.archives.get(name)
        if before is None:
            yield f"{where}.archives.{name} is not locked"
            continue
        if before.version != now.version:
            yield f"{where}.archives.{name}.version is {now.version!r}, the lock has {before.version!r}"
        if before.filename != now.file.filename:
            yield f"{where}.archives.{name}.source is {now.file.filename!r}, the lock has {before.filename!r}"
        other = now.file.other_than(before.sha256)
        if other:
            yield f"{where}.archives.{name}: {other}"


def _unnumbered(numbers: Numbers, where: str, declared: Declared) -> t.Iterator[str]:
    """Users and groups whose numbers are not those that are kept."""
    for name, asked in sorted(declared.users.items()):
        number = numbers.users.get(name)
        if number is None:
            yield f"{where}.users: no number is kept for {name!r}"
        elif asked not in (None, number):
            yield f"{where}.users.{name}.uid is {asked}, the lock keeps {number}"
    for name in sorted(set(declared.groups) - numbers.groups.keys()):
        yield f"{where}.users: no number is kept for the group {name!r}"


#: The content of a lock, as JSON has it.
Content = dict[str, t.Any]


def make_lock(suite: str, architecture: str, roles: t.Mapping[str, Wanted], progress: Progress) -> Content:
    """A new lock without numbers, from the Debian archives this host is configured for.

    :raises InputError: a package that does not exist or cannot be installed, with its role.
    :raises CommandError: the archives cannot be read.
    """
    packages: dict[str, Package] = {}
    sets: dict[str, dict[str, t.Any]] = {}
    closures: dict[str, set[str]] = {}
    locked_roles: dict[str, dict[str, t.Any]] = {}
    own = {name: read_packages(wanted.debs, architecture, f"roles.{name}.packages") for name, wanted in roles.items()}
    for role, wanted in roles.items():
        for name, archive in wanted.archives.items():
            check_archive(archive.file, f"roles.{role}.archives.{name}")
    with TemporaryDirectory("lock") as directory:
        apt = PrivateApt(directory, suite, architecture, configured_mirrors(), progress)
        apt.update()

        def resolve(names: t.Sequence[str], where: str, own: t.Sequence[OwnPackage] = ()) -> set[str]:
            progress.say(f"lock: resolving {where}")
            found = apt.closure(names, where, own)
            for name, package in found.items():
                other = packages.setdefault(name, package)
                if other != package:
                    raise InputError(
                        f"{where}: {name} would be {package.version} ({package.filename}) there, and is "
                        f"{other.version} ({other.filename}) elsewhere in the composition, which has each package once"
                    )
            return set(found)

        for name, wanted in sorted(roles.items()):  # first, because resolving takes seconds
            apt.check_names(wanted.named, f"roles.{name}.packages")
            apt.check_names([wanted.kernel] if wanted.kernel else [], f"roles.{name}.kernel")
        for layer, (below, requested) in LAYERS.items():
            closures[layer] = resolve([*ESSENTIAL, *requested], layer)
            beneath: set[str] = set().union(*(closures[name] for name in below))
            sets[layer] = {"requested": sorted(requested), "packages": sorted(closures[layer] - beneath)}
        for name, wanted in sorted(roles.items()):
            where = f"roles.{name}.packages"
            closure = resolve([*sorted(closures["base"]), *wanted.named], where, own[name])
            entry: dict[str, t.Any] = {"requested": wanted.requested, "packages": sorted(closure - closures["base"])}
            if wanted.archives:
                entry["archives"] = _archives(wanted.archives, closure, f"roles.{name}.archives")
            if wanted.kernel is not None:
                where = f"roles.{name}.kernel"
                entry["requested_kernel"] = wanted.kernel
                entry["kernel"] = _kernel_image(resolve([wanted.kernel], where), wanted.kernel, where)
            locked_roles[name] = entry
    used = {name for layer in sets.values() for name in layer["packages"]}
    for entry in locked_roles.values():
        used.update(entry["packages"], [entry["kernel"]] if "kernel" in entry else [])
    return {
        "schema": Lock.schema,
        "suite": suite,
        "architecture": architecture,
        "sets": sets,
        "roles": locked_roles,
        "packages": {name: asdict(packages[name]) for name in used},
    }


def _archives(
    archives: t.Mapping[str, OwnArchive], packages: t.Container[str], where: str
) -> dict[str, dict[str, t.Any]]:
    """As the lock has them. :raises InputError: a package has the name of one."""
    for name, archive in archives.items():
        if name in packages:
            raise InputError(f"{where}.{name}: {archive.file.path} has the name of a package of the role: give another")
    return {
        name: asdict(LockedArchive(each.version, each.file.filename, each.file.size, each.file.sha256))
        for name, each in archives.items()
    }


def number(
    content: Content, kept: Numbers | None, made: t.Mapping[str, Numbers], roles: t.Mapping[str, Wanted]
) -> Content:
    """The same lock with numbers.

    :param kept: in the lock so far.
    :param made: role → users and groups that its packages make.
    :raises InputError: a number that is asked for is another's.
    """
    numbers = allocate(kept, made, {role: wanted.declared for role, wanted in roles.items()})
    numbered = {
        role: {**layer, "users": moving(made[role].users), "groups": moving(made[role].groups)}
        for role, layer in content["roles"].items()
    }
    return {**content, "roles": numbered, "numbers": asdict(numbers)}


def lock_text(content: Content) -> str:
    """The lock as its file has it."""
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _kernel_image(closure: t.Iterable[str], requested: str, where: str) -> str:
    """The package that holds the kernel itself, where ``requested`` is usually one that only depends on the newest."""
    images = sorted(name for name in closure if name.startswith("linux-image-") and name[len("linux-image-")].isdigit())
    if len(images) != 1:
        raise InputError(f"{where}: {requested!r} does not lead to one kernel but to {images or 'none'}")
    return images[0]
