# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in what people read are made unreadable; what programs read is left alone. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t

from ..model.deployment import Deployment

#: Keys of results whose values are words for people, with whatever a node or a tool has said.
TEXTS = ("msg", "message", "exception", "failure", "evidence")
#: Characters from which on a value is hidden also inside of other words.
LONG = 6
MASKED = "********"


class Mask:
    """Hides values, and each line of those that have several.

    :param secrets: values to hide.
    :param public: words that anyone may read: a secret that is one of them hides nothing.
    """

    def __init__(self, secrets: t.Iterable[str], public: t.Collection[str] = ()) -> None:
        values = {text for secret in secrets for text in (secret, *secret.splitlines()) if text.strip()}
        hidden = sorted(values.difference(public), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_pattern, hidden))) if hidden else None

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
