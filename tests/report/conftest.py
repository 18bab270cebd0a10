"""A browser, without a network."""

from __future__ import annotations

import typing as t

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright


@pytest.fixture(scope="session")
def browser() -> t.Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])


@pytest.fixture
def context(browser: Browser) -> t.Iterator[BrowserContext]:
    with browser.new_context(offline=True) as context:
        yield context
