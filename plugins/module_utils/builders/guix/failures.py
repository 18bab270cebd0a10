# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of failures of Guix, told from its own words: every command ends with 1, whatever went wrong. PRIVATE.

The texts are those of Guix 1.5.0.
"""

from __future__ import annotations

import re

from ...errors import Failure
from ..failures import Causes

#: Kind → what Guix says, the more specific first.
GUIX_CAUSES: Causes = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("daemon", r"failed to connect to `|Assertion .* failed|unexpected EOF|integer expected from stream"),
        ("tool-too-old", r"guix: \S+: command not found|unknown action|unrecognized option|no such image type"),
        ("not-reproducible", r"may not be deterministic"),
        ("cache-damaged", r"\w+ hash mismatch for (\S+):[\s\S]*substitution of \1 failed"),
        ("hash-mismatch", r"\w+ hash mismatch for "),
        ("timeout", r"building of `[^']+' timed out after"),
        ("no-space", r"No space left on device|Disk quota exceeded|disk is full"),
        ("cache-unsigned", r"unauthorized public key|lacks a (?:valid )?signature|invalid signature"),
        ("cache-damaged", r"corrupt (?:input|signature)|was modified! expected hash"),
        (
            "fetch",
            r"Git error: |failed to resolve (?:path|address)|object not found - no match for id|"
            r"could not authenticate commit|cannot be authenticated|In procedure (?:getaddrinfo|connect): ",
        ),
        ("fetch", r"builder for `\S+(?:-checkout|\.tar\.\w+|\.tgz|\.zip|\.patch)\.drv' failed"),
        ("build", r"builder for `[^']+' failed|failed to produce output path"),
        ("cache-unreachable", r"guix substitute: (?:warning|error): .*(?:host not found|[Cc]onnection|TLS|failed)"),
        ("system", r"a `[^']+' is required to build|unable to start any build|unsupported system"),
        ("build", r"build of `[^']+' failed|cannot build derivation|cannot build missing derivation"),
    )
)

_POSITION = re.compile(r"^([^\s:]+\.scm):(\d+):\d+: (?:error: |missing )", re.MULTILINE)
_WARNING = re.compile(r"^(?:guix \S+: )?(?:warning: |hint: Consider )")


#: Characters of a line that are looked at.
_WIDTH = 2000


def guix_failure(text: str) -> Failure:
    """What Guix's words mean. What is of no other kind is a fault of the composition's files."""
    text = "\n".join(line[:_WIDTH] for line in text.split("\n"))
    for kind, pattern in GUIX_CAUSES:
        found = pattern.search(text)
        if found is not None:
            return Failure(kind, "guix", _message(text, found.start()))
    position = _POSITION.search(text)
    if position:
        return Failure("evaluation", "guix", _message(text, position.start()), position[1], int(position[2]))
    # Guile says after a backtrace what it is about.
    before, dummy, trace = text.partition("Backtrace:")
    told = trace[trace.rstrip().rfind("\n") + 1 :] if trace and ": error: " not in before else before
    return Failure("evaluation", "guix", _message(told, max(told.find(": error: "), 0)))


def _message(text: str, start: int) -> str:
    """The line where the cause is, and the few after it that belong to it."""
    begin = text.rfind("\n", 0, start) + 1
    lines = [line.rstrip() for line in text[begin:].splitlines() if line.strip() and not _WARNING.match(line)]
    return "\n".join(lines[:6])
