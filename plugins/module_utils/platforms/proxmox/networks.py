# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network interfaces of VMs, as the deployment file and as Proxmox VE write them. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t

from .config import Config

_NET = re.compile(r"net\d+")
#: Models of network cards: the one that is told has the address behind it.
_MODELS = re.compile(
    r"(e1000(-82540em|-82544gc|-82545em|e)?|i82551|i82557b|i82559er|ne2k_isa|ne2k_pci|pcnet|rtl8139|virtio|vmxnet3)"
)


def bridges(networks: t.Iterable[str]) -> set[str]:
    """The bridges that interfaces are on."""
    return {options["bridge"] for options in map(_options, networks) if "bridge" in options}


def changed(config: Config, wanted: t.Mapping[str, str]) -> dict[str, str | None]:
    """Interfaces that are not as they are wanted → what they are to be; ``None``: gone. Addresses stay.

    :param wanted: ``net0`` and so on, with model.
    """
    differing: dict[str, str | None] = {}
    for key, value in wanted.items():
        there = _options(config.get(key))
        if there != _options(value):
            mac = _mac(config.get(key))
            rest = value.partition(",")[2]
            differing[key] = f"virtio={mac},{rest}" if mac else value
    differing.update({key: None for key in config.values if _NET.fullmatch(key) and key not in wanted})
    return dict(sorted(differing.items()))


def shown(key: str, value: str | None) -> str:
    """A value for people; of an interface without its address."""
    if not value:
        return "none"
    if not _NET.fullmatch(key):
        return value
    return ",".join(part for part in value.split(",") if not _MODELS.fullmatch(part.partition("=")[0]))


def _mac(value: str) -> str:
    """Address of an interface; empty if there is none."""
    return next((mac for model, mac in _pairs(value) if _MODELS.fullmatch(model)), "")


def _options(value: str) -> dict[str, str]:
    """All but model and address."""
    return {name: option for name, option in _pairs(value) if not _MODELS.fullmatch(name)}


def _pairs(value: str) -> list[tuple[str, str]]:
    return [(part.partition("=")[0], part.partition("=")[2]) for part in value.split(",") if part]
