# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix: evaluating, instantiating, building, caches. PRIVATE to the collection.

Only commands that all Nix versions from 2.8 on have alike.
"""

from __future__ import annotations

import os
import re
import shutil
import typing as t
from dataclasses import dataclass

from ...describe.options import Option
from ...errors import CommandError, ComposeError, EvaluationError, InputError
from ...files import replace_link
from ...model.answer import json_answer
from ...process import Completed, need, run
from ...progress import Progress
from ..base import Builder
from ..differences import told
from ..failures import NIX_CAUSES, failed_builders, nix_evaluation_failure, nix_failure, with_failure
from .log import ANSI, BuildLog
from .own_store import OwnStore

T = t.TypeVar("T")

EVALUATION_TIMEOUT = 120  #: seconds, without Nixpkgs
NIXPKGS_TIMEOUT = 1800  #: seconds, for evaluations that may fetch and read all of Nixpkgs
BUILD_TIMEOUT = 4 * 3600  #: seconds
DOWNLOADS = 8  #: at the same time
EVALUATION_MEMORY = 4 * 2**30  #: bytes of address space, for evaluations that are confined

#: What is set unless the user's nix.conf has it.
DEFAULTS = {"substituters": "", "max-jobs": "auto", "log-lines": "25"}

#: Options of every builder that builds with Nix.
NIX_OPTIONS: t.Mapping[str, Option] = {
    "substituters": Option(
        list,
        [],
        "Binary caches to fetch from, besides those of C(nix.conf): URLs of the kinds C(file), C(http), C(https), "
        "C(ssh), C(ssh-ng) and C(s3).",
    ),
    "trusted_public_keys": Option(list, [], "Public keys, C(NAME:KEY), whose signatures are trusted."),
    "remote_builders": Option(
        list,
        [],
        "Machines that build for this host, each a line of Nix's setting C(builders): C(ssh-ng://host system …).",
    ),
    "push_to": Option(str, "", "Binary cache to which every built image is copied, a URL as in O(substituters)."),
    "signing_key": Option(
        str, "", "File on the builder host with the secret key that signs what is copied to O(push_to)."
    ),
}

#: Why a store cannot be used → what to do.
_CAUSES = dict(NIX_CAUSES)
_STORE_FAULTS = {
    _CAUSES["daemon"]: "make sure that the Nix daemon is running, and run again",
    _CAUSES["no-space"]: "make space there, for example with `nix-collect-garbage`",
    re.compile(r"Permission denied|Operation not permitted"): "run as root",
}

#: What is said where there is no more of :data:`EVALUATION_MEMORY`.
_NO_MEMORY = re.compile(r"Failed to expand heap|Out of Memory|out of memory|std::bad_alloc|Cannot allocate memory")

#: Features of the newer commands, as every Nix from 2.8 on calls them.
_FEATURES = ("--extra-experimental-features", "nix-command flakes")


def settings_of(builder: Builder) -> dict[str, str]:
    """Nix's settings that the options of a builder ask for."""
    lists = {
        "extra-substituters": " ".join(builder.option("substituters")),
        "extra-trusted-public-keys": " ".join(builder.option("trusted_public_keys")),
        "builders": " ; ".join(builder.option("remote_builders")),
    }
    return {key: value for key, value in lists.items() if value}


class NixBuildError(CommandError):
    """A build failed; ``output`` is what Nix and the builder said."""


@dataclass(frozen=True)
class _Texts:
    """What a derivation with structured attributes writes."""

    ignores_unknown: t.ClassVar[bool] = True

    text: t.Optional[str] = None  # noqa: UP045 - read at run time


