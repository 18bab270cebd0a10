# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a run, put together from its events. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..model import codec
from ..model.event import Event
from ..model.result import NodeResult
from ..model.step import Built, NodePlan, PackageChanges, Planned, Settled, StepFailure

#: In the order in which a run takes them.
STEPS = ("plan", "build", "stage", "switch", "verify", "settle")
#: Length of the time line, in its own unit.
LENGTH = 1000.0
#: Lines of the log that a page has: a test script may print for ever.
LINES = 20_000


@dataclass(frozen=True)
class Span:
    """A part of the time line."""

    #: What something was in that time; a step: ``step``, or ``failed``.
    state: str
    #: In the unit of :data:`LENGTH`.
    begin: float
    length: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """A line of the time line."""

    name: str
    spans: t.Sequence[Span]
    #: How it ended.
    word: str

    @property
    def told(self) -> str:
        """The same for who cannot see it."""
        return ", ".join(f"{span.state} {span.seconds:.1f} s" for span in self.spans) or "nothing was done"


@dataclass(frozen=True)
class Role:
    """The nodes of a role, those that failed first; and what changes for them."""

    name: str
    rows: t.Sequence[Row]
    #: Identity of the image that is meant, and of those that nodes ran before.
    image: str
    before: t.Sequence[str]
    packages: PackageChanges
    #: Action → number of nodes.
    actions: t.Mapping[str, int]

    @property
    def failed(self) -> bool:
        return any(row.word == "failed" for row in self.rows)


