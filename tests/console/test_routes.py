"""The view Routes as a person uses it."""

from __future__ import annotations

from typing import Any

from almenara.testing import Answer, FakeService
from tests.console.browsing import Person
from tests.serving import until

_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


async def _made(person: Person, path: str, body: Any) -> None:
    answer = await person.client.post(path, body)
    assert answer.status < 300, answer.text


async def test_a_topic_is_made_changed_and_deleted(person: Person) -> None:
    client = person.client
    await _made(person, "/v1/channels", {"name": "file", "plugin": "Log"})
    await person.open("#/routes")
    await person.press("New topic")
    side = person.page.get_by_role("complementary")
    await person.fill("Name", "Not A Name", side)
    await person.press("Save", side)
    await person.sees(side.locator(".field .wrong"))
    await person.fill("Name", "orders", side)
    await person.press("Add a channel", side)
    await person.press("Add a channel", side)
    step = side.locator(".step").nth(1)
    await step.get_by_text("Condition").click()
    await person.fill("Only messages that fit", '{"priority": {"at_most": "two"}}', step)
    await person.press("Save", side)
    await person.sees(step.locator(".wrong"))
    await person.fill("Only messages that fit", "not JSON", step)
    await person.press("Save", side)
    await person.sees(step.get_by_text("This is not JSON."))
    await person.fill("Only messages that fit", '{"priority": {"at_most": 2}}', step)
    await person.press("Save", side)
    await person.sees("Saved.")
    await person.sees(side.get_by_role("heading", name="orders"))
    assert (await client.get("/v1/topics/orders")).body["channels"] == [
        {"channel": "file"},
        {"channel": "log", "condition": {"priority": {"at_most": 2}}},
    ]
    await person.sees(person.page.locator("svg.map").get_by_text("priority ≤ 2"))
    await person.press("Move log up", side)
    await side.get_by_label("How it chooses").select_option("failover")
    await person.fill("Seconds for each channel", "60", side)
    assert await person.violations() == []
    await person.press("Save", side)
    await until(lambda: _is(person, "/v1/topics/orders", "strategy", "failover"))
    topic = (await client.get("/v1/topics/orders")).body
    assert [one["channel"] for one in topic["channels"]] == ["log", "file"]
    assert topic["step_deadline_seconds"] == 60
    # The map shows the order, and the form is drawn anew: what was pressed before is forgotten.
    await person.sees(person.page.locator("svg.map").get_by_text("1. priority ≤ 2"))
    await person.press("Delete", side)
    await person.press("Really delete?", side)
    await person.sees("Deleted.")
    assert (await client.get("/v1/topics/orders")).status == 404


async def _is(person: Person, path: str, name: str, value: Any) -> bool:
    return bool((await person.client.get(path)).body[name] == value)


async def test_a_channels_form_comes_from_its_plugin_and_keeps_its_secrets(person: Person) -> None:
    with FakeService(Answer(200, {"ok": True})) as service:
        await person.open("#/routes?channel=%2B")
        side = person.page.get_by_role("complementary")
        await side.get_by_label("Plugin").select_option("Webhook")
        await person.fill("Name", "crm", side)
        await side.get_by_text("More settings").click()
        await person.fill("Secret", "no key", side)
        await person.press("Save", side)
        await person.sees(side.locator(".field .wrong", has_text="whsec_"))
        assert await side.get_by_label("Secret").input_value() == "no key"
        url = side.get_by_label("Url *")
        assert await url.get_attribute("type") == "password"
        await url.fill(f"{service.url}/hook?key=hush-hush")
        await person.fill("Secret", _SECRET, side)
        await person.fill("Headers", "X-Shop: 7\nAuthorization: Bearer hush-hush", side)
        await person.press("Save", side)
        await person.sees(side.get_by_role("heading", name="crm"))
        assert "hush-hush" not in await person.page.content()
        assert _SECRET not in await person.page.content()
        assert await side.get_by_label("Url *").input_value() == ""
        await person.sees(side.get_by_text("It is set; leave this empty to keep it.").first)
        await person.press("Test", side)
        await person.sees(side.get_by_text("The test message was sent."))
        [received] = service.received
        assert received.headers["X-Shop"] == "7"
        assert received.headers["Authorization"] == "Bearer hush-hush"

        # What is saved without a secret keeps it; what is taken away is gone.
        await side.get_by_text("How it sends").click()
        await person.fill("Rate", "5/s", side)
        await side.get_by_label("Remove what is set").check()
        assert await person.violations() == []
        await person.press("Save", side)
        await until(lambda: _is(person, "/v1/channels/crm", "rate", "5/s"))
        settings = (await person.client.get("/v1/channels/crm")).body["settings"]
        assert settings["url"] == "********"
        assert "secret" not in settings
        # The form is drawn anew when all that it shows has been read again.
        await side.get_by_label("Remove what is set").wait_for(state="detached")
        service.answer = Answer(503, {"later": True})
        await person.press("Test", side)
        await person.sees(side.locator(".note.bad", has_text="503"))


async def test_a_paused_channel_says_why_and_is_resumed(person: Person) -> None:
    await _made(person, "/v1/channels/log/pause", {"reason": "the office moves"})
    await person.open("#/routes")
    item = person.page.locator(".items li", has_text="the office moves")
    await person.sees(item)
    await person.sees(person.page.locator("svg.map .paused"))
    await person.press("Resume", item)
    await person.sees("Resumed.")
    assert (await person.client.get("/v1/channels/log")).body["state"] == "active"
    await person.press("Pause log")
    await person.sees(person.page.locator(".badge", has_text="paused"))
    assert (await person.client.get("/v1/channels/log")).body["state"] == "paused"


async def test_a_channel_that_is_used_is_deleted_only_when_asked_twice(person: Person) -> None:
    page = person.page
    await person.open("#/routes?channel=log")
    side = page.get_by_role("complementary")
    await person.press("Delete", side)
    await person.press("Really delete?", side)
    await side.get_by_role("button", name="Delete it all the same").click()
    await person.sees("Deleted.")
    assert (await person.client.get("/v1/topics/hello")).body["channels"] == []


async def test_the_picture_has_the_days_volume_and_failures(person: Person) -> None:
    with FakeService(Answer(400, {"wrong": True})) as service:
        settings = {"url": service.url}
        await _made(
            person, "/v1/channels", {"name": "crm", "plugin": "Webhook", "settings": settings}
        )
        await _made(person, "/v1/topics", {"name": "orders", "channels": ["crm", "log"]})
        for _ in range(3):
            accepted = await person.client.post(
                "/v1/messages", {"topic": "orders", "description": "x"}
            )
            await person.client.final(accepted.body["id"])
        await person.client.parts.tallies.write()
    await person.open("#/routes")
    picture = person.page.locator("svg.map")
    await person.sees(picture.get_by_text("3 failed"))
    assert await picture.locator("path.line.failing").count() == 1
    await picture.get_by_role("link", name="Topic orders, to all").focus()
    await person.page.keyboard.press("Enter")
    side = person.page.get_by_role("complementary")
    await person.sees(side.get_by_role("heading", name="orders"))
    await person.page.keyboard.press("Escape")
    await side.wait_for(state="hidden")
