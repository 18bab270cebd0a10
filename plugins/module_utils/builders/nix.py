# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix: evaluating, instantiating, building. PRIVATE to the collection.

Only commands that all Nix versions from 2.8 on have alike (``nix-instantiate``, ``nix-store``). What went wrong is told
from the text of Nix's log: its exit codes differ with and without a daemon.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ..errors import CommandError, ComposeError, EvaluationError
from ..process import Completed, run
from ..progress import Progress

EVALUATION_TIMEOUT = 120  #: seconds
BUILD_TIMEOUT = 4 * 3600  #: seconds
DOWNLOADS = 8  #: at the same time

#: What builds need whatever the user's nix.conf says: they mount file systems and set owners.
REQUIRED = {"sandbox": "false", "filter-syscalls": "false", "allow-import-from-derivation": "false"}
#: What is set unless the user's nix.conf has it.
DEFAULTS = {"substituters": "", "max-jobs": "auto", "log-lines": "25"}

_ANSI = re.compile(r"\x1b\[[0-9;]*m")

#: What Nix says when there is no daemon at its socket, or none any more.
DAEMON_LOST = re.compile(
    r"Nix daemon disconnected|unexpected end-of-file|cannot (?:connect to socket|open connection to)|"
    r"Connection reset by peer"
)
NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|disk is full")

#: Why a store cannot be used → what to do.
_STORE_FAULTS = {
    DAEMON_LOST: "see that the Nix daemon runs, and run again",
    NO_SPACE: "make space there, for example with `nix-collect-garbage`",
    re.compile(r"Permission denied|Operation not permitted"): "run as root",
}

# Activity and result types of the internal-json log.
_BUILD = 105
_LOG_LINE, _SET_PHASE = 101, 104


def _configuration() -> str:
    """``NIX_CONFIG`` for every call: the user's, what is required, and defaults for what the user did not set."""
    own = os.environ.get("NIX_CONFIG", "")
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    files = os.environ.get("NIX_USER_CONF_FILES", os.path.join(home, "nix/nix.conf")).split(":")
    texts = [own]
    for path in [os.path.join(os.environ.get("NIX_CONF_DIR", "/etc/nix"), "nix.conf"), *files]:
        try:
            with open(path, encoding="utf-8") as stream:
                texts.append(stream.read())
        except OSError:
            continue
    given = set(re.findall(r"(?m)^\s*(?:extra-)?([a-z-]+)\s*=", "\n".join(texts)))
    settings = {**{key: value for key, value in DEFAULTS.items() if key not in given}, **REQUIRED}
    if os.geteuid() == 0:
        settings["build-users-group"] = ""
    return "\n".join([own, *(f"{key} = {value}" for key, value in settings.items())])


class NixBuildError(CommandError):
    """A build failed; ``output`` is what Nix and the builder said."""


class BuildLog:
    """Follows an internal-json log: tells progress, and keeps what explains a failure.

    :param label: derivation path → how users know it.
    """

    def __init__(self, progress: Progress, label: t.Callable[[str], str]) -> None:
        self._progress = progress
        self._label = label
        self._builds: dict[int, str] = {}
        self._phases: dict[int, str] = {}
        self._unpacked: dict[int, int] = {}
        self._tails: dict[int, list[str]] = {}
        self.finished = 0
        self.messages: list[str] = []

    def __call__(self, line: str) -> None:
        if not line.startswith("@nix "):
            return
        try:
            event = json.loads(line[len("@nix ") :])
        except ValueError:
            return
        action = event.get("action")
        if action == "msg" and event.get("level", 9) <= 1:
            self.messages.append(_ANSI.sub("", event.get("raw_msg") or event.get("msg", "")))
        elif action == "start" and event.get("type") == _BUILD:
            self._builds[event["id"]] = self._label(event["fields"][0])
            self._tails[event["id"]] = []
        elif action == "stop" and event.get("id") in self._builds:
            del self._builds[event["id"]]
            self.finished += 1
        elif action == "result" and event.get("id") in self._builds:
            self._result(event["id"], event["type"], event["fields"])

    def _result(self, build: int, kind: int, fields: list[t.Any]) -> None:
        if kind == _SET_PHASE:
            self._phases[build] = fields[0]
            self._unpacked[build] = 0
            self._progress.say(f"{self._builds[build]}: {fields[0]}")
        elif kind == _LOG_LINE:
            line = _ANSI.sub("", fields[0])
            self._tails[build] = [*self._tails[build][-24:], line]
            if line.startswith(("Unpacking ", "Setting up ")):
                self._unpacked[build] = self._unpacked.get(build, 0) + 1

    def describe(self) -> str:
        """What is being built now."""
        parts = []
        for build, label in list(self._builds.items()):
            steps = self._unpacked.get(build)
            done = f" ({steps} steps of packages done)" if steps else ""
            parts.append(f"{label}: {self._phases.get(build, 'starting')}{done}")
        return "; ".join(parts) or "preparing"

    def explanation(self) -> str:
        """The last lines of the builders that have not ended, or ended last, and Nix's own messages."""
        tails = [line for build in list(self._tails)[-3:] for line in self._tails[build]]
        return "\n".join([*tails, *self.messages])


