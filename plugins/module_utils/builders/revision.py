# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git revisions of a composition: which one a directory is at, and taking another one. PRIVATE to the collection."""

from __future__ import annotations

import os
import pwd
import re
import typing as t
from dataclasses import dataclass, field

from ..errors import ComposeError, InputError, nearest
from ..process import Completed, run
from ..temporary import TemporaryDirectory

#: How git says that a repository belongs to somebody else, and which one.
_NOT_OURS = re.compile(r"dubious ownership in repository at '(.*)'")

#: A repository configures programs that git runs; so does one that lies, as plain files, in one that was just cloned.
_HARMLESS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=explicit")


@dataclass(frozen=True)
class Source:
    """A directory with a composition, for as long as this object lives."""

    path: str
    #: Commit that it was taken from; ``None`` for the directory as it is.
    revision: str | None = None
    _keep: TemporaryDirectory | None = field(default=None, repr=False)


class _NotOurs(InputError):
    """A repository that git does not read for this user."""


class _Repository:
    """The git repository that a directory is in.

    Git reads the repository of another user for nobody: what it has configured is run as a program. For root it is read
    as that user.

    :raises InputError: there is none, or it is another user's.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._as_owner: list[str] = []
        #: Who reads it, if that is its owner and not this user.
        self.owner: os.stat_result | None = None
        found = self("rev-parse", "--show-toplevel")
        refused = _NOT_OURS.search(found.stderr)
        if refused is not None:
            found = self._of_another(refused[1])
        if found.returncode != 0:
            raise InputError(f"{directory} is not in a git repository: {_last(found)}")
        self.top = found.stdout.strip()

    def _of_another(self, repository: str) -> Completed:
        found = os.stat(repository)
        if os.geteuid() == 0:
            self.owner = found
            owner = (f"--reuid={found.st_uid}", f"--regid={found.st_gid}", "--clear-groups")
            self._as_owner = ["setpriv", *owner, "env", "HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent"]
            answer = self("rev-parse", "--show-toplevel")
            if answer.returncode == 0:
                return answer
        raise _NotOurs(
            f"the git repository {repository} belongs to {_user(found.st_uid)}, and git reads it for nobody else;"
            f" 'git config --global --add safe.directory {repository}' allows it"
        )

    def __call__(self, *arguments: str, timeout: float = 10) -> Completed:
        """Run git in the directory, whatever comes of it."""
        command = [*self._as_owner, "git", *_HARMLESS, "-C", self._directory, *arguments]
        return run(command, timeout=timeout, check=False, env={"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"})

    def commit(self, revision: str) -> str:
        """The commit of a revision. :raises InputError: there is none, and why."""
        found = self("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if found.returncode == 0:
            return found.stdout.strip()
        if self("rev-parse", "--is-shallow-repository").stdout.strip() == "true":
            why = f"which is a shallow clone; 'git -C {self.top} fetch --unshallow' gets the rest"
        elif self("rev-parse", "--verify", "--quiet", "HEAD").returncode != 0:
            why = "which has no commit yet"
        else:
            known = self("for-each-ref", "--format=%(refname:short)").stdout.split()
            why = f"which has no such commit, branch or tag{nearest(revision, known) if len(known) < 20 else ''}"
        raise InputError(f"there is no revision {revision!r} in {self.top}, {why}")

    def extract(self, sha: str, directory: str) -> None:
        """The files of a commit, in a directory of their own."""
        archive = os.path.join(directory, "archive.tar")
        tree = os.path.join(directory, sha)
        if self.owner is not None:
            os.chown(directory, self.owner.st_uid, self.owner.st_gid)
        made = self("-C", self.top, "archive", "--output", archive, sha, timeout=300)
        os.chown(directory, os.geteuid(), os.getegid())
        if made.returncode != 0:
            raise InputError(f"git archive {sha} in {self.top} failed: {_last(made)}")
        os.mkdir(tree)
        run(["tar", "--extract", "--no-same-owner", "--file", archive, "--directory", tree], timeout=300)
        os.unlink(archive)


def source_at(directory: str, revision: str) -> Source:
    """The composition in ``directory`` as it was at a git revision; empty: as it is.

    The whole repository is taken, for a composition may use files beside its own directory.

    :raises InputError: no repository, no such revision, or no such directory in it.
    """
    if not revision:
        return Source(directory)
    try:
        repository = _Repository(directory)
        sha = repository.commit(revision)
    except InputError as error:
        raise InputError(f"compose_revision: {error}") from None
    keep = TemporaryDirectory("revision")
    repository.extract(sha, keep.name)
    below = os.path.relpath(os.path.realpath(directory), os.path.realpath(repository.top))
    path = os.path.join(keep.name, sha, below)
    if not os.path.isdir(path):
        raise InputError(f"compose_revision: {directory} does not exist at revision {revision!r} ({sha})")
    return Source(os.path.normpath(path), sha, keep)


def git_revision(directory: str, say: t.Callable[[str], None] | None = None) -> str | None:
    """Commit of the checkout, with ``-dirty`` if files below the directory differ; ``None`` outside a repository.

    :param say: told why a repository that is there could not be read.
    """
    try:
        repository = _Repository(directory)
        head = repository("rev-parse", "--verify", "--quiet", "HEAD")
        if head.returncode != 0:
            return None
        changes = repository("status", "--porcelain", "--", ".", timeout=30)
    except ComposeError as error:
        if say is not None and isinstance(error, _NotOurs):
            say(f"git revision not known: {error}")
        return None
    return head.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")


def _user(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"


def _last(done: Completed) -> str:
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