class Nix:
    """The Nix of this host.

    :param settings: of ``nix.conf``, which win over the user's.
    :param own_caches: fetch from the caches that Nix has by default, too, where the user's nix.conf names none: for
        what is built with Nixpkgs.
    :param own_store: used in place of the store of this host.
    """

    def __init__(
        self,
        progress: Progress,
        settings: t.Mapping[str, str] | None = None,
        *,
        own_caches: bool = False,
        own_store: OwnStore | None = None,
    ) -> None:
        self._progress = progress
        self._own_store = own_store
        self._settings = settings or {}
        self._defaults = {key: value for key, value in DEFAULTS.items() if key != "substituters" or not own_caches}

    def _run(self, command: t.Sequence[str], **options: t.Any) -> Completed:
        """Run a program that uses the store."""
        if self._own_store is None:
            return self._run_plain(command, **options)
        return self._run_plain(self._own_store.enter(command), self._own_store.environment, **options)

    def _run_plain(
        self, command: t.Sequence[str], environment: t.Mapping[str, str] | None = None, **options: t.Any
    ) -> Completed:
        settings = {"NIX_CONFIG": _configuration(self._settings, self._defaults), "NO_COLOR": "1"}
        return run(command, env={**settings, **(environment or {})}, **options)

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(
        self,
        type_: type[T],
        file: str,
        attribute: str,
        arguments: t.Mapping[str, str],
        *,
        store: bool = False,
        writes: bool = False,
        within: t.Sequence[str] = (),
    ) -> T:
        """Value of an attribute of a file that is a function. Nothing is built.

        :param type_: of the value.
        :param within: the directories of which all is that the expression may read, and it may fetch nothing; empty:
            it may do whatever this user may.
        :param store: what is evaluated needs a store: it has the paths of derivations from Nixpkgs, or fetches inputs.
            Without it, nothing is fetched or written.
        :param writes: derivations that the value names are written to the store, to be built.
        :raises EvaluationError: with Nix's own words.
        :raises WrongAnswer: the value is not of that type.
        """
        command = [*_confined("nix-instantiate", within), "--eval", "--strict", "--json"]
        if not store:
            command += ["--readonly-mode", "--store", "dummy://"]
        elif writes:
            command.append("--read-write-mode")
        command += [file, "-A", attribute, *_arguments(arguments)]
        told = self._evaluating(self._with_store if store else self._run_plain, command, store)
        return json_answer(type_, told, f"Nix: {attribute} of {file}")

    def instantiate(
        self,
        file: str,
        attributes: t.Sequence[str],
        arguments: t.Mapping[str, str],
        *,
        nixpkgs: bool = False,
        within: t.Sequence[str] = (),
    ) -> list[str]:
        """Paths of the derivations that attributes evaluate to, in their order.

        :param within: as of :meth:`evaluate`.
        """
        command = [*_confined("nix-instantiate", within), file]
        for attribute in attributes:
            command += ["-A", attribute]
        command += _arguments(arguments)
        return [path.split("!")[0] for path in self._evaluating(self._with_store, command, nixpkgs).split()]

    def command(self, *arguments: str, timeout: float = NIXPKGS_TIMEOUT, **options: t.Any) -> Completed:
        """Run ``nix``, the newer command.

        :raises CommandError: with Nix's own words; ``failure`` says which kind.
        """
        try:
            return self._with_store(["nix", *_FEATURES, *arguments], timeout=timeout, **options)
        except CommandError as error:
            text = ANSI.sub("", error.output)
            with_failure(error, nix_failure(text) or nix_evaluation_failure(text))
            raise

    def wrapped(self, command: t.Sequence[str], **options: t.Any) -> Completed:
        """Run another program that calls Nix, with the same settings."""
        return self._with_store(command, **options)

    def _evaluating(self, run_: t.Callable[..., Completed], command: t.Sequence[str], long: bool) -> str:
        try:
            with self._progress.waiting(lambda: "evaluating"):
                return run_(command, timeout=NIXPKGS_TIMEOUT if long else EVALUATION_TIMEOUT).stdout
        except CommandError as error:
            text = ANSI.sub("", error.output)
            if _NO_MEMORY.search(text):
                raise EvaluationError(f"it needs more than {EVALUATION_MEMORY / 2**30:.1f} GiB of memory") from None
            lines = [line for line in text.splitlines() if not line.startswith("warning:")]
            explained = EvaluationError("\n".join(lines[-30:]).strip() or str(error))
            with_failure(explained, nix_evaluation_failure(text))
            raise explained from None

    def _with_store(self, command: t.Sequence[str], **options: t.Any) -> Completed:
        """Run a program that opens the store. :raises ComposeError: it cannot; says what to do."""
        try:
            return self._run(command, **options)
        except CommandError as error:
            text = ANSI.sub("", error.output)
            for line in text.splitlines():
                for fault, remedy in _STORE_FAULTS.items():
                    if fault.search(line):
                        unusable = ComposeError(f"the Nix store cannot be used: {line.strip()}; {remedy}")
                        raise with_failure(unusable, nix_failure(text)) from None
            raise

    # -- the store -----------------------------------------------------------------------------------------------

    def outputs(self, derivations: t.Sequence[str]) -> list[str]:
        """Output path of each derivation, built or not."""
        return self._query("--outputs", derivations)

    def closure(self, paths: t.Sequence[str]) -> list[str]:
        """The paths and all that they refer to, for paths that exist."""
        return self._query("--requisites", paths)

    def references(self, path: str) -> list[str]:
        """What a path, or a derivation, refers to directly."""
        return self._query("--references", [path])

    def derivers(self, paths: t.Sequence[str]) -> list[str]:
        """The derivations that paths were built from, as far as the store knows."""
        return [path for path in self._query("--deriver", paths) if path != "unknown-deriver"]

    def text_of(self, derivation: str) -> str | None:
        """Content of the file that a derivation writes, if it is a text that is in the derivation, as of Nixpkgs'
        ``writeText``; ``None`` for a derivation of another kind."""
        for name in ("text", "__json"):
            command = ["nix-store", "--query", "--binding", name, derivation]
            done = self._run(command, timeout=EVALUATION_TIMEOUT, check=False)
            if done.returncode == 0:
                text = done.stdout[:-1]  # a line end of nix-store's own
                return text if name == "text" else json_answer(_Texts, text, f"Nix: {name} of {derivation}").text
        return None

    def _query(self, question: str, paths: t.Sequence[str]) -> list[str]:
        return self._with_store(["nix-store", "--query", question, *paths], timeout=EVALUATION_TIMEOUT).stdout.split()

    def is_valid(self, paths: t.Sequence[str]) -> bool:
        """Whether all these store paths exist and are complete."""
        done = self._run(["nix-store", "--check-validity", *paths], timeout=60, check=False)
        return done.returncode == 0

    def add_root(self, link: str, path: str) -> None:
        """Protect a store path from garbage collection by a symbolic link to it.

        In an own store Nix knows another link, beside it, to where the path is only there.
        """
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if self._own_store is None:
            known = link
        else:
            known = f"{link}+store"
            replace_link(link, self._own_store.file(path))
        self._with_store(["nix-store", "--realise", path, "--add-root", known, "--indirect"], timeout=60)

    def file(self, path: str) -> str:
        """Where a store path lies, for those who are not Nix."""
        return path if self._own_store is None else self._own_store.file(path)

    # -- builds --------------------------------------------------------------------------------------------------

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

        :raises NixBuildError: a build failed; ``failure`` says how.
        """
        command = ["nix-store", "--realise", *derivations, "--log-format", "internal-json", "-v", *options]
        try:
            with self._progress.waiting(describe):
                done = self._run(command, timeout=BUILD_TIMEOUT, on_line=log)
        except CommandError as error:
            output = log.explanation() or error.output
            for derivation in failed_builders(output):
                output += f"\nthe whole log: nix-store --read-log {derivation}"
            failed = NixBuildError("nix-store --realise " + " ".join(options), error.returncode, output)
            raise with_failure(failed, nix_failure(output)) from None
        return done.stdout.split()

    def rebuild(self, derivations: t.Sequence[str], log: BuildLog, describe: t.Callable[[], str]) -> str:
        """Build again, on one processor, and compare: what differs, in Nix's words; empty if nothing does.

        :raises NixBuildError: the build failed.
        """
        # Where there is a hook that looks at outputs that differ, they are kept beside the first ones; nothing else is.
        hook = ["--option", "run-diff-hook", "true", "--option", "diff-hook", shutil.which("true") or ""]
        try:
            self.realise(derivations, log, describe, "--check", "--keep-going", "--cores", "1", *hook)
        except NixBuildError as error:
            differences = told(error.output, self.file)
            if not differences:
                raise
            return differences
        return ""

    def push(self, paths: t.Sequence[str], cache: str, signing_key: str) -> None:
        """Copy paths with their closures to a binary cache; nothing if ``cache`` is empty.

        :param signing_key: file with the secret key that signs them first; empty: as they are.
        """
        if not cache:
            return
        if signing_key and not os.path.isfile(signing_key):
            raise InputError(f"signing_key: {signing_key} is not a file on this host")
        with self._progress.waiting(lambda: f"copying to {cache}"):
            if signing_key:
                self.command("store", "sign", "--recursive", "--key-file", signing_key, *paths)
            self.command("copy", "--to", cache, *paths, timeout=BUILD_TIMEOUT)


def _confined(program: str, directories: t.Sequence[str]) -> list[str]:
    """A program of Nix that evaluates what has these directories only; with none of them, as it is."""
    if not directories:
        return [program]
    need(program, "prlimit")
    settings = {
        "restrict-eval": "true",
        "allowed-uris": "",
        "nix-path": "",
        "allow-import-from-derivation": "false",
        "allow-unsafe-native-code-during-evaluation": "false",
    }
    # Both a directory and what its links lead to must be allowed: the latter first, for Nix 2.26 follows them at once.
    paths = dict.fromkeys(path for directory in directories for path in (os.path.realpath(directory), directory))
    return [
        "prlimit",
        f"--as={EVALUATION_MEMORY}",
        "env",
        "NIX_PATH=",
        program,
        *(word for key, value in settings.items() for word in ("--option", key, value)),
        *(word for path in paths for word in ("-I", path)),
    ]


def _arguments(arguments: t.Mapping[str, str]) -> list[str]:
    return [word for key, value in arguments.items() for word in ("--argstr", key, value)]


def _configuration(settings: t.Mapping[str, str], unless_given: t.Mapping[str, str]) -> str:
    """``NIX_CONFIG`` for every call: the user's, defaults for what the user did not set, and ``settings``."""
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
    defaults = {key: value for key, value in unless_given.items() if key not in given}
    if os.geteuid() == 0 and "build-users-group" not in given:
        defaults["build-users-group"] = ""  # the group that Nix looks for otherwise need not exist
    return "\n".join([own, *(f"{key} = {value}" for key, value in {**defaults, **settings}.items())])