class Nix:
    """The Nix of this host, applied to one file.

    :param file: Nix file that is a function.
    """

    def __init__(self, file: str, progress: Progress) -> None:
        self._file = file
        self._progress = progress

    def _run(self, command: t.Sequence[str], **options: t.Any) -> Completed:
        return run(command, env={"NIX_CONFIG": _configuration(), "NO_COLOR": "1"}, **options)

    def _arguments(self, arguments: t.Mapping[str, str]) -> list[str]:
        return [word for key, value in arguments.items() for word in ("--argstr", key, value)]

    def evaluate(self, attribute: str, arguments: t.Mapping[str, str]) -> t.Any:
        """Value of an attribute: nothing is built, fetched or written, and no store is needed.

        :raises EvaluationError: with Nix's own words.
        """
        command = ["nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode", "--store", "dummy://"]
        command += [self._file, "-A", attribute, *self._arguments(arguments)]
        return json.loads(self._evaluating(self._run, command))

    def instantiate(self, attributes: t.Sequence[str], arguments: t.Mapping[str, str]) -> list[str]:
        """Paths of the derivations that attributes evaluate to, in their order."""
        command = ["nix-instantiate", self._file]
        for attribute in attributes:
            command += ["-A", attribute]
        command += self._arguments(arguments)
        return [path.split("!")[0] for path in self._evaluating(self._with_store, command).split()]

    def _with_store(self, command: t.Sequence[str], **options: t.Any) -> Completed:
        """Run a program that opens the store. :raises ComposeError: it cannot; says what to do."""
        try:
            return self._run(command, **options)
        except CommandError as error:
            for line in _ANSI.sub("", error.output).splitlines():
                for fault, remedy in _STORE_FAULTS.items():
                    if fault.search(line):
                        raise ComposeError(f"the Nix store cannot be used: {line.strip()}; {remedy}") from None
            raise

    def _evaluating(self, run_: t.Callable[..., Completed], command: t.Sequence[str]) -> str:
        try:
            return run_(command, timeout=EVALUATION_TIMEOUT).stdout
        except CommandError as error:
            text = _ANSI.sub("", error.output)
            lines = [line for line in text.splitlines() if not line.startswith("warning:")]
            raise EvaluationError("\n".join(lines[-30:]).strip() or str(error)) from None

    def is_valid(self, paths: t.Sequence[str]) -> bool:
        """Whether all these store paths exist and are complete."""
        done = self._run(["nix-store", "--check-validity", *paths], timeout=60, check=False)
        return done.returncode == 0

    def missing(self, derivations: t.Sequence[str]) -> list[str]:
        """Derivations that would have to be built (downloads of inputs included) to realise these."""
        command = ["nix-store", "--realise", "--dry-run", *derivations]
        shown = self._with_store(command, timeout=EVALUATION_TIMEOUT).stderr
        missing = []
        building = False
        for line in shown.splitlines():
            if line.startswith("  "):
                if building:
                    missing.append(line.strip())
            else:
                building = "built" in line
        return missing

    def realise(
        self, derivations: t.Sequence[str], log: BuildLog, describe: t.Callable[[], str], *options: str
    ) -> list[str]:
        """Build; returns the output paths.

        :raises NixBuildError: a build failed.
        """
        command = ["nix-store", "--realise", *derivations, "--log-format", "internal-json", "-v", *options]
        try:
            with self._progress.waiting(describe):
                done = self._run(command, timeout=BUILD_TIMEOUT, on_line=log)
        except CommandError as error:
            output = log.explanation() or error.output
            raise NixBuildError("nix-store --realise " + " ".join(options), error.returncode, output) from None
        return done.stdout.split()

    def add_root(self, link: str, path: str) -> None:
        """Protect a store path from garbage collection by a symbolic link to it."""
        os.makedirs(os.path.dirname(link), exist_ok=True)
        self._with_store(["nix-store", "--realise", path, "--add-root", link, "--indirect"], timeout=60)
