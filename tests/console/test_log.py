"""The view Log as a person uses it."""

from __future__ import annotations

from tests.console.browsing import Person

_HOSTILE = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"


async def test_a_message_is_found_and_opens_as_its_time_line(person: Person) -> None:
    accepted = await person.client.post(
        "/v1/messages", {"topic": "hello", "title": "Order 4711", "description": "Ana waits"}
    )
    await person.client.final(accepted.body["id"])
    await person.open()
    await (await person.sees("Order 4711")).click()
    side = person.page.get_by_role("complementary")
    await person.sees(side.get_by_role("heading", name="Order 4711"))
    await person.sees(side.get_by_text("Accepted on the topic hello, for log."))
    await person.sees(side.get_by_text("Attempt 1", exact=True))
    assert accepted.body["id"] in person.page.url
    assert await person.violations() == []
    await person.page.keyboard.press("Escape")
    await side.wait_for(state="hidden")


async def test_what_a_message_says_is_only_ever_text(person: Person) -> None:
    accepted = await person.client.post(
        "/v1/messages",
        {"topic": "hello", "title": _HOSTILE, "description": _HOSTILE, "tags": [_HOSTILE[:60]]},
    )
    await person.open(f"#/log?message={accepted.body['id']}")
    await person.sees(person.page.get_by_role("heading", name=_HOSTILE))
    assert await person.page.locator("main script, main img").count() == 0
    assert await person.page.title() == "Log · Almenara"
