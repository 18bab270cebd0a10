"""Versions compare as with the distributions' own tools, on listed cases and on many that are made up."""

from __future__ import annotations

import ctypes
import functools
import itertools
import json
import random
import subprocess

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.images.versions import (
    Compare,
    compare_debian,
    compare_guix,
    compare_nix,
    split_debian,
)

LISTED = [
    "4.2.6", "4.2.5", "4.2.10", "4.2", "4.2.6rc1", "4.2.6-1", "4.2.6pre1", "4.2.6-pre", "5.0.0", "5.0.1", "5.0.0a",
    "2.38", "2.38-66", "1.001", "1.01", "1.010", "1.09", "1.0", "1.00", "0", "00", "01", "010", "09", "unstable",
    "0-unstable-2024-01-01", "0-1.abcdef0", "0-2.1234567", "20240101", "1.2.3a", "1.2.3.1", "2.3.0b", "1.0~rc1",
    "1.0+dfsg", "1.0+b1",
]  # fmt: skip

DEBIAN = [
    *(version for version in LISTED if version[0].isdigit()), "1:1.0", "0:1.0", "2:0.1", "1.0-1", "1.0-0",
    "1.0-1~bpo12+1",
    "1.0-1+b1", "1.0~~", "1.0~", "3.0.17-1~deb12u2", "3.0.17-1", "5:7.0.15-1~deb12u5", "1.0a", "1.0.",
    "252.39-1",
]  # fmt: skip


def made_up(alphabet: str, count: int) -> list[str]:
    """Short versions, so that many have a common beginning."""
    chance = random.Random(1)
    return ["1" + "".join(chance.choices(alphabet, k=chance.randint(0, 5))) for _each in range(count)]


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


def answers(compare: Compare, pairs: list[tuple[str, str]]) -> list[int]:
    return [sign(compare(left, right)) for left, right in pairs]


def test_debian() -> None:
    versions = [*DEBIAN, *made_up("019.~+ab", 40)]
    versions.sort(key=functools.cmp_to_key(compare_debian))
    # dpkg compares one pair at a time, but its order is total: neighbours are enough.
    pairs = list(itertools.pairwise(versions))
    script = """while read -r a b; do
        if dpkg --compare-versions "$a" lt "$b"; then echo -1
        elif dpkg --compare-versions "$a" eq "$b"; then echo 0
        else echo 1; fi
    done"""
    done = subprocess.run(
        ["bash", "-c", script],
        input="".join(f"{a} {b}\n" for a, b in pairs),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    theirs = [int(answer) for answer in done.stdout.split()]
    assert dict(zip(pairs, answers(compare_debian, pairs), strict=True)) == dict(zip(pairs, theirs, strict=True))


def test_nix() -> None:
    versions = [*LISTED, "1.pre", "1pre", "1.a", "1-", *made_up("019.-ap", 60), *made_up(".1", 20)]
    pairs = list(itertools.product(versions, repeat=2))
    compare = "map (p: builtins.compareVersions (builtins.head p) (builtins.elemAt p 1))"
    done = subprocess.run(
        ["nix-instantiate", "--eval", "--strict", "--json", "-"],
        input=f"{compare} (builtins.fromJSON ''{json.dumps(pairs)}'')",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    theirs = json.loads(done.stdout)
    assert dict(zip(pairs, answers(compare_nix, pairs), strict=True)) == dict(zip(pairs, theirs, strict=True))


def test_guix() -> None:
    libc = ctypes.CDLL("libc.so.6")  # of which Guix calls strverscmp
    versions = [*LISTED, "", "a", *made_up("0019.a", 200), *made_up("0", 10)]
    pairs = list(itertools.product(versions, repeat=2))
    theirs = [sign(libc.strverscmp(a.encode(), b.encode())) for a, b in pairs]
    assert dict(zip(pairs, answers(compare_guix, pairs), strict=True)) == dict(zip(pairs, theirs, strict=True))


@pytest.mark.parametrize(
    ("version", "parts"),
    [("5:7.0.15-1~deb12u5", ("5", "7.0.15", "1~deb12u5")), ("1.2-3-4", ("", "1.2-3", "4")), ("12.4", ("", "12.4", ""))],
)
def test_parts_of_a_debian_version(version: str, parts: tuple[str, str, str]) -> None:
    assert split_debian(version) == parts
