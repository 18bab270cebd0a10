# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git revisions of a composition: which one a directory is at, and taking another one. PRIVATE to the collection."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field

from ..errors import CommandError, ComposeError, InputError
from ..process import run


@dataclass(frozen=True)
class Source:
    """A directory with a composition, for as long as this object lives."""

    path: str
    #: Commit that it was taken from; ``None`` for the directory as it is.
    revision: str | None = None
    _keep: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)


def source_at(directory: str, revision: str) -> Source:
    """The composition in ``directory`` as it was at a git revision; empty: as it is.

    The whole repository is taken, for a composition may use files beside its own directory.

    :raises InputError: no repository, no such revision, or no such directory in it.
    """
    if not revision:
        return Source(directory)
    git = ["git", "-C", directory]
    try:
        top = run([*git, "rev-parse", "--show-toplevel"], timeout=10).stdout.strip()
        commit = run([*git, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"], timeout=10)
    except CommandError as error:
        raise InputError(f"compose_revision: {directory} cannot be had at revision {revision!r}: {error}") from None
    sha = commit.stdout.strip()
    keep = tempfile.TemporaryDirectory(prefix="compose-revision-")
    archive = os.path.join(keep.name, "archive.tar")
    tree = os.path.join(keep.name, sha)
    os.mkdir(tree)
    run(["git", "-C", top, "archive", "--output", archive, sha], timeout=300)
    run(["tar", "--extract", "--file", archive, "--directory", tree], timeout=300)
    os.unlink(archive)
    path = os.path.join(tree, os.path.relpath(os.path.realpath(directory), os.path.realpath(top)))
    if not os.path.isdir(path):
        raise InputError(f"compose_revision: {directory} does not exist at revision {revision!r} ({sha})")
    return Source(os.path.normpath(path), sha, keep)


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
