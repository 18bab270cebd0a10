"""Lists of nodes, written short: ``sim-[1-3,7]``."""

from __future__ import annotations

import re
import typing as t
from itertools import groupby

_RANGE = re.compile(r"^([A-Za-z0-9.-]*)\[((?:\d+-\d+|\d+)(?:,(?:\d+-\d+|\d+))*)\]([A-Za-z0-9.-]*)$")


def expand(text: str) -> list[str]:
    """The names that a word with a range stands for; a plain name is itself."""
    match = _RANGE.match(text.strip())
    if not match:
        return [text.strip()]
    head, numbers, tail = match.groups()
    names = []
    for part in numbers.split(","):
        first, _sep, last = part.partition("-")
        names += [f"{head}{number:0{len(first)}d}{tail}" for number in range(int(first), int(last or first) + 1)]
    return names


def expand_all(words: t.Iterable[str]) -> list[str]:
    """The names of many words, in their order."""
    return [name for word in words for name in expand(word)]


def _order(name: str) -> list[int]:
    """As Kadeploy sorts: from the domain to the name, letters and digits as numbers of base 36."""
    parts = [re.findall(r"\d+|[a-zA-Z]+", part) for part in reversed(name.split("."))]
    return [int(word, 36) for part in parts for word in part]


def ordered(names: t.Iterable[str]) -> list[str]:
    """Sorted as Kadeploy does."""
    return sorted(names, key=_order)


def fold(names: t.Iterable[str]) -> str:
    """Written short, all in one word, as Kadeploy does."""
    words = []
    split = [re.match(r"^(.*?\D)(\d+)(\D.*)?$", name) for name in ordered(names)]
    keyed = [
        (m.group(1), m.group(3) or "", m.group(2)) if m else (n, "", "")
        for m, n in zip(split, ordered(names), strict=True)
    ]
    for (head, tail), group in groupby(keyed, key=lambda item: item[:2]):
        numbers = sorted({number for *_dummy, number in group}, key=lambda number: int(number or 0))
        if len(numbers) == 1:
            words.append(head + numbers[0] + tail)
            continue
        runs: list[list[str]] = []
        for number in numbers:
            if runs and int(number) == int(runs[-1][-1]) + 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        text = ",".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
        words.append(f"{head}[{text}]{tail}")
    return "".join(words)
