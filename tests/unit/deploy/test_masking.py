# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of nodes are masked as they come: the same whatever the pieces, with little memory, and nothing but text."""

from __future__ import annotations

import gzip
import tracemalloc
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.masking import HEAD, MASKED, Mask

LONG, SHORT, LINES = "correct-horse-battery", "pgé", "-----BEGIN\nkey of several\n-----END"
MASK = Mask([LONG, LONG[:12], SHORT, LINES], public={"postgres"})


def pieces(content: bytes, size: int) -> t.Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def masked(content: bytes, size: int = 1000) -> bytes:
    return b"".join(MASK.stream(pieces(content, size)))


@pytest.mark.parametrize("before", ["", "é ", "x" * (HEAD - 9), f"{SHORT} x{SHORT} "])
@pytest.mark.parametrize("size", [1, 2, 3, 7, HEAD, 10 * HEAD])
def test_pieces_make_no_difference(before: str, size: int) -> None:
    text = f"{before}{LONG[:12]}{LONG} {SHORT}é {SHORT}\n{LINES}\n{SHORT}{LONG}: password={SHORT}"
    assert LONG not in MASK.text(text)
    assert masked(text.encode(), size).decode() == MASK.text(text)


def test_text_in_another_encoding_is_text() -> None:
    assert masked(f"caf\xe9 {LONG} caf\xe9".encode("latin-1")) == f"caf\xe9 {MASKED} caf\xe9".encode("latin-1")


@pytest.mark.parametrize(
    "content",
    [LONG.encode("utf-16"), gzip.compress(LONG.encode(), 0), b"\x7fELF\x02\x01" + LONG.encode(), b"", b"\0"],
    ids=["utf-16", "gzip", "program", "empty", "zero"],
)
def test_all_else_is_left_as_it_is(content: bytes) -> None:
    assert masked(content) == content


def test_without_secrets_everything_is() -> None:
    assert list(Mask([]).stream([b"some ", b"", b"words"])) == [b"some words"]


def test_no_more_than_a_piece_is_in_memory() -> None:
    line = f"{'x' * 60} {LONG}\n".encode()
    many = (line * 800 for _number in range(400))  # 26 MB, without an end of a line in sight of it
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in MASK.stream(many))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 400 * 800 * (61 + len(MASKED) + 1) and peak < 4 << 20
