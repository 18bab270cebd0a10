# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed build of a Debian image means, in terms a user can act on. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import typing as t
from urllib.parse import unquote

from ...errors import ComposeError, InputError
from ...model.lock import LockedPackage
from ..failures import failed_builders
from ..nix.nix import NixBuildError
from .lock import HOW_TO_LOCK

#: Characters of a store path before its name.
HASH = 33

#: Packages that are named.
_NAMED = 5

_HASH_MISMATCH = re.compile(
    r"hash mismatch in fixed-output derivation '/\S*?/[a-z0-9]{32}-(\S+)\.drv'[^\n]*"
    r"\n\s*specified:\s*(\S+)\s*got:\s*(\S+)"
)


#: As ``nix/debian/build/claims.sh`` says it.
_OTHERS = re.compile(r"packages are others than the lock says: ([^\n]*)")


def others_than_locked(error: NixBuildError) -> str:
    """Of packages that are others than the lock says, what they are; empty if that is not why a build failed."""
    found = _OTHERS.search(error.output)
    return "; ".join(found[1].split("; ")[:_NAMED]) if found else ""


def explain_failure(
    error: NixBuildError, packages: t.Mapping[str, LockedPackage], mirrors: t.Mapping[str, str]
) -> ComposeError:
    """The error to raise instead of ``error``: itself, where Nix's words are all there is to say."""
    explained = _explain(error, packages, mirrors)
    explained.failure = error.failure
    return explained


def _explain(
    error: NixBuildError, packages: t.Mapping[str, LockedPackage], mirrors: t.Mapping[str, str]
) -> ComposeError:
    text = error.output
    kind = error.failure.kind if error.failure else None
    files = {os.path.basename(package.filename): name for name, package in packages.items()}

    def versions(paths: t.Iterable[str]) -> str:
        names = sorted({files.get(unquote(os.path.basename(path)), path) for path in paths})
        return ", ".join(f"{name} {packages[name].version}" if name in packages else name for name in names)

    gone = re.findall(r"unable to download '([^']+)': HTTP error 404", text)
    gone += re.findall(r"unable to download '([^']+)': Couldn't read a file://", text, re.IGNORECASE)
    if gone:
        return InputError(f"the mirror no longer has the locked version of: {versions(gone)}; {HOW_TO_LOCK}")
    other = _HASH_MISMATCH.search(text)
    if other:
        file = next((file for file in files if file.replace("~", "-") == other[1]), other[1])
        return ComposeError(
            f"what the mirror serves as {versions([file])} is not what was locked: expected {other[2]}, got {other[3]}"
        )
    unreachable = re.search(r"unable to download '([^']+)': ([^\n]+)", text)
    if unreachable:
        return ComposeError(
            f"cannot fetch {unreachable[1]}: {unreachable[2]} (configured mirrors: {', '.join(mirrors.values())})"
        )
    if kind == "no-space":
        return ComposeError(
            f"no space left while building, in the Nix store or the directory for builds\n{_tail(text)}"
        )
    killed = re.search(r"failed due to signal (\d+)|builder failed due to signal (\d+)", text)
    if killed:
        return ComposeError(
            f"the build was killed (signal {killed[1] or killed[2]}); run again to continue\n{_tail(text)}"
        )
    if kind == "daemon":
        return ComposeError(f"the Nix daemon was killed or does not run; start it and run again\n{_tail(text)}")
    if "Permission denied" in text:
        return ComposeError(f"no permission to build: run as root\n{_tail(text)}")
    package = failed_without_a_word(error)
    if package:
        return ComposeError(
            f"cannot fetch {os.path.basename(package)[HASH : -len('.drv')]}, and Nix does not say why; run again "
            f"(configured mirrors: {', '.join(mirrors.values())})"
        )
    return error


def failed_without_a_word(error: NixBuildError) -> str | None:
    """Derivation of a package whose download failed with no reason given; ``None`` if there is a reason."""
    if "unable to download" in error.output or "hash mismatch" in error.output:
        return None
    return next(
        (
            derivation
            for derivation, how in failed_builders(error.output).items()
            if derivation.endswith(".deb.drv") and how == "with exit code 1"
        ),
        None,
    )


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-8:])