@dataclass(frozen=True)
class Line:
    """What was told at a time."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Story:
    """One run."""

    who: str
    #: Seconds since 1970.
    begin: float
    seconds: float
    steps: t.Sequence[Row]
    roles: t.Sequence[Role]
    #: When nodes were switched or taken back together.
    turns: t.Sequence[Line]
    #: All lines of progress, but for the first of too many.
    log: t.Sequence[Line]
    left_out: int
    #: ``verified``, ``failed``, ``went back``, ``came to nothing``, or ``has not come to its end``.
    verdict: str
    #: Why, if it is not verified.
    why: str
    release: int | None
    plan: t.Mapping[str, NodePlan]
    #: The last word on each node that has failed itself; and what is said of others that are not as they should be,
    #: with their names: they went back with it.
    failed: t.Mapping[str, NodeResult]
    others: t.Mapping[str, t.Sequence[str]]
    retired: t.Sequence[str] = field(default_factory=list)


class _Reader:
    """Takes one event after the other."""

    def __init__(self, events: t.Sequence[Event]) -> None:
        self.begin, self.end = events[0].time, max(event.time for event in events)
        self.who = ""
        self.nodes: dict[str, list[Event]] = {}
        self.steps: dict[str, list[tuple[float, float | None, bool]]] = {}
        self.log: list[Line] = []
        self.turns: list[Line] = []
        self.plan: dict[str, NodePlan] = {}
        self.images: dict[str, str] = {}
        self.packages: dict[str, PackageChanges] = {}
        self.settled: Settled | None = None
        self.results: dict[str, NodeResult] = {}
        self.retired: list[str] = []
        self.problem = ""
        for event in events:
            getattr(self, f"_{event.kind}")(event)

    def _run(self, event: Event) -> None:
        self.who = event.text

    def _begin(self, event: Event) -> None:
        self.steps.setdefault(event.step, []).append((event.time, None, False))
        if event.step == "plan":  # another batch
            self.settled = None

    def _end(self, event: Event) -> None:
        self._ended(event, failed=False)
        if event.step == "plan":
            planned = codec.decode(Planned, event.result, "plan")
            self.plan.update(planned.nodes)
            self.images.update(planned.images)
            self.packages.update(planned.packages)
        elif event.step == "build":
            self.packages.update(codec.decode(Built, event.result, "build").packages or {})
        elif event.step == "settle":
            self.settled = codec.decode(Settled, event.result, "settle")
            self.results.update(self.settled.nodes)
            self.retired += self.settled.retired or ()

    def _failed(self, event: Event) -> None:
        self._ended(event, failed=True)
        self.problem = codec.decode(StepFailure, event.result, event.step).msg

    def _ended(self, event: Event, *, failed: bool) -> None:
        begun = self.steps.setdefault(event.step, [])
        begin = begun.pop()[0] if begun and begun[-1][1] is None else event.time
        begun.append((begin, event.time, failed))

    def _node(self, event: Event) -> None:
        known = self.nodes.setdefault(event.node, [])
        if not known or known[-1].state != event.state:
            known.append(event)

    def _line(self, event: Event) -> None:
        self.log.append(Line(event.time - self.begin, event.text))

    def _wave(self, event: Event) -> None:
        self.turns.append(Line(event.time - self.begin, event.text))
        self._line(event)

    _round = _wave

    # -- what comes of it ------------------------------------------------------------------------------------------

    def span(self, state: str, begin: float, end: float) -> Span:
        whole = max(self.end - self.begin, 0.001)
        at = (begin - self.begin) / whole * LENGTH
        return Span(state, round(at, 1), round(max((end - begin) / whole * LENGTH, 1.0), 1), max(end - begin, 0.0))

    def row(self, name: str) -> Row:
        events = self.nodes.get(name, [])
        ends = [*(event.time for event in events[1:]), self.end]
        spans = [self.span(event.state, event.time, end) for event, end in zip(events, ends)]
        action = self.plan[name].action if name in self.plan else ""
        result = self.results.get(name, NodeResult())
        if not result.ok and (self.has_failed(name) or not events):
            return Row(name, spans, "failed")
        return Row(name, spans, events[-1].state if events else action)

    def has_failed(self, name: str) -> bool:
        """Whether a node is not well, and not only taken back with others."""
        return any(event.state == "failed" for event in self.nodes.get(name, ()))

    def step(self, name: str) -> Row:
        turns = self.steps[name]
        spans = [
            self.span("failed" if failed else "step", begin, self.end if end is None else end)
            for begin, end, failed in turns
        ]
        seconds = f"{sum(span.seconds for span in spans):.1f} s"
        return Row(name, spans, seconds if turns[-1][1] is not None else f"{seconds}, and has not ended")

    def role(self, name: str, nodes: t.Sequence[str]) -> Role:
        changes = [self.plan[node] for node in nodes if node in self.plan]
        actions: dict[str, int] = {}
        for change in changes:
            actions[change.action] = actions.get(change.action, 0) + 1
        image = self.images.get(name, "")
        return Role(
            name,
            sorted(map(self.row, nodes), key=lambda row: row.word != "failed"),
            image,
            sorted({change.running for change in changes if change.running and change.running != image}),
            self.packages.get(name, {}),
            actions,
        )

    def verdict(self) -> tuple[str, str]:
        failed = [name for name, result in self.results.items() if not result.ok]
        if self.settled is None:
            return ("came to nothing", self.problem) if self.problem else ("has not come to its end", "")
        if self.settled.veto:
            return "went back", self.settled.veto
        if failed:
            return "failed", self.problem or f"{len(failed)} of {len(self.results)} nodes are not well"
        return "verified", ""


def story(events: t.Sequence[Event]) -> Story | None:
    """The run that these are of; ``None`` without any."""
    if not events:
        return None
    reader = _Reader(events)
    verdict, why = reader.verdict()
    bad = {name: result for name, result in reader.results.items() if not result.ok}
    others: dict[str, list[str]] = {}
    for name, result in bad.items():
        if not reader.has_failed(name):
            others.setdefault(result.message, []).append(name)
    roles: dict[str, list[str]] = {}
    for name in (*reader.plan, *(name for name in reader.nodes if name not in reader.plan)):
        roles.setdefault(reader.plan[name].role if name in reader.plan else "", []).append(name)
    return Story(
        who=reader.who,
        begin=reader.begin,
        seconds=reader.end - reader.begin,
        steps=[reader.step(name) for name in STEPS if name in reader.steps],
        roles=[reader.role(name, nodes) for name, nodes in sorted(roles.items())],
        turns=reader.turns,
        log=reader.log[-LINES:],
        left_out=max(len(reader.log) - LINES, 0),
        verdict=verdict,
        why=why,
        release=reader.settled.release if reader.settled else None,
        plan=reader.plan,
        failed={name: result for name, result in bad.items() if reader.has_failed(name)},
        others=others,
        retired=reader.retired,
    )
