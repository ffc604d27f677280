"""The view Log as a person uses it."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

from playwright.async_api import Browser

from almenara.testing import Answer, FakeService
from tests.console.browsing import Person, at_the_console
from tests.serving import Client

_HOSTILE = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
_MANY = 100_000


async def _accept(client: Client, **message: Any) -> str:
    body = {"topic": "hello", "description": "Ana waits"} | message
    answer = await client.post("/v1/messages", body)
    assert answer.status == 202, answer.text
    return str(answer.body["id"])


async def _titles(person: Person) -> list[str]:
    return await person.page.locator("td.text a").all_inner_texts()


async def test_a_message_is_found_and_opens_as_its_time_line(person: Person) -> None:
    message_id = await _accept(person.client, title="Order 4711")
    await person.client.final(message_id)
    await person.open()
    await (await person.sees("Order 4711")).click()
    side = person.page.get_by_role("complementary")
    await person.sees(side.get_by_role("heading", name="Order 4711"))
    await person.sees(side.get_by_text("Accepted on the topic hello, for log."))
    await person.sees(side.get_by_text("Attempt 1", exact=True))
    assert message_id in person.page.url
    assert await person.violations() == []
    await person.page.keyboard.press("Escape")
    await side.wait_for(state="hidden")
    focused = person.page.locator("td.text a:focus")
    await person.sees(focused)


async def test_what_a_message_says_is_only_ever_text(person: Person) -> None:
    message_id = await _accept(
        person.client, title=_HOSTILE, description=_HOSTILE, tags=[_HOSTILE[:60]], reference="<b>"
    )
    await person.open(f"#/log?message={message_id}")
    await person.sees(person.page.get_by_role("heading", name=_HOSTILE))
    assert await person.page.locator("main script, main img, main b").count() == 0
    assert await person.page.title() == "Log · Almenara"


async def test_filters_stand_in_the_address_and_come_back_with_it(person: Person) -> None:
    await person.client.post("/v1/topics", {"name": "orders", "channels": ["log"]})
    await person.client.post("/v1/topics", {"name": "lost", "channels": []})
    for title, topic in (("First", "orders"), ("Second", "hello"), ("Third", "lost")):
        await _accept(person.client, title=title, topic=topic)
    await person.open()
    await person.sees("Second")
    await person.fill("Topic", "orders")
    await person.page.locator("tbody tr").nth(1).wait_for(state="detached")
    assert await _titles(person) == ["First"]
    assert "topic=orders" in person.page.url
    await person.page.reload()
    await person.sees("First")
    assert await person.page.get_by_label("Topic", exact=True).input_value() == "orders"
    await person.press("Clear filters")
    await person.sees("Third")
    await person.page.get_by_label("Status").select_option("no_route")
    await person.page.get_by_text("Second").wait_for(state="detached")
    assert await _titles(person) == ["Third"]
    await person.fill("Text", "nobody wrote this")
    await person.sees("No message fits these filters.")
    await person.press("Clear filters")
    await person.sees("Second")
    await person.fill("Until", "2020-01-01T00:00")
    await person.sees("No message fits these filters.")
    assert "until=2020-01-01T00%3A00%3A00.000Z" in person.page.url


async def test_what_comes_is_shown_as_it_comes_and_as_it_changes(person: Person) -> None:
    await person.open()
    live = person.page.get_by_role("button", name="Live")
    await person.sees(live)
    await _accept(person.client, title="Just now")
    row = person.page.locator("tr", has_text="Just now")
    await person.sees(row.get_by_text("sent", exact=True))
    await live.click()
    await person.sees("Not live")
    await _accept(person.client, title="Not seen yet")
    await person.press("Not live")
    await person.sees("Not seen yet")
    assert await _titles(person) == ["Not seen yet", "Just now"]


async def test_after_a_break_nothing_is_missing_and_nothing_is_twice(
    browser: Browser, client: Client
) -> None:
    async with at_the_console(browser, client) as person:
        await person.open()
        await person.sees(person.page.get_by_role("button", name="Live"))
        await _accept(client, title="Before")
        await person.sees("Before")
        await person.page.context.set_offline(True)
        for listener in list(client.parts.stream._wants):
            listener.drop()
        await person.sees("Connecting …")
        await client.final(await _accept(client, title="Meanwhile"))
        await person.page.context.set_offline(False)
        await person.sees(person.page.locator("tr", has_text="Meanwhile").get_by_text("sent"))
        await person.sees(person.page.get_by_role("button", name="Live"))
        assert await _titles(person) == ["Meanwhile", "Before"]


async def test_what_failed_says_why_and_is_sent_again(person: Person) -> None:
    with FakeService(Answer(400, {"wrong": True})) as service:
        settings = {"url": service.url}
        await person.client.post(
            "/v1/channels", {"name": "crm", "plugin": "Webhook", "settings": settings}
        )
        message_id = await _accept(person.client, topic=None, channel="crm", title="Call Ana")
        await person.client.final(message_id)
        await person.open("#/log?status=failed")
        await (await person.sees("Call Ana")).click()
        side = person.page.get_by_role("complementary")
        await person.sees(side.locator(".attempt", has_text="answered 400"))
        await person.sees(side.get_by_text("failed for good"))
        service.answer = Answer(200, {"ok": True})
        await person.press("Resend what failed", side)
        await person.sees(side.get_by_text("sent again", exact=True))
        story = await person.client.final(message_id)
        assert story["status"] == "sent"
        await person.sees(side.locator(".delivery", has_text="sent again").get_by_text("Attempt 1"))


async def test_a_file_of_a_message_is_saved(person: Person) -> None:
    content = base64.b64encode(b"<script>alert(1)</script>").decode()
    files = [{"name": "page.html", "content": content}]
    message_id = await _accept(person.client, title="With a file", attachments=files)
    await person.open(f"#/log?message={message_id}")
    async with person.page.expect_download() as started:
        await person.page.get_by_role("button", name="page.html").click()
    saved = await (await started.value).path()
    assert saved.read_bytes() == b"<script>alert(1)</script>"


async def test_what_waits_is_cancelled(person: Person) -> None:
    later = datetime.now(UTC).replace(microsecond=0).isoformat()
    later = later.replace(later[:4], str(int(later[:4]) + 1), 1).replace("-02-29", "-02-28")
    message_id = await _accept(person.client, title="Next year", send_at=later)
    await person.open(f"#/log?message={message_id}")
    side = person.page.get_by_role("complementary")
    await person.sees(side.get_by_text("scheduled", exact=True))
    await person.press("Cancel", side)
    await person.sees(side.get_by_text("Somebody asked for it."))
    assert (await person.client.get(f"/v1/messages/{message_id}")).body["status"] == "cancelled"


async def test_what_is_held_is_released(person: Person) -> None:
    message_id = await _accept(person.client, title="Perhaps", send_at=None)
    await person.client.final(message_id)
    statement = "UPDATE delivery SET status = 'held', reason = 'unknown_outcome'"
    await person.client.parts.database.writer.execute_query(statement)
    await person.open(f"#/log?message={message_id}")
    side = person.page.get_by_role("complementary")
    await person.sees(side.get_by_text("Perhaps it was sent; somebody must decide."))
    await person.press("Release", side)
    await person.sees(side.locator(".delivery").get_by_text("Attempt 2"))


async def test_a_long_log_keeps_few_rows_in_the_page(person: Person) -> None:
    message_id = await _accept(person.client, title="The newest")
    await person.client.final(message_id)
    await _multiply(person.client, message_id)
    await person.open()
    rows = person.page.locator("tbody tr")
    await person.sees("Messages shown: 50")
    for shown in (100, 150, 200, 200, 200):
        last = await rows.last.get_attribute("data-id")
        await person.press("Older")
        await person.page.wait_for_function(
            "(last) => document.querySelector('tbody tr:last-child').dataset.id !== last", arg=last
        )
        assert await rows.count() == shown
    ids = await rows.evaluate_all("(rows) => rows.map((row) => row.dataset.id)")
    assert ids == sorted(set(ids), reverse=True)
    assert message_id not in ids
    await person.press("Back to the newest")
    # Not the title alone: the button that was pressed has the same words.
    await person.sees("Messages shown: 50")
    await person.sees(rows.first.get_by_text("The newest"))
    assert await rows.count() == 50
    async with asyncio.TaskGroup() as group:
        for number in range(250):
            group.create_task(_accept(person.client, title=f"More {number}"))
    await person.sees("Messages shown: 200")
    assert await rows.count() == 200


async def _multiply(client: Client, message_id: str) -> None:
    """Let the log be long: so many older messages, each like this one."""
    writer = client.parts.database.writer
    _, columns = await writer.execute_query("PRAGMA table_info(message)")
    names = [column["name"] for column in columns]
    shape = "printf('%08x-%04x-7000-8000-%012x', (ms - i) >> 16, (ms - i) & 65535, i)"
    values = ", ".join(shape if name == "id" else name for name in names)
    milliseconds = int(message_id.replace("-", "")[:12], 16)
    await writer.execute_query(
        f"INSERT INTO message ({', '.join(names)}) "
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {_MANY}) "
        f"SELECT {values} FROM message, n, (SELECT {milliseconds} AS ms)"
    )
