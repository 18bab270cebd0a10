# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing versions as the distributions themselves do. PRIVATE to the collection.

Each function says whether the first version is older (negative), the same (0) or newer (positive).
"""

from __future__ import annotations

import re
import typing as t

Compare = t.Callable[[str, str], int]

_DIGITS = frozenset("0123456789")


def compare_debian(left: str, right: str) -> int:
    """As ``dpkg --compare-versions`` (deb-version(7))."""
    return _compare(_debian_key(left), _debian_key(right))


def compare_nix(left: str, right: str) -> int:
    """As ``builtins.compareVersions`` of Nix (``nix-env --upgrade``)."""
    return _compare(_nix_key(left), _nix_key(right))


def compare_guix(left: str, right: str) -> int:
    """As ``version-compare`` of ``(guix utils)``, which is strverscmp(3) of the GNU C library."""
    if left == right:
        return 0
    at = next((index for index, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    begin = at
    while begin > 0 and left[begin - 1] in _DIGITS:
        begin -= 1
    a, b = _char(left, at), _char(right, at)
    run_left, run_right = _digits(left, begin), _digits(right, begin)
    if run_left[:1] not in ("", "0") and run_right[:1] not in ("", "0"):
        # Whole numbers: the longer is the greater.
        return len(run_left) - len(run_right) or _compare(a, b)
    if begin < at and not left[begin:at].strip("0") and (a in _DIGITS) != (b in _DIGITS):
        # After common zeros these are fractions: a digit more makes them smaller.
        return -1 if a in _DIGITS else 1
    return _compare(a, b)


def split_debian(version: str) -> tuple[str, str, str]:
    """Epoch, upstream version, revision; empty where it has none."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "", version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "")


def _debian_key(version: str) -> tuple[t.Any, ...]:
    epoch, upstream, revision = split_debian(version)
    return (
        _size(epoch) if re.fullmatch("[0-9]+", epoch) else _size(""),
        _debian_part(upstream),
        _debian_part(revision),
    )


def _size(digits: str) -> tuple[int, str]:
    """Orders as the number does, however long it is."""
    significant = digits.lstrip("0")
    return len(significant), significant


def _debian_part(text: str) -> list[tuple[list[int], tuple[int, str]]]:
    """Pairs of what is no number and what is one. The end sorts after ``~``, and before all else."""
    end = ([0], _size(""))
    pairs = [
        ([*map(_debian_order, other), 0], _size(number)) for other, number in re.findall("([^0-9]*)([0-9]*)", text)
    ]
    while pairs and pairs[-1] == end:
        pairs.pop()
    return [*pairs, end]


def _debian_order(char: str) -> int:
    if char == "~":
        return -1
    return ord(char) if char.isalpha() else ord(char) + 256


def _nix_key(version: str) -> list[tuple[t.Any, ...]]:
    """Components; ``pre`` sorts before the end, which sorts before words, which sort before numbers."""
    key: list[tuple[t.Any, ...]] = []
    for component in re.findall(r"[0-9]+|[^0-9.-]+", version):
        if component[0] in _DIGITS:
            key.append((3, _size(component)))
        else:
            key.append((0,) if component == "pre" else (2, component))
    return [*key, (1,)]


def _char(text: str, at: int) -> str:
    return text[at] if at < len(text) else ""


def _digits(text: str, begin: int) -> str:
    end = begin
    while end < len(text) and text[end] in _DIGITS:
        end += 1
    return text[begin:end]


def _compare(left: t.Any, right: t.Any) -> int:
    return int(left > right) - int(left < right)
