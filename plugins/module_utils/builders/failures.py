# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of failures of the tools that build, told from their own words. PRIVATE to the collection.

Exit codes do not tell: ``nix build`` and every Guix command end with 1 whatever went wrong, and ``nix-build`` does so
when it builds through a daemon. The texts are those of Nix 2.8, 2.26 and 2.34; those of Guix are in
:mod:`.guix_failures`.
"""

from __future__ import annotations

import re
import typing as t

from ..errors import ComposeError, Failure

#: What may go wrong. ``fetch``: a source, not a cache. ``system``: built for another system than this host can build.
KINDS = (
    "evaluation",
    "build",
    "hash-mismatch",
    "timeout",
    "not-reproducible",
    "no-space",
    "daemon",
    "cache-unreachable",
    "cache-unsigned",
    "cache-damaged",
    "tool-too-old",
    "feature-missing",
    "fetch",
    "system",
)


Causes = t.Sequence[tuple[str, t.Pattern[str]]]

#: Kind → what Nix says, the more specific first.
NIX_CAUSES: Causes = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("feature-missing", r"experimental (?:Nix )?feature '[^']+' is disabled"),
        (
            "tool-too-old",
            r"requires an implementation of Nix|requires Nix (?:>=|at least)|unrecognised flag|"
            r"is not a recognised command",
        ),
        ("not-reproducible", r"may not be deterministic"),
        (
            "cache-damaged",
            r"failed to read compressed data|Failed to open archive|hash mismatch importing path|bad archive|"
            r"NAR info file .* is corrupt",
        ),
        ("hash-mismatch", r"hash mismatch in"),
        ("timeout", r"timed out after \d"),
        ("no-space", r"No space left on device|Disk quota exceeded|disk is full"),
        (
            "daemon",
            r"Nix daemon disconnected|unexpected end-of-file|cannot (?:connect to socket|open connection to)|"
            r"Connection reset by peer",
        ),
        (
            "cache-unsigned",
            r"lacks a (?:valid )?signature by a trusted key|is not signed by any of the keys|ignoring substitute for",
        ),
        (
            "cache-unreachable",
            r"unable to download '[^']+/(?:nix-cache-info|[a-z0-9]{32}\.narinfo)'|unable to download '[^']+/nar/",
        ),
        ("fetch", r"unable to download '|Couldn't read a file://|cannot fetch input|Failed to fetch git repository"),
        (
            "system",
            r"with features \{[^}]*\} is required to build|platform mismatch|[Uu]nable to start any build|"
            r"local builds are disabled",
        ),
        (
            "build",
            r"builder for '[^']+' failed|Cannot build '|failed to produce output path|dependenc(?:y|ies) .*failed",
        ),
    )
)

#: What Nix says of a builder that ended, up to 2.26 and after it, and what became of that builder.
_BUILDER_FAILED = re.compile(
    r"builder for '(?P<before>\S+\.drv)' failed (?P<how_before>[^\n;]*)|"
    r"Cannot build '(?P<after>\S+\.drv)'\.\s+Reason: builder failed (?P<how_after>[^\n]*?)\.?$",
    re.MULTILINE,
)

_POSITION = re.compile(r"\bat (?:\x1b\[[0-9;]*m)*((?:/|«)[^\n:]+?):(\d+)(?::\d+)?")


def nix_failure(text: str, tool: str = "nix") -> Failure | None:
    """What Nix's words mean; ``None`` if they are of no known kind."""
    kind = _kind(re.sub(r"(?m)^warning:.*$", "", text))
    # What Nix only warns of, a cache that it passed over, matters where nothing was left but that cache.
    kind = _kind(text) if kind in (None, "system") else kind
    return Failure(kind, tool, _last_error(text)) if kind else None


def failed_builders(text: str) -> dict[str, str]:
    """The derivations whose own builders failed, not what needed them, by Nix's words.

    :returns: derivation → ``with exit code 1``, ``due to signal 9``.
    """
    return {
        found["before"] or found["after"]: found["how_before"] or found["how_after"] or ""
        for found in _BUILDER_FAILED.finditer(text)
    }


def _kind(text: str) -> str | None:
    return next((kind for kind, pattern in NIX_CAUSES if pattern.search(text)), None)


def nix_evaluation_failure(text: str, tool: str = "nix") -> Failure:
    """What Nix's words mean where it only had to evaluate."""
    found = nix_failure(text, tool)
    if found is not None and found.kind in (
        "feature-missing",
        "tool-too-old",
        "daemon",
        "no-space",
        "fetch",
        "hash-mismatch",
    ):
        return found
    position = _POSITION.search(text, max(text.rfind("error:"), 0)) or _POSITION.search(text)
    file, line = (position[1], int(position[2])) if position else (None, None)
    return Failure("evaluation", tool, _last_error(text), file, line)


def with_failure(error: ComposeError, failure: Failure | None) -> ComposeError:
    """The same error, with what programs are told of it."""
    if failure is not None:
        error.failure = failure
    return error


def _last_error(text: str) -> str:
    """The last ``error:`` and what belongs to it: from Nix 2.26 on, it comes after the trace that leads to it."""
    start = max(text.rfind("error: "), 0)
    lines = text[start:].strip().splitlines()
    end = next((index for index, line in enumerate(lines) if index and not line.strip()), len(lines))
    return "\n".join(line.strip() for line in lines[: min(end, 12)])
