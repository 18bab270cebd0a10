# SPDX-License-Identifier: GPL-3.0-or-later
"""How a page is looked at."""

from __future__ import annotations

import base64
import typing as t
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

ROOT = Path(__file__).parents[2]
#: The pictures of the docs, made by the tests; and those that only a person looks at.
DOCS, OUTPUT = ROOT / "docs", ROOT / "tests/output/report"
#: Ratio of contrast that text needs, by the Web Content Accessibility Guidelines, level AA.
LEGIBLE = 4.5

#: The least contrast of visible text with what is behind it, and the text.
CONTRAST = """() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  let least = [21, ""];
  for (const element of document.querySelectorAll("main *, header *")) {
    const text = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join("");
    if (!text || !element.checkVisibility() || element.closest("svg")) continue;
    let behind = element;
    while (behind && channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const pair = [getComputedStyle(element).color, getComputedStyle(behind || document.body).backgroundColor];
    const [a, b] = pair.map(colour => luminance(channels(colour))).sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < least[0]) least = [(a + 0.05) / (b + 0.05), text];
  }
  return least;
}"""


def opened(context: BrowserContext, directory: Path, text: str, **look: t.Any) -> Page:
    """The page, from a file; what the browser complains about fails the test."""
    path = directory / "page.html"
    path.write_text(text)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    if look.get("scheme"):
        page.emulate_media(color_scheme=look["scheme"])
    page.set_viewport_size({"width": look.get("width", 1000), "height": 1000})
    page.goto(path.as_uri())
    assert complaints == [] and asked == [path.as_uri()]
    return page


def is_picture_of_the_docs(page: Page, name: str, *, height: int) -> None:
    """Compare the upper part of a page with a picture, which is made where there is none.

    The time of the file is that of the test: it is taken out, and the picture is the same each time.
    """
    page.evaluate("document.querySelector('header .dim').remove(); scrollTo(0, 0)")
    size = page.viewport_size
    assert size is not None
    taken = page.screenshot(clip={"x": 0, "y": 0, "width": size["width"], "height": height}, full_page=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / name).write_bytes(taken)
    if not (DOCS / name).exists():
        (DOCS / name).write_bytes(taken)
    different = like(page.context, (DOCS / name).read_bytes(), taken)
    assert different < 0.02, f"it looks different, as in {OUTPUT / name}"


def like(context: BrowserContext, one: bytes, other: bytes) -> float:
    """Part of the points of two pictures that differ by more than fonts do."""
    page = context.new_page()
    urls = [f"data:image/png;base64,{base64.b64encode(picture).decode()}" for picture in (one, other)]
    return t.cast(
        float,
        page.evaluate(
            """async urls => {
  const [a, b] = await Promise.all(urls.map(async url => {
    const image = new Image(); image.src = url; await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height); const brush = canvas.getContext("2d");
    brush.drawImage(image, 0, 0);
    return brush.getImageData(0, 0, image.width, image.height);
  }));
  if (a.width !== b.width || a.height !== b.height) return 1;
  let differ = 0;
  for (let at = 0; at < a.data.length; at += 4)
    if ([0, 1, 2].some(c => Math.abs(a.data[at + c] - b.data[at + c]) > 64)) differ++;
  return differ / (a.data.length / 4);
}""",
            urls,
        ),
    )
