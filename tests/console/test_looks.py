"""How the console looks to others: in the dark, on a phone, in Spanish, by keyboard."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser

from tests.console.browsing import at_the_console
from tests.serving import Client

_PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}}
_VIEWS = ("log", "routes", "write", "health", "routes?channel=log", "routes?topic=hello")


async def test_every_view_can_be_used_on_a_phone_in_the_dark(
    browser: Browser, client: Client
) -> None:
    accepted = await client.post("/v1/messages", {"topic": "hello", "description": "x" * 300})
    await client.final(accepted.body["id"])
    async with at_the_console(browser, client, color_scheme="dark", **_PHONE) as person:
        for view in (*_VIEWS, f"log?message={accepted.body['id']}"):
            await person.open(f"#/{view}")
            await person.sees(person.page.locator("main h1"))
            if "?" in view:
                await person.sees(person.page.locator(".side .inner > *"))
            assert await person.violations() == [], view
            wide = await person.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= await person.page.evaluate("innerWidth"), view


async def test_it_speaks_spanish_to_whoever_reads_spanish(browser: Browser, client: Client) -> None:
    async with at_the_console(browser, client, locale="es-AR") as person:
        await person.open()
        await person.sees("Aún no hay mensajes.")
        assert await person.page.get_attribute("html", "lang") == "es"
        assert await person.page.title() == "Registro · Almenara"
        await person.press("English")
        await person.sees("There are no messages yet.")
        await person.page.reload()
        await person.sees("There are no messages yet.")
        assert await person.page.get_attribute("html", "lang") == "en"


async def test_it_is_used_without_a_mouse(browser: Browser, client: Client) -> None:
    await client.post("/v1/messages", {"topic": "hello", "title": "By key", "description": "x"})
    async with at_the_console(browser, client) as person:
        await person.open()
        await person.sees("By key")
        keyboard = person.page.keyboard
        await keyboard.press("Tab")
        await person.sees(person.page.locator(".skip:focus"))
        await keyboard.press("Enter")
        await person.sees(person.page.locator("main:focus"))
        for _ in range(30):
            await keyboard.press("Tab")
            if await person.page.locator("td.text a:focus").count():
                break
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await person.page.evaluate(outline) == "solid"
        await keyboard.press("Enter")
        await person.sees(person.page.locator("h2:focus", has_text="By key"))


async def test_a_broken_server_is_said_in_a_sentence(browser: Browser, client: Client) -> None:
    async with at_the_console(browser, client) as person:
        await person.open()
        await person.sees("There are no messages yet.")
        await person.page.context.set_offline(True)
        await person.page.get_by_role("link", name="Routes").click()
        await person.sees("The server cannot be reached just now.")
