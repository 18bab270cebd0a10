# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a run has given up a deployment: what a step leaves for the steps that follow. PRIVATE to the collection.

A module that was killed, crashed or never started can leave nothing behind on its host; so the controller keeps it.
Each task has a process of its own. What they share is the run's own directory, which Ansible removes at its end.
"""

from __future__ import annotations

from pathlib import Path

from ansible import constants


def remember(deployment: str, why: str) -> None:
    """The first word stays: what follows from it explains nothing."""
    if not recall(deployment):
        _path(deployment).write_text(why, encoding="utf-8")


def recall(deployment: str) -> str:
    """Empty if nothing has failed."""
    try:
        return _path(deployment).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def forget(deployment: str) -> None:
    """A new plan begins anew."""
    _path(deployment).unlink(missing_ok=True)


def _path(deployment: str) -> Path:
    directory = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # made when Ansible starts
    return Path(directory) / f"immutable.compose-given-up-{deployment}"
