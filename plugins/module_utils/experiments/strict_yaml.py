# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML without its traps: nothing is silently something else than is written. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t

from ..errors import InputError, shown
from ..libraries import missing_library

if t.TYPE_CHECKING:
    import yaml

#: Numbers of YAML 1.2, and of everybody else, that PyYAML takes for texts.
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
#: What YAML 1.1 makes other numbers of: octal ones, those of base 60, and those with a gap.
_OTHER = re.compile(r"[-+]?0[0-7_]+|.*[:_].*")
_TAG = "tag:yaml.org,2002:"


def load(path: str, literal: str) -> object:
    """The content of a file.

    :param literal: key of the top, below which each value must be what is written.
    :raises InputError: the file cannot be read; a key is there twice; below ``literal``, a value is not what it looks
        like (``on``, ``1:30``, ``010``, ``1e3``).
    """
    try:
        import yaml
    except ImportError:
        raise missing_library("yaml", what="reading an experiment file") from None
    try:
        with open(path, encoding="utf-8") as stream:
            loader = yaml.SafeLoader(stream)
            top = loader.get_single_node()
            if top is None:
                return None
            _Walk(path, literal).check(top, "", plain=False)
            return loader.construct_document(top)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def dump(content: object) -> str:
    """What :func:`load` reads, from plain data: texts in quotes, numbers as they are."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """With representers of its own."""

    Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar(f"{_TAG}str", text, style='"'))
    return yaml.dump(content, Dumper=Dumper, sort_keys=False, explicit_start=True)


class _Walk:
    """Goes through what was parsed, before it is values."""

    def __init__(self, path: str, literal: str) -> None:
        self._path = path
        self._literal = literal
        #: Anchors may lead to the same again.
        self._seen: set[int] = set()

    def check(self, node: yaml.Node, where: str, plain: bool) -> None:
        """:param plain: whether values must be what they look like."""
        if isinstance(node.value, str):
            if plain and getattr(node, "style", None) is None:
                self._refuse_disguised(node, where)
            return
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        keys: set[str] = set()
        for item in node.value:
            if not isinstance(item, tuple):
                self.check(item, where, plain)
                continue
            key, value = item
            written = key.value if isinstance(key.value, str) else ""
            at = f"{where}.{written}" if where else written
            if written in keys:
                raise InputError(f"{self._path}, line {key.start_mark.line + 1}: the key {at} is there twice")
            keys.add(written)
            if plain and key.tag not in (f"{_TAG}str", f"{_TAG}merge"):
                raise InputError(
                    f"{self._path}, line {key.start_mark.line + 1}: {where} has the key {shown(written)}, which is no"
                    " text for YAML 1.1; expected a text, in quotes"
                )
            self.check(value, at, plain or at == self._literal)

    def _refuse_disguised(self, node: yaml.Node, where: str) -> None:
        kind, text = node.tag.removeprefix(_TAG), node.value
        meant = {
            "bool": text.lower() not in ("true", "false"),
            "int": _OTHER.fullmatch(text) is not None,
            "float": _OTHER.fullmatch(text) is not None,
            "str": _EXPONENT.fullmatch(text) is not None,
        }
        if not meant.get(kind):
            return
        if kind == "bool":
            is_, instead = ("true" if text.lower() in ("on", "yes") else "false"), "true or false"
        elif kind == "str":
            is_, instead = "a text", "1000.0 or 1.0e+3"
        else:
            is_, instead = "a number in another notation", "the number in full"
        raise InputError(
            f"{self._path}, line {node.start_mark.line + 1}: {where} has the value {shown(text)}, which is {is_} for"
            f" YAML 1.1; expected {instead}, or a text in quotes"
        )
