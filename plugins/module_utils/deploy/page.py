# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a deployment, as a page for people; and the findings that are kept for it. PRIVATE."""

from __future__ import annotations

import os
import time
import typing as t
from contextlib import suppress

from ..errors import InputError
from ..files import write_text
from ..model import codec
from ..model.event import Event
from ..model.findings import Audited, Drifted, Findings
from ..model.report import ReportDocument
from ..model.step import Paged
from ..page.recorded import Looked, Recorded
from ..page.render import page
from .engine import Engine
from .events import path_of, read


def write_page(engine: Engine, *, pretend: bool) -> Paged:
    """Make the page, in ``<state>/results``.

    :param pretend: do not write it.
    :raises InputError: there is nothing to report.
    """
    state, releases = engine.state, engine.releases
    events = list(read(path_of(state)))
    kept = [releases.read(number) for number in reversed(releases.numbers())]
    if not events and not kept:
        raise InputError(f"there is nothing to report of the deployment {engine.deployment.name!r}: deploy it first")
    current = releases.current()
    text = page(
        Recorded(
            deployment=engine.deployment.name,
            platform=engine.deployment.platform,
            events=events,
            releases=kept,
            current=current.number if current else None,
            looked=_looked(state, events),
            drift=_found(state, "drift"),
            audit=_found(state, "audit"),
        )
    )
    path = os.path.join(state, "results", "report.html")
    if not pretend:
        write_text(path, text)
    return Paged(False, path)


def keep(engine: Engine, result: Drifted | Audited) -> None:
    """Keep what a reader has found, where there is something that it may be kept in."""
    if os.path.isdir(engine.releases.directory):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if isinstance(result, Drifted):
            codec.write(_path(engine.state, "drift"), Findings(now, drift=result))
        else:
            codec.write(_path(engine.state, "audit"), Findings(now, audit=result))


def _path(state: str, name: str) -> str:
    return os.path.join(state, "results", f"{name}.json")


def _found(state: str, name: str) -> Findings | None:
    with suppress(FileNotFoundError):
        return codec.read(Findings, _path(state, name))
    return None


def _looked(state: str, events: t.Sequence[Event]) -> list[Looked]:
    """Verifications since the last run began: those of before are about something else."""
    found, results = [], os.path.join(state, "results")
    for name in sorted(os.listdir(results)) if os.path.isdir(results) else []:
        path = os.path.join(results, name, "results.json")
        if not os.path.exists(path):
            continue
        ended = os.stat(path).st_mtime
        if not events or ended >= events[0].time:
            found.append(Looked(name, ended, codec.read(ReportDocument, path)))
    return sorted(found, key=lambda looked: looked.time)
