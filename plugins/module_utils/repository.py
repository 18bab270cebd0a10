# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a git repository elsewhere has at a revision. PRIVATE to the collection.

The nodes' own program, nix/debian/follow/follow, asks in the same way.
"""

from __future__ import annotations

import io
import os
import tarfile

from .errors import ComposeError
from .process import Completed, run
from .temporary import TemporaryDirectory

#: Seconds for a repository to answer, and to give what it has.
ANSWER, TRANSFER = 60, 600
#: Protocols; others of git's own run commands.
_PROTOCOLS = "file:git:http:https:ssh"
_SSH = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=10"
#: Answers git with a user, which the URL may have instead, and with what is in the file beside it.
_ASKPASS = '#!/bin/sh\ncase $1 in Username*) echo git ;; *) cat "${0%/*}/secret" ;; esac\n'
#: Bytes of a file that is shown.
_SHOWN = 1 << 16


class Repository:
    """A copy of what is needed of it, until it is closed.

    :param url: as ``describe/follow.py`` lets it be.
    :param secret: private key or password that logs in; empty: whoever runs this needs none.
    """

    def __init__(self, url: str, secret: str = "") -> None:
        self.url = url
        self._keep = TemporaryDirectory("follow")
        self._git = os.path.join(self._keep.name, "git")
        self._env = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _PROTOCOLS}
        if secret:
            askpass, file = (os.path.join(self._keep.name, name) for name in ("askpass", "secret"))
            _write(file, secret.rstrip("\n") + "\n", 0o600)
            _write(askpass, _ASKPASS, 0o700)
            self._env |= {"GIT_ASKPASS": askpass, "GIT_SSH_COMMAND": f"{_SSH} -o IdentitiesOnly=yes -i {file}"}
        else:
            self._env |= {"GIT_SSH_COMMAND": _SSH}

    def close(self) -> None:
        self._keep.cleanup()

    def fetch(self, revision: str) -> str:
        """Get a branch, a tag or a commit with what led to it; which commit it is.

        :raises ComposeError: no answer, no such revision; in git's words.
        """
        run(["git", "init", "--quiet", self._git], timeout=ANSWER)
        if len(revision) == 40 and not revision.strip("0123456789abcdef"):
            if self._run("fetch", "--quiet", self.url, revision).returncode != 0:
                # Not every server gives what no branch or tag is at.
                self._well("fetch", "--quiet", self.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            return self._commit(revision)
        told = self._well("ls-remote", "--quiet", self.url, revision)
        refs = {line.partition("\t")[2] for line in told.stdout.splitlines()}
        for ref in (revision, f"refs/{revision}", f"refs/tags/{revision}", f"refs/heads/{revision}"):
            if ref in refs:
                self._well("fetch", "--quiet", "--no-tags", self.url, ref)
                return self._commit("FETCH_HEAD")
        raise ComposeError(f"{self.url} has no branch or tag {revision!r}")

    def archive(self, commit: str) -> bytes:
        """The files of a commit as a tar archive, owned by root; nothing of them but whether they run is a mode."""
        tree = os.path.join(self._keep.name, "tree")
        os.mkdir(tree)
        place = {"GIT_DIR": os.path.join(self._git, ".git"), "GIT_WORK_TREE": tree}
        for command in (["read-tree", commit], ["checkout-index", "--all", "--force"]):
            run(["git", *command], timeout=TRANSFER, env={**self._env, **place}, cwd=tree)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for entry in sorted(os.listdir(tree)):
                archive.add(os.path.join(tree, entry), arcname=entry, filter=_of_root)
        return stream.getvalue()

    def changed(self, old: str, new: str) -> dict[str, tuple[str, str]]:
        """File → its text in two commits, of those that differ. Empty where the old one is not known here."""
        listed = self._run("diff", "--name-only", "--no-renames", "-z", old, new, "--")
        if listed.returncode != 0:
            return {}
        return {name: (self._text(old, name), self._text(new, name)) for name in listed.stdout.split("\0") if name}

    def _text(self, commit: str, name: str) -> str:
        shown = self._run("show", f"{commit}:{name}")
        if shown.returncode != 0:
            return ""
        return shown.stdout if len(shown.stdout) <= _SHOWN and "\0" not in shown.stdout else "(not shown)\n"

    def _commit(self, name: str) -> str:
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found.returncode != 0:
            raise ComposeError(f"{self.url} has no commit {name}")
        return found.stdout.strip()

    def _well(self, *arguments: str) -> Completed:
        done = self._run(*arguments)
        if done.returncode != 0:
            said = " ".join(done.stderr.strip().splitlines()[-5:]) or f"git {arguments[0]}: exit code {done.returncode}"
            raise ComposeError(f"{self.url}: {said}")
        return done

    def _run(self, *arguments: str) -> Completed:
        slow = ("-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={ANSWER}")
        command = ["git", "-C", self._git, *slow, *arguments]
        return run(command, timeout=TRANSFER, check=False, env=self._env)


def _write(path: str, text: str, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as stream:
        stream.write(text)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry
