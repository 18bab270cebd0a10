# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that a platform or a builder declares, and their check. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..errors import InputError, nearest, shown
from ..model.deployment import Node
from ..model.free import Options, OptionValue


@dataclass(frozen=True)
class Option:
    """One option of a platform (given for the deployment, a role or a node) or of a builder (for the deployment)."""

    #: ``bool``, ``int``, ``str``, or ``list`` (of strings).
    type: type
    default: OptionValue
    description: str
    #: The words that a ``str`` may be; empty: any.
    choices: tuple[str, ...] = ()
    #: The least that an ``int`` may be.
    least: int | None = None
    #: Of a ``str``, or of each word of a ``list``: what it looks like, a regular expression and in words.
    pattern: str = ""
    expected: str = ""
    #: What a ``str`` may have in braces, to be replaced.
    fields: tuple[str, ...] = ()


class HasOptions(t.Protocol):
    """A platform's or a builder's class."""

    name: t.ClassVar[str]
    options: t.ClassVar[t.Mapping[str, Option]]


class PlatformFacts(HasOptions, t.Protocol):
    """What a deployment file has to know of a platform."""

    host_variables: t.ClassVar[t.Mapping[str, str]]
    boots_kernel: t.ClassVar[bool]
    own_addresses: t.ClassVar[bool]
    borrows: t.ClassVar[bool]
    folded: t.ClassVar[str]
    is_fold: t.ClassVar[bool]

    @classmethod
    def makes_machine(cls, node: Node, known: t.Collection[str]) -> bool:
        """Whether a node on a host of another inventory source gets a machine of its own, rather than that host.

        :param known: options that come from the variables of the host, see ``host_variables``.
        """


def validate_options(owner: type[HasOptions], given: t.Mapping[str, object], where: str, what: str) -> Options:
    """Check option names and types.

    :param what: ``platform`` or ``builder``.
    :raises InputError: names the option and the nearest valid one.
    """
    for key, value in given.items():
        spec = owner.options.get(key)
        if spec is None:
            raise InputError(
                f"{where}: unknown option {shown(key)} of {what} {owner.name!r}{nearest(key, owner.options)}"
            )
        if not isinstance(value, spec.type) or (isinstance(value, bool) and spec.type is not bool):
            raise InputError(f"{where}: {key} is {shown(value)}, expected {spec.type.__name__}")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise InputError(f"{where}: {key} is {shown(value)}, expected a list of strings")
        if spec.choices and value not in spec.choices:
            raise InputError(
                f"{where}: {key} is {shown(value)}, expected a known word{nearest(str(value), spec.choices)}"
            )
        if spec.least is not None and t.cast(int, value) < spec.least:
            raise InputError(f"{where}: {key} is {value}, expected {spec.least} or more")
        words = value if isinstance(value, list) else [str(value)]
        if spec.pattern and not all(re.fullmatch(spec.pattern, word) for word in words):
            raise InputError(f"{where}: {key} is {shown(value)}, expected {spec.expected}")
        if spec.fields and not _has_only(str(value), spec.fields):
            known = ", ".join(f"{{{name}}}" for name in spec.fields)
            raise InputError(
                f"{where}: {key} is {shown(value)}, expected no braces but {known}; write others twice: {{{{"
            )
    return t.cast(Options, dict(given))  # as the declared types are those that options can be


def words_of(options: Options, name: str) -> list[str]:
    """An option that is a list; empty where it is not given."""
    given = options.get(name)
    return list(given) if isinstance(given, (list, tuple)) else []


def _has_only(text: str, fields: t.Iterable[str]) -> bool:
    try:
        text.format(**dict.fromkeys(fields, ""))
    except (AttributeError, IndexError, KeyError, ValueError):
        return False
    return True
