# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guix: evaluating, building, asking the store. PRIVATE to the collection.

Store paths and derivations come from standard output; all else Guix tells is text on standard error.
"""

from __future__ import annotations

import os
import re
import shlex
import typing as t

from ...errors import CommandError, ComposeError, EvaluationError
from ...process import Completed, need, run
from ...progress import Progress
from ..differences import told
from ..failures import with_failure
from .failures import guix_failure
from .log import GuixLog

QUERY_TIMEOUT = 120  #: seconds
BUILD_TIMEOUT = 6 * 3600  #: seconds; an evaluation may build, too: another Guix, what is to be grafted

_REMEDIES = {
    "daemon": "make sure that guix-daemon is running and that daemon_socket names it, and run again",
    "no-space": "make space there, for example with `guix gc`",
    "cache-unsigned": "authorize the key on the builder host: guix archive --authorize < KEY",
    "tool-too-old": "run `guix pull`, or pin newer channels",
}
_OUTPUT = re.compile(r'\("out","([^"]+)"')


class Guix:
    """The Guix of this host, or the one that channels pin.

    :param channels: file for ``guix time-machine``; empty: the Guix of this host as it is.
    :param socket: of the daemon; empty: as the environment of this host says.
    :param setup: parameters of the deployment, as JSON.
    """

    def __init__(self, progress: Progress, channels: str, socket: str, setup: str) -> None:
        self._progress = progress
        self._pinned = ["guix", "time-machine", "-C", channels, "--"] if channels else ["guix"]
        # Guix translates its messages.
        self._environment = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C", "COMPOSE_SETUP": setup}
        if socket:
            self._environment["GUIX_DAEMON_SOCKET"] = socket

    def evaluate(self, script: str, *arguments: str) -> str:
        """What a Scheme program says of the file that is the last argument, run in the directory of that, without a
        daemon, by the Guix of this host."""
        file = arguments[-1]
        return self._ask(["guix", "repl", *arguments[:-1], "--", script, file], cwd=os.path.dirname(file))

    def image_derivation(self, what: str, directory: str, *arguments: str) -> str:
        """Evaluate the operating system of an image; returns the derivation of the image.

        :param what: what it is for: ``evaluate server``.
        :param directory: where that has its files.
        :raises EvaluationError: a file does not evaluate: Guix's own words.
        :raises CommandError: anything else that went wrong; ``failure`` says what.
        """
        done = self._follow([*self._pinned, "system", "image", "-d", *arguments], what, directory)
        return done.stdout.split()[-1]

    def rebuild(self, what: str, derivation: str, *arguments: str) -> str:
        """Build a derivation again, on one processor, and compare: what differs, in Guix's words; empty if nothing
        does."""
        try:
            self._follow(["guix", "build", "--check", "--keep-failed", *arguments, "--cores=1", derivation], what)
        except CommandError as error:
            if error.failure is None or error.failure.kind != "not-reproducible":
                raise
            return told(error.failure.message)
        return ""

    def realise(self, what: str, derivations: t.Sequence[str], *arguments: str) -> None:
        """Build or fetch the outputs of derivations."""
        self._follow(["guix", "build", *arguments, *derivations], what)

    def closure(self, path: str) -> list[str]:
        """A path of the store, and all that it refers to."""
        return self._ask(["guix", "gc", "--requisites", path]).split()

    def is_valid(self, path: str) -> bool:
        """Whether the store has this path, complete."""
        if not os.path.exists(path):
            return False
        command = ["guix", "gc", "--references", path]
        return run(command, timeout=QUERY_TIMEOUT, env=self._environment, check=False).returncode == 0

    def output(self, derivation: str) -> str:
        """Output path of a derivation, built or not."""
        try:
            with open(derivation, encoding="utf-8") as stream:
                found = _OUTPUT.search(stream.read())
        except OSError as error:
            raise ComposeError(
                f"{derivation} cannot be read on this host: {error.strerror}; the store of a daemon elsewhere has "
                "to be mounted here"
            ) from None
        if found is None:
            raise ComposeError(f"{derivation} has no output 'out'")
        return found[1]

    def channels(self) -> str:
        """The channels of the Guix that is used, each with its commit, as a channel file."""
        return self._ask([*self._pinned, "describe", "--format=channels"], BUILD_TIMEOUT)

    def _ask(self, command: t.Sequence[str], timeout: float = QUERY_TIMEOUT, cwd: str | None = None) -> str:
        try:
            with self._progress.waiting(lambda: shlex.join(command[:3])):
                return run(command, timeout=timeout, env=self._environment, cwd=cwd).stdout
        except CommandError as error:
            raise _explained(error, error.output) from None

    def _follow(self, command: t.Sequence[str], what: str, cwd: str | None = None) -> Completed:
        log = GuixLog(self._progress, what)
        need("guix")
        try:
            with self._progress.waiting(log.describe):
                return run(command, timeout=BUILD_TIMEOUT, env=self._environment, cwd=cwd, on_line=log)
        except CommandError as error:
            raise _explained(error, log.explanation() or error.output) from None


def _explained(error: CommandError, output: str) -> ComposeError:
    """The error to raise, with the kind of failure and what to do."""
    failure = guix_failure(output)
    if failure.kind == "evaluation":
        return with_failure(EvaluationError(failure.message), failure)
    explained: ComposeError = error
    if failure.kind in _REMEDIES:
        explained = ComposeError(f"{failure.message}; {_REMEDIES[failure.kind]}")
    return with_failure(explained, failure)
