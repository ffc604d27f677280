"""The views Write and Health as a person uses them."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Browser

from tests.console.browsing import Person, at_the_console
from tests.serving import Client, make_settings, served


async def test_a_message_is_looked_at_before_it_is_sent(person: Person) -> None:
    client = person.client
    steps = ["log", {"channel": "calm", "condition": {"priority": {"at_least": 4}}}]
    await client.post("/v1/channels", {"name": "calm", "plugin": "Log"})
    await client.post("/v1/topics", {"name": "orders", "channels": steps})
    await person.open("#/write?topic=orders")
    await person.fill("Title", "Order 4711")
    await person.fill("Text", "Ana waits for <b>it</b>")
    goes = person.page.locator(".preview", has=person.page.get_by_role("heading", name="log"))
    await person.sees(goes.get_by_text("gets it", exact=True))
    await person.sees(goes.get_by_text("Ana waits for <b>it</b>"))
    stays = person.page.locator(".preview", has_text="calm")
    await person.sees(stays.get_by_text("priority is at least 4"))
    await person.page.get_by_label("Priority").select_option("5")
    await person.sees(stays.get_by_text("gets it", exact=True))
    assert await person.violations() == []
    await person.page.get_by_text("More", exact=True).click()
    await person.fill("Tags", "vip, new")
    await person.fill("Data", '{"order": 4711}')
    await person.page.get_by_role("button", name="Send").click()
    await person.sees("The message was accepted.")
    [message] = (await client.get("/v1/messages")).body["data"]
    assert (message["topic"], message["title"], message["priority"]) == ("orders", "Order 4711", 5)
    assert (message["tags"], message["data"]) == (["vip", "new"], {"order": 4711})
    await person.page.get_by_role("link", name="See what happens to it").click()
    await person.sees(person.page.get_by_role("heading", name="Order 4711"))


async def test_what_is_refused_is_said_where_it_is_wrong(browser: Browser, client: Client) -> None:
    async with at_the_console(browser, client) as person:
        await person.open("#/write")
        await person.fill("Topic", "nowhere")
        await person.fill("Text", "x")
        await person.sees(person.page.locator(".note.bad", has_text="nowhere"))
        await person.page.get_by_text("More", exact=True).click()
        await person.fill("Data", "no JSON")
        await person.press("Send")
        await person.sees(person.page.locator(".wrong", has_text="This is not JSON."))
        await person.fill("Data", "")
        await person.fill("Topic", "")
        await person.press("Send")
        await person.sees(person.page.locator(".field .wrong", has_text="Name a topic"))
        assert (await client.get("/v1/messages")).body["data"] == []


async def test_health_tells_what_comes_goes_fails_and_is_broken(
    browser: Browser, tmp_path: Path
) -> None:
    plugin = tmp_path / "plugins" / "pigeon" / "pigeon.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("import a_module_that_nobody_has\n")
    async with (
        served(make_settings(tmp_path)) as client,
        at_the_console(browser, client) as person,
    ):
        for _ in range(3):
            accepted = await client.post("/v1/messages", {"topic": "hello", "description": "x"})
            await client.final(accepted.body["id"])
        await client.post("/v1/channels/log/pause", {"reason": "the office moves"})
        await client.post("/v1/messages", {"topic": "hello", "description": "x"})
        await client.parts.tallies.write()
        await person.open("#/health")
        await person.sees(person.page.get_by_role("img", name="Messages in: 4 in all"))
        await person.sees(person.page.get_by_role("img", name="Attempts out: 3 sent, 0 failed"))
        await person.sees(person.page.locator(".tile", has_text="Waiting now").get_by_text("1"))
        await person.sees("a_module_that_nobody_has is not installed")
        await person.sees(person.page.get_by_text("alive"))
        await person.sees("the office moves")
        await person.press("Last day")
        await person.sees(person.page.get_by_role("button", name="Last day", pressed=True))
        await person.sees(person.page.get_by_role("img", name="Messages in: 4 in all"))
        assert "period=day" in person.page.url
        assert await person.violations() == []
