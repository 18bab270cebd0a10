# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: one file of HTML that needs nothing else. PRIVATE to the collection.

What it shows was said by nodes, tools and people. So everything is escaped, in one place, and the page forbids itself
whatever could come of a mistake: no script, no address, no style but its own.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
import typing as t

from ..libraries import missing_library
from .measurements import Measurements, origins, quantities
from .plots import MARKS, MOST, available, plots, shown
from .recorded import Recorded
from .story import LENGTH, story

_HERE = os.path.dirname(os.path.abspath(__file__))
#: Control characters, what changes the direction of text, and halves of characters.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def page(recorded: Recorded) -> str:
    """The page of a deployment, as a file has it.

    :raises InputError: Jinja2 is not installed for this interpreter.
    """
    return _rendered("page.html.j2", recorded=recorded, story=story(recorded.events), length=LENGTH)


def experiment_page(measured: Measurements) -> str:
    """The page of an experiment; without plots where nothing is installed that draws them.

    :raises InputError: Jinja2 is not installed for this interpreter.
    """
    draws = available()
    found = quantities(measured)
    return _rendered(
        "experiment.html.j2",
        _choices(len(measured.parameters) + 3),
        measured=measured,
        quantities=found,
        plots=[plots(quantity, measured.parameters) if draws else [] for quantity in found],
        most=MOST,
        marks=MARKS,
        draws=draws,
        origins=origins(measured.trials),
    )


def _choices(number: int) -> str:
    """The style by which one of the orders of a table is shown, the one that is chosen."""
    chosen = [
        f".sorted:has(label:nth-of-type({each}) :checked) > div:nth-of-type({each})" for each in range(1, number + 1)
    ]
    return ",\n".join(chosen) + " { display: block; }\n"


def _rendered(template: str, style: str = "", **what: t.Any) -> str:
    try:
        import jinja2
    except ImportError:
        raise missing_library("jinja2", what="the page") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=fit,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(utc=utc, seconds=seconds, shown=shown, number=number)
    with open(os.path.join(_HERE, "page.css"), encoding="utf-8") as stream:
        style = stream.read() + style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(**what, made=time.time(), style=style, digest=digest)


def fit(value: t.Any) -> t.Any:
    """What a page can show; anything that it cannot is seen to have been there."""
    if value is None:
        return ""
    return value if hasattr(value, "__html__") else _UNFIT.sub("\ufffd", str(value).replace("\r\n", "\n"))


def utc(moment: float) -> str:
    """A time, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def seconds(length: float) -> str:
    """How long something took."""
    whole = int(length)
    return f"{length:.1f} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"


def number(value: float) -> str:
    """What was measured, as exactly as people compare it: whole numbers whole, else four digits."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
