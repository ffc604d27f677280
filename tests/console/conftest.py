"""One browser for all tests of the console, and a server for each."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.console.browsing import Person, at_the_console
from tests.servers import CHROMIUM, is_up
from tests.serving import Client, make_settings, served

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They share a browser, so one worker and one event loop run them all."""
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.xdist_group("console"))
        if inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.chromium)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium, started once."""
    if not is_up(CHROMIUM):
        pytest.skip(CHROMIUM.absence)
    async with async_playwright() as driver:
        started = await driver.chromium.launch(
            executable_path=CHROMIUM.url, headless=True, args=_FLAGS
        )
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A server without tokens, as on a laptop."""
    async with served(make_settings(tmp_path)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def person(browser: Browser, client: Client) -> AsyncIterator[Person]:
    """Somebody at its console."""
    async with at_the_console(browser, client) as somebody:
        yield somebody
