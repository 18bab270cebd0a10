# SPDX-License-Identifier: GPL-3.0-or-later
"""A state directory in words, without what is another one in each run."""

from __future__ import annotations

import difflib
import os
import re
import stat
from pathlib import Path

#: What → how it is.
Picture = dict[str, str]

#: Words in files that are others each time, and what they are.
_VARYING = {
    re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----.*?-----END OPENSSH PRIVATE KEY-----", re.DOTALL): "PRIVATE KEY",
    re.compile(r"AAAA[\w+/=]{40,}"): "KEY",
    re.compile(r'"document_digest": "[^"]+"'): '"document_digest": …',
    re.compile(r'"created": "[^"]+"'): '"created": …',
}
#: Whether they are there follows from when a run ended: consoles of before, what was found in checks (when a run went
#: back, say), locks of systemd-nspawn.
_CHANCE = re.compile(r"nodes/\w+/console\.log\.1|results(/\w+(/\w+\.\w+)?)?|images/\.#[^/]*\.lck")
#: Their content tells of the last run.
_OF_A_RUN = re.compile(r"lock|nodes/\w+/console\.log")


def take(state: Path) -> Picture:
    """All files of a state directory."""
    found = {}
    for folder, folders, files in os.walk(state):
        for name in (*folders, *files):
            path = Path(folder, name)
            where = str(path.relative_to(state))
            if not _CHANCE.fullmatch(where):
                found[where] = f"{stat.filemode(path.lstat().st_mode)} {_content(path, where)}"
        folders[:] = [name for name in folders if not os.path.ismount(os.path.join(folder, name))]
    return found


def _content(path: Path, where: str) -> str:
    if path.is_symlink():
        return str(path.readlink())
    if path.is_dir() or _OF_A_RUN.fullmatch(where):
        return ""
    text = path.read_text()
    for pattern, what in _VARYING.items():
        text = pattern.sub(what, text)
    return text


def differences(meant: Picture, found: Picture) -> list[str]:
    """Each thing that is not as it is meant to be, with the lines that differ."""
    return [
        line
        for what in sorted({*meant, *found})
        for line in difflib.unified_diff(
            meant.get(what, "MISSING").splitlines(), found.get(what, "MISSING").splitlines(), what, what, "", "", 0, ""
        )
    ]
