# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of what was measured, as SVG: all values, their median, and how far they reach. PRIVATE to the collection.

Vega-Lite draws them. What it writes has classes and attributes, and no styles: so the page gives it the colours of its
own, light or dark, and needs not allow styles that are not its own. Each plot is as wide as a telephone.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass

from .measurements import Group, Level, Quantity

#: Width and height, in CSS pixels.
WIDTH, HEIGHT = 300, 260
#: How many plots of one quantity there are at most: a page is to be looked at.
MOST = 24
#: Marks of one combination at most: more are a line anyway, and a page that does not open.
MARKS = 200
#: From how many times the smallest value on the largest is drawn on a logarithmic scale.
MAGNITUDES = 1000
#: Each can be told from white and from black (a contrast of 3), and from the others also by its shape.
COLOURS = ("#2f7ed8", "#c8590a", "#2a9158", "#a259c4", "#b0802a", "#d0447a", "#1591a3", "#7d7f86")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
#: What XML cannot hold, and what changes the direction of text.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Plot:
    """A plot."""

    #: What its values have in common, besides what all have.
    title: str
    svg: str
    #: Whether its scale is logarithmic; others begin at zero.
    logarithmic: bool


def available() -> bool:
    """Whether there is the library that draws."""
    try:
        import vl_convert  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


def plots(quantity: Quantity, parameters: t.Sequence[str]) -> list[Plot]:
    """One for each combination of the parameters that are neither its axis nor its colours."""
    import vl_convert

    varying = [name for name in parameters if len(quantity.levels(name)) > 1]
    numbers = [name for name in varying if all(_is_number(level) for level in quantity.levels(name))]
    axis = numbers[-1] if numbers else varying[-1] if varying else parameters[-1]
    others = [name for name in varying if name != axis]
    colour, rest = (others[0] if others else ""), others[1:]
    parts: dict[str, list[Group]] = {}
    for group in quantity.groups:
        parts.setdefault(", ".join(f"{name} {shown(group.levels[name])}" for name in rest), []).append(group)
    found = []
    for title, groups in list(parts.items())[:MOST]:
        low, high = min(group.low for group in groups), max(group.high for group in groups)
        logarithmic = low > 0 and high / MAGNITUDES >= low
        drawing = _drawing(quantity, groups, axis, colour, _height(low, high, logarithmic))
        found.append(Plot(title, vl_convert.vegalite_to_svg(drawing), logarithmic))
    return found


def shown(level: Level) -> str:
    """A value of a parameter, for people."""
    text = "–" if level is None else str(level).lower() if isinstance(level, bool) else str(level)
    return _UNFIT.sub("\ufffd", text)


def _is_number(level: Level) -> bool:
    return isinstance(level, (int, float)) and not isinstance(level, bool)


def _height(low: float, high: float, logarithmic: bool) -> dict[str, t.Any]:
    """Scale and axis for values from ``low`` to ``high``."""
    if not logarithmic:
        return {"scale": {"domain": [min(0.0, low), max(0.0, high)], "nice": True}}
    first, last = max(math.floor(math.log10(low)), -307), min(math.ceil(math.log10(high)), 308)
    ticks = [10.0**power for power in range(first, last + 1, -(-(last - first) // 8))]
    return {"scale": {"type": "log", "domain": [low, high]}, "axis": {"values": ticks, "format": "~g"}}


def _drawing(
    quantity: Quantity, groups: t.Sequence[Group], axis: str, colour: str, height: dict[str, t.Any]
) -> dict[str, t.Any]:
    """What Vega-Lite is told. Names of users are titles in it and never fields, which have a syntax."""
    title = _UNFIT.sub("\ufffd", quantity.title)
    columns: dict[str, t.Any] = {
        "x": {
            "field": "x",
            "type": "ordinal",
            "title": shown(axis),
            "sort": None,
            "scale": {"domain": [shown(level) for level in quantity.levels(axis)]},
            "axis": {"labelAngle": 0, "labelLimit": 80, "labelOverlap": True},
        }
    }
    look: dict[str, t.Any] = {"color": {"value": COLOURS[0]}}
    if colour:
        domain = [shown(level) for level in quantity.levels(colour)]
        # The ninth value has the first colour again, but another shape, and so on: 64 values look different.
        colours = [COLOURS[place % len(COLOURS)] for place in range(len(domain))]
        shapes = [SHAPES[(place + place // len(COLOURS)) % len(SHAPES)] for place in range(len(domain))]
        legend = {"orient": "top", "columns": 3, "labelLimit": 90}
        field = {"field": "colour", "type": "nominal", "title": shown(colour), "legend": legend}
        columns["xOffset"] = {"field": "colour", "sort": None, "scale": {"domain": domain}}
        look = {
            "color": {**field, "scale": {"domain": domain, "range": colours}},
            "shape": {**field, "scale": {"domain": domain, "range": shapes}},
        }
    place = [
        {"x": shown(group.levels[axis]), "colour": shown(group.levels[colour]) if colour else ""} for group in groups
    ]
    values = [{**at, "y": value} for at, group in zip(place, groups) for value in _some(group.values)]
    reached = [
        {**at, "low": group.low, "high": group.high, "median": group.median, "said": _said(quantity, group)}
        for at, group in zip(place, groups)
    ]
    only_colour = {"color": look["color"]}
    y = {"type": "quantitative", "title": title, **height}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": title,
        "width": WIDTH,
        "height": HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": None,
        "encoding": columns,
        "layer": [
            {
                "data": {"values": reached},
                "mark": {"type": "rule", "strokeWidth": 1.5, "aria": False},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}, **only_colour},
            },
            {
                "data": {"values": reached},
                "mark": {"type": "tick", "thickness": 3, "size": 18, "opacity": 1},
                "encoding": {"y": {**y, "field": "median"}, "description": {"field": "said"}, **only_colour},
            },
            {
                "data": {"values": values},
                "mark": {"type": "point", "size": 34, "opacity": 1, "strokeWidth": 1.2, "aria": False},
                "encoding": {"y": {**y, "field": "y"}, **look},
            },
        ],
        "config": {
            "font": "sans-serif",
            "axis": {"labelFontSize": 12, "titleFontSize": 12},
            "legend": {"labelFontSize": 12, "titleFontSize": 12},
            "view": {"stroke": None},
        },
    }


def _some(values: t.Sequence[float]) -> t.Sequence[float]:
    """All values; of very many those that stand for as many others each, with the smallest and the largest."""
    if len(values) <= MARKS:
        return values
    ordered, last = sorted(values), len(values) - 1
    return [ordered[round(last * place / (MARKS - 1))] for place in range(MARKS)]


def _said(quantity: Quantity, group: Group) -> str:
    """The same for who cannot see it."""
    where = ", ".join(f"{shown(name)} {shown(level)}" for name, level in group.levels.items())
    unit = f" {_UNFIT.sub(chr(0xFFFD), quantity.unit)}" if quantity.unit else ""
    return f"{where}: median {group.median:.4g}{unit}, from {group.low:.4g} to {group.high:.4g}"
