# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of an experiment in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from looks import CONTRAST, LEGIBLE, OUTPUT, is_picture_of_the_docs, opened
from playwright.sync_api import BrowserContext
from recorded_experiment import measured

from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.experiment import Trial
from ansible_collections.immutable.compose.plugins.module_utils.page.measurements import Measurements
from ansible_collections.immutable.compose.plugins.module_utils.page.render import experiment_page

#: What `make demo-experiment` measured: jq -csS 'sort_by(.started)[]' .cache/experiment/trials/*/trial.json
DEMO = Path(__file__).with_name("demo.jsonl")

HOSTILE = "</svg><script>document.title = 'pwned'</script><img src=x onerror=\"document.title='pwned'\">"


def test_the_demo_s_page_is_the_picture_of_the_docs(context: BrowserContext, tmp_path: Path) -> None:
    trials = [codec.decode(Trial, json.loads(line), "trial") for line in DEMO.read_text().splitlines()]
    parameters = ["file_system", "clients", "block"]
    page = opened(context, tmp_path, experiment_page(Measurements("fs", parameters, trials, len(trials))), width=900)
    assert page.get_by_role("heading", name="fs: 36 of 36 trials").is_visible()
    for measured_name in ("write", "read"):
        plots = page.get_by_role("region", name=f"{measured_name} (MiB/s)").locator("figure")
        assert plots.locator("figcaption").all_inner_texts() == ["block 4k", "block 1M"]
        assert plots.get_by_label("file_system nfs, clients 2, block 1M: median ").count() == 1
    is_picture_of_the_docs(page, "experiment.png", height=1100)


def test_it_shows_what_was_measured_and_what_has_failed(context: BrowserContext, tmp_path: Path) -> None:
    page = opened(context, tmp_path, experiment_page(measured()), width=900)
    assert page.get_by_role("heading", name="fs: 34 of 36 trials").is_visible()
    assert page.get_by_text("line 9: no space").is_visible()
    plot = page.get_by_role("region", name="write (MiB/s)").locator("figure").last
    assert plot.locator("figcaption").inner_text() == "block 1M"
    nfs = plot.get_by_label("file_system nfs, clients 2, block 1M: median 66.6 MiB/s, from 62.61 to 70.6")
    assert nfs.bounding_box() is not None


def test_the_table_is_sorted_by_whatever_one_clicks(context: BrowserContext, tmp_path: Path) -> None:
    page = opened(context, tmp_path, experiment_page(measured()))
    region = page.get_by_role("region", name="write (MiB/s)")
    assert region.get_by_role("table").count() == 1, "the others are there for nobody"
    assert region.get_by_role("row").nth(1).inner_text().split()[:3] == ["nfs", "1", "4k"]
    region.get_by_label("median", exact=True).check()
    medians = [float(row.inner_text().split()[4]) for row in region.get_by_role("row").all()[1:]]
    assert medians == sorted(medians, reverse=True) and len(medians) == 12
    assert region.locator("th[aria-sort]:visible").inner_text() == "median"
    page.keyboard.press("ArrowRight")
    assert region.locator("th[aria-sort]:visible").inner_text() == "smallest"


@pytest.mark.parametrize("width", [320, 400, 1400])
def test_nothing_is_cut_off_on_any_screen(context: BrowserContext, tmp_path: Path, width: int) -> None:
    long = "0123456789" * 20
    page = opened(context, tmp_path, experiment_page(measured(long, "MiB/s", [long, "nfs"])), width=width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Tables that are wider are moved under the finger.
    parts = "[...document.querySelectorAll('main *:not(.wide *, svg *)')]"
    assert page.evaluate(f"Math.max(...{parts}.map(e => e.getBoundingClientRect().right))") <= width
    drawn = page.locator("figure svg").first.bounding_box()
    assert drawn is not None and drawn["width"] >= 290
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"experiment-{width}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_light_and_dark(context: BrowserContext, tmp_path: Path, scheme: str) -> None:
    page = opened(context, tmp_path, experiment_page(measured()), scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    contrast, text = page.evaluate(CONTRAST)
    assert contrast >= LEGIBLE, text
    colours = "[...document.querySelectorAll('svg text')].map(e => getComputedStyle(e).fill)"
    own = page.evaluate("getComputedStyle(document.body).color")
    assert set(page.evaluate(colours)) == {own}, "text of plots is that of the page"
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"experiment-{scheme}.png", full_page=True)


def test_what_scripts_record_does_nothing(context: BrowserContext, tmp_path: Path) -> None:
    page = opened(context, tmp_path, experiment_page(measured(HOSTILE, HOSTILE, [HOSTILE])))
    assert page.title() == f"Experiment {HOSTILE}" and page.locator("script, img").count() == 0


def test_all_of_it_is_printed(context: BrowserContext, tmp_path: Path) -> None:
    page = opened(context, tmp_path, experiment_page(measured()), width=600)
    page.emulate_media(media="print")
    folded = "[...document.querySelectorAll('details:not([open]) > *:not(summary)')]"
    assert page.evaluate(f"{folded}.map(each => each.checkVisibility())") == [True]
    shown = "[...document.querySelectorAll('.wide')].filter(each => each.checkVisibility())"
    assert page.evaluate(f"{shown}.every(each => each.scrollWidth <= each.clientWidth)"), "nothing is cut off"
