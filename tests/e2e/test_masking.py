# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret that a node prints, writes to its console, or has in a file that is copied, is read nowhere in clear."""

from __future__ import annotations

import typing as t

from tiny import Tiny

SECRET = "correct-horse-battery-staple"
SCRIPT = f"""
    app1.succeed("for i in $(seq 3000); do echo line $i token={SECRET}; done >/srv/data/log")
    app1.succeed("echo said {SECRET} >/dev/console")
    app1.succeed("head -c 9 /dev/zero >/srv/data/core; echo {SECRET} >>/srv/data/core")
    app1.copy_from_machine("/srv/data", "kept")
    app1.fail("echo {SECRET}")
"""


def test_a_secret_is_in_clear_only_where_it_has_to_be(tiny_of: t.Callable[..., Tiny]) -> None:
    lab = tiny_of({"count": 1, "secrets": {"token": SECRET}}, ["other"])
    lab.script(SCRIPT)
    run = lab.play("deploy", "--diff", "-vv", expect=2)
    assert SECRET not in run.output
    results = lab.state / "results"
    found = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    assert {"verify/results.json", "verify/junit.xml", "verify/kept/data/log", "verify/kept/data/core"} <= found
    assert {name for name in found if SECRET.encode() in (results / name).read_bytes()} == {"verify/kept/data/core"}
    assert (results / "verify/kept/data/log").read_text().splitlines()[2999] == "line 3000 token=********"
