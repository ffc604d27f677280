"""A person at the console: a page of the browser, the server behind it, and what may not happen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Locator, Page

from tests.serving import Client

#: So long a person would wait for what is to be seen, in milliseconds.
PATIENCE = 20_000
#: What the rules of WCAG 2.2 AA and good practice ask; every rule but none left out.
_RULES = {"resultTypes": ["violations"]}


@dataclass
class Person:
    """Somebody at the console."""

    page: Page
    client: Client
    #: What the browser complained about: errors of scripts, what its policy refused.
    complaints: list[str] = field(default_factory=list)

    async def open(self, place: str = "") -> None:
        """Open the console, at a view."""
        await self.page.goto(f"{self.client.url}/{place}")

    async def sees(self, text: str | Locator) -> Locator:
        """Wait until something is to be seen, and return it."""
        found = self.page.get_by_text(text) if isinstance(text, str) else text
        found = found.first
        await found.wait_for(timeout=PATIENCE)
        return found

    async def press(self, name: str, within: Locator | None = None) -> None:
        """Press a button by what is written on it."""
        place = within or self.page
        await place.get_by_role("button", name=name, exact=True).first.click()

    async def fill(self, label: str, value: str, within: Locator | None = None) -> None:
        """Fill in a field by its label."""
        place = within or self.page
        await place.get_by_label(label, exact=True).first.fill(value)

    async def violations(self) -> list[str]:
        """Ask axe what keeps others from using this page."""
        found = await Axe().run(self.page, options=_RULES)
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found.response["violations"]
        ]


@asynccontextmanager
async def at_the_console(browser: Browser, client: Client, **options: Any) -> AsyncIterator[Person]:
    """Sit somebody down before the console; the page's own complaints fail the test.

    Args:
        options: those of a browser's context, such as its language.
    """
    context = await browser.new_context(**{"locale": "en-GB", "timezone_id": "UTC"} | options)
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    person = Person(page, client)

    def hear(message: ConsoleMessage) -> None:
        # What a request was answered is the test's to judge.
        answered = message.text.startswith("Failed to load resource")
        if message.type in {"error", "warning"} and not answered:
            person.complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: person.complaints.append(str(error)))
    try:
        yield person
    finally:
        await context.close()
    assert not person.complaints, person.complaints
