# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of an experiment: its numbers, its plots, and that nothing in it can be more than words."""

from __future__ import annotations

import re
import sys
import typing as t
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from recorded_experiment import measured

from ansible_collections.immutable.compose.plugins.module_utils.model.report import Measurement
from ansible_collections.immutable.compose.plugins.module_utils.page.measurements import (
    Measurements,
    origins,
    quantities,
)
from ansible_collections.immutable.compose.plugins.module_utils.page.plots import COLOURS, plots
from ansible_collections.immutable.compose.plugins.module_utils.page.render import experiment_page, number

HOSTILE = "</svg></pre><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\x00\x1b[2J\u202e\ud800"


def test_values_are_put_together_by_combination() -> None:
    write, read = quantities(measured())
    assert (write.title, read.name) == ("write (MiB/s)", "read")
    first = write.groups[0]
    assert first.levels == {"file_system": "nfs", "clients": 1, "block": "4k"}
    assert [round(value, 2) for value in (first.low, first.median, first.high)] == [7.71, 8.2, 8.69]
    assert [len(group.values) for group in write.groups] == [3] * 11 + [1], "failed and left"


def test_the_table_comes_sorted_by_each_column() -> None:
    write = quantities(measured())[0]
    orders = {order.column: order for order in write.orders(["file_system", "clients", "block"])}
    assert list(orders) == ["file_system", "clients", "block", "median", "smallest", "largest"]
    assert [group.levels["block"] for group in orders["block"].groups] == ["4k"] * 6 + ["1M"] * 6, "as the sweep has it"
    medians = [group.median for group in orders["median"].groups]
    assert medians == sorted(medians, reverse=True) and orders["median"].direction == "descending"


def test_parameters_that_not_all_combinations_have() -> None:
    one, two = measured().trials[:2]
    trials = [replace(one, combination={"a": 1}), replace(two, combination={"a": 1, "b": True})]
    found = quantities(Measurements("x", ["a", "b"], trials, 2))[0]
    assert [group.levels for group in found.groups] == [{"a": 1, "b": None}, {"a": 1, "b": True}]
    page = experiment_page(Measurements("x", ["a", "b"], trials, 2))
    assert "<td>–</td>" in page and "<td>true</td>" in page


def test_trials_of_one_origin_are_told_once() -> None:
    assert [(origin.deployment, len(origin.trials)) for origin in origins(measured().trials)] == [
        ("fs-nfs", 12),
        ("fs-gluster", 12),
        ("fs-ceph", 10),
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (0.00012345, "0.0001234"), (1234.56, "1235"), (0.0, "0"), (1e300, "1e+300")]
)
def test_numbers_are_as_exact_as_people_compare_them(value: float, text: str) -> None:
    assert number(value) == text


def test_a_plot_for_what_is_neither_axis_nor_colour() -> None:
    write = quantities(measured())[0]
    drawn = plots(write, ["file_system", "clients", "block"])
    assert [plot.title for plot in drawn] == ["block 4k", "block 1M"]
    for plot in drawn:
        root = ElementTree.fromstring(plot.svg)
        labels = [element.get("aria-label", "") for element in root.iter()]
        said = [label for label in labels if "median" in label]
        assert len(said) == 6 and any(label.startswith("file_system nfs, clients 1, block") for label in said)
        assert "X-axis titled 'clients' for a discrete scale with 2 values: 1, 2" in labels
        assert "style=" not in plot.svg, "the page allows no style but its own"
        assert all(colour in plot.svg for colour in COLOURS[:3])
    everything = ElementTree.fromstring(drawn[1].svg)
    marks = [group for group in everything.iter() if "mark-symbol role-mark" in group.get("class", "")]
    assert len(marks) == 1 and len(list(marks[0])) == 16, "all values"


def test_one_parameter_is_enough_for_a_plot() -> None:
    trials = [trial for trial in measured().trials if trial.ok and trial.combination["block"] == "4k"][:3]
    (drawn,) = plots(quantities(Measurements("x", ["block"], trials, 3))[0], ["block"])
    assert drawn.title == "" and "role-legend" not in drawn.svg


