# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in what people read are made unreadable; what programs read is left alone. PRIVATE to the collection."""

from __future__ import annotations

import codecs
import re
import typing as t
from itertools import chain

from ..model.deployment import Deployment

#: Keys of results whose values are words for people, with whatever a node or a tool has said.
TEXTS = ("msg", "message", "exception", "failure", "evidence")
#: Characters from which on a value is hidden also inside of other words.
LONG = 6
MASKED = "********"
#: Bytes of a file by which it is known for text; and what text has not, as file(1) knows it.
HEAD = 1 << 13
_BINARY = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")


class Mask:
    """Hides values, and each line of those that have several.

    :param secrets: values to hide.
    :param public: words that anyone may read: a secret that is one of them hides nothing.
    """

    def __init__(self, secrets: t.Iterable[str], public: t.Collection[str] = ()) -> None:
        values = {text for secret in secrets for text in (secret, *secret.splitlines()) if text.strip()}
        hidden = sorted(values.difference(public), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_pattern, hidden))) if hidden else None
        #: Characters from its first on that decide whether something is a value.
        self._reach = max(map(len, hidden), default=0) + 1

    @classmethod
    def of(cls, deployment: Deployment, credentials: t.Iterable[str]) -> Mask:
        """Hides the secrets of a deployment, but for those that are names of its own.

        :param credentials: that are secret, too.
        """
        secrets = {str(value) for node in deployment.nodes for value in node.secrets.values()}
        names = {deployment.name, *(word for node in deployment.nodes for word in (node.name, node.role))}
        return cls({*secrets, *credentials}, names)

    def text(self, text: str) -> str:
        """A text for people."""
        return self._pattern.sub(MASKED, text) if self._pattern else text

    def stream(self, pieces: t.Iterable[bytes]) -> t.Iterator[bytes]:
        """A file, piece by piece: of text, no more is held back than a value is long; all else is left as it is."""
        rest, head = filter(None, pieces), b""
        while len(head) < HEAD and (piece := next(rest, b"")):
            head += piece
        if self._pattern is None or _BINARY.search(head[:HEAD]):
            yield from chain([head], rest)
            return
        decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        # The last character that was told stays: a value that is a word must not begin inside of another.
        text, told = "", 0
        for piece in chain([head], rest, [b""]):
            text += decode(piece, final=not piece)
            end = max(told, len(text) - self._reach) if piece else len(text)
            said = []
            for match in self._pattern.finditer(text, told):
                if match.start() >= end:
                    break
                said += [text[told : match.start()], MASKED]
                told = match.end()
            said.append(text[told:end])
            told = max(told, end)
            yield "".join(said).encode("utf-8", "surrogateescape")
            text, told = text[max(told - 1, 0) :], min(told, 1)

    def result(self, value: t.Any, *, words: bool = False) -> t.Any:
        """A module's result, with its words for people masked.

        :param words: all of it is words.
        """
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value) if words else value
        if isinstance(value, t.Mapping):
            return {key: self.result(item, words=words or key in TEXTS) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.result(item, words=words) for item in value]
        return value


def _pattern(value: str) -> str:
    escaped = re.escape(value)
    return escaped if len(value) >= LONG else rf"(?<!\w){escaped}(?!\w)"
