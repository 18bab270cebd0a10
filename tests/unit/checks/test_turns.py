# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns for what takes CPU time of this host."""

from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.nodes.turns import Turns


def test_who_leaves_makes_room_at_once() -> None:
    turns, most, inside = Turns(2, 60), 0, 0
    lock = threading.Lock()

    def come() -> None:
        nonlocal most, inside
        with turns.taken():
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=come) for _number in range(10)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 2
    assert time.monotonic() - begin < 10


def test_a_failure_gives_its_turn_back() -> None:
    turns = Turns(1, 60)
    with pytest.raises(OSError), turns.taken():
        raise OSError
    begin = time.monotonic()
    with turns.taken():
        assert time.monotonic() - begin < 10


def test_when_nobody_comes_out_not_all_come_in() -> None:
    """A thousand key exchanges at once would all last longer than anybody waits for them."""
    turns, out = Turns(2, 0.5), threading.Event()
    inside: list[int] = []

    def come(number: int) -> None:
        with turns.taken():
            inside.append(number)
            out.wait(30)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(40)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    seen = []
    while time.monotonic() - begin < 1.2:
        seen.append((len(inside), time.monotonic() - begin))
        time.sleep(0.02)
    out.set()
    for thread in threads:
        thread.join(30)
    assert len(inside) == 40
    assert all(count <= 2 * (1 + seconds // 0.5) for count, seconds in seen), seen
    assert seen[-1][0] > 2  # those who stay do not hold up the others for ever
