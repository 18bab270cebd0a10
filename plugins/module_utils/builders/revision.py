# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which git revision a directory is at. PRIVATE to the collection."""

from __future__ import annotations

from ..errors import ComposeError
from ..process import run


def git_revision(directory: str) -> str | None:
    """Commit of the checkout, with ``-dirty`` if files below the directory differ; ``None`` outside a repository."""
    try:
        head = run(["git", "-C", directory, "rev-parse", "--verify", "--quiet", "HEAD"], timeout=10, check=False)
        if head.returncode != 0:
            return None
        changes = run(["git", "-C", directory, "status", "--porcelain", "--", "."], timeout=30, check=False)
    except ComposeError:
        return None
    return head.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")
