# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command on a node left behind. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Output:
    """Exit code and output of one command."""

    returncode: int
    stdout: bytes
    stderr: bytes
    #: The command was killed because its time was over.
    timed_out: bool = False
