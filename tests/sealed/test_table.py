# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole table: tasks of legacy playbooks × nodes that are sealed, warned of, and open."""

from __future__ import annotations

from pathlib import Path

from beside import site_in


def test_tasks_on_nodes_that_are_sealed_warned_of_and_open(tmp_path: Path) -> None:
    with site_in(tmp_path) as site:
        played = site.play_table()
        for node in ("warned1", "open1"):
            written = site.hosts[node].written()
            assert {"srv/copy", "srv/script", "srv/handler", "srv/raw", "srv/background", "srv/two"} <= set(written)
            assert "srv/check" not in written
        warned = [line for line in played.stderr.splitlines() if "may change it" in line and "[WARNING]" in line]
        assert warned and all("warned1: " in line for line in warned)