def swept(parameters: t.Sequence[str], values: t.Iterable[tuple[dict[str, t.Any], float]]) -> Measurements:
    """Trials with one value each."""
    one = measured().trials[0]
    trials = [replace(one, combination=at, records=[Measurement("w", value)]) for at, value in values]
    return Measurements("x", parameters, trials, len(trials))


def test_values_of_many_magnitudes_have_a_logarithmic_scale() -> None:
    for low, logarithmic in ((0.001, True), (0.5, False), (0.0, False), (-1.0, False)):
        few = swept(["a"], [({"a": 1}, low), ({"a": 2}, 3.0)])
        (drawn,) = plots(quantities(few)[0], ["a"])
        assert drawn.logarithmic is logarithmic
        assert ("or a logarithmic one" in experiment_page(few)) is logarithmic
    assert plots(quantities(swept(["a"], [({"a": 1}, 5e-324), ({"a": 2}, 1.7e308)]))[0], ["a"])[0].logarithmic
    assert "for a log scale" in plots(quantities(swept(["a"], [({"a": 1}, 1e-9), ({"a": 2}, 1e9)]))[0], ["a"])[0].svg


def test_a_page_of_very_many_values_can_be_opened() -> None:
    one = measured().trials[0]
    records = [*(Measurement("w", float(value), "ms") for value in range(20000)), Measurement("said", "x" * 1_000_000)]
    page = experiment_page(Measurements("x", ["a"], [replace(one, combination={"a": 1}, records=records)], 1))
    assert len(page) < 100_000 and "from 0 to 2e+04" in page and "<td>20000</td>" in page
    assert "and 19981 more, in the tables" in page and "of very many, some" in page


def test_what_has_the_same_colour_has_another_shape() -> None:
    many = swept(["a", "b"], [({"a": number, "b": f"b{each}"}, 1.0) for number in (1, 2) for each in range(20)])
    (drawn,) = plots(quantities(many)[0], ["a", "b"])
    root = ElementTree.fromstring(drawn.svg)
    (marks,) = [group for group in root.iter() if "mark-symbol role-mark" in group.get("class", "")]
    looks = {(mark.get("stroke"), re.sub(r"[0-9.-]+", "0", mark.get("d", ""))[:40]) for mark in marks}
    shapes = {(mark.get("stroke"), mark.get("d")) for mark in marks}
    assert len(shapes) == 20 and len(looks) > len(COLOURS)


def test_any_number_of_columns_can_be_sorted_by() -> None:
    names = [f"p{number}" for number in range(15)]
    page = experiment_page(swept(names, [(dict.fromkeys(names, 1), 1.0)]))
    assert page.count('type="radio"') == 18
    assert ".sorted:has(label:nth-of-type(18) :checked) > div:nth-of-type(18) { display: block; }" in page


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("ground", ["#ffffff", "#0d1117"])
def test_colours_can_be_told_from_both_grounds(colour: str, ground: str) -> None:
    bright, dark = sorted((_luminance(colour), _luminance(ground)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 3


def test_what_scripts_record_does_nothing() -> None:
    few = measured(HOSTILE, HOSTILE, [HOSTILE])
    trials = [replace(trial, records=[*trial.records, Measurement(HOSTILE, HOSTILE)]) for trial in few.trials]
    page = experiment_page(replace(few, trials=trials))
    assert "{{ 7*7 }}" in page
    assert "<script" not in page
    assert "<img" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ud800]", page)


def test_without_the_library_there_is_a_page_without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", t.cast(t.Any, None))
    page = experiment_page(measured())
    assert "No plots: the Python library 'vl-convert-python' is not installed" in page and "<svg" not in page
    assert page.count("<table>") == 13


def test_nothing_was_measured() -> None:
    page = experiment_page(Measurements("x", ["a"], [], 4))
    assert "0 of 4 trials" in page and "Nothing was recorded yet" in page
