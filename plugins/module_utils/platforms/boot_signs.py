# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a console says of a boot that goes nowhere. PRIVATE to the collection."""

from __future__ import annotations

import re

#: Lines of a console in which trouble is looked for.
LINES = 100

_PANIC, _RESCUE, _EMERGENCY, _INITRAMFS, _NO_ROOT = (
    "its kernel has panicked",
    "it is in rescue mode",
    "it is in emergency mode",
    "it is stuck in its initramfs",
    "it finds no root file system",
)

#: What is said → what it means. Only what no system says that goes on booting.
_SIGNS = tuple(
    (re.compile(pattern, re.MULTILINE), meaning)
    for pattern, meaning in (
        (r"Kernel panic - not syncing", _PANIC),
        (r"You are in rescue mode", _RESCUE),
        (r"(?:You are in|Entering|Welcome to) emergency mode", _EMERGENCY),
        (r"Cannot open access to console, the root account is locked", _EMERGENCY),
        (r"Give root password for maintenance", _EMERGENCY),
        (r"^(?:dracut:/#|\(initramfs\)|.*rdsosreport\.txt)", _INITRAMFS),  # dracut, initramfs-tools
        (r"An error occurred in stage 1 of the boot process", _INITRAMFS),  # NixOS
        (r"entering a new prompt", _INITRAMFS),  # Guile, as the initramfs of Guix
        (r"no disk holds the root file system", _NO_ROOT),  # our own
    )
)


def trouble(text: str) -> str:
    """Why a node with this console is not going to come up; empty if nothing speaks for that."""
    for pattern, meaning in _SIGNS:
        if pattern.search(text):
            return meaning
    return ""
