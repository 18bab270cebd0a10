# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flavours of NixOS Compose, and which of them suits a platform. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ...errors import InputError

#: Flavour → formats of its images, the one preferred for a platform first.
FLAVOURS: t.Mapping[str, frozenset[str]] = {
    "vm": frozenset({"kernel", "initrd"}),
    "vm-ramdisk": frozenset({"kernel", "initrd"}),
    "g5k-ramdisk": frozenset({"kernel", "initrd"}),
    "g5k-nfs-store": frozenset({"kernel", "initrd"}),
    "g5k-image": frozenset({"tar"}),
    "docker": frozenset({"oci"}),
    "nspawn": frozenset({"toplevel"}),
}

#: Format that a platform asks for → flavour that suits it, the first that is asked for.
DEFAULTS = {"kexec": "g5k-ramdisk", "kernel": "vm", "oci": "docker", "tar": "g5k-image", "root": "nspawn"}


def check_formats(formats: t.Sequence[str]) -> None:
    """Before anything is evaluated; what a flavour of the project's own makes is known once it is built.

    :raises InputError: no flavour makes any of these.
    """
    known = {*DEFAULTS}.union(*FLAVOURS.values())
    if formats and not known.intersection(formats):
        raise InputError(
            f"the builder 'nxc' makes no image in format {', '.join(formats)}: it has {', '.join(sorted(known))}; "
            "use a platform that takes one of these"
        )


def flavour_for(formats: t.Sequence[str], asked: str, default: str) -> str:
    """The flavour that is asked for, else one that suits the formats, else the project's own default.

    :raises InputError: none of its images is in a format that the platform wants.
    """
    flavour = asked or next((suits for format_, suits in DEFAULTS.items() if format_ in formats), "")
    flavour = flavour or default or "vm"
    made = FLAVOURS.get(flavour)
    suiting = {"toplevel" if format_ == "root" else format_ for format_ in formats}
    if formats and made is not None and not made & suiting:
        raise InputError(
            f"flavour {flavour!r} makes images in format {', '.join(sorted(made))}, but the platform wants "
            f"{', '.join(formats)}"
        )
    return flavour
