"""A change that one process makes holds in every other one on its PostgreSQL database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from almenara.testing import Answer, FakeService
from tests.acceptance.test_shared_database import Databases, arrivals, channel, fleet, hand_in
from tests.serving import until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120), pytest.mark.unmeasured]


async def test_what_one_process_is_told_of_channels_and_topics_the_other_one_knows_at_once(
    tmp_path: Path, postgres_database: Databases
) -> None:
    with FakeService() as old, FakeService() as new:
        async with fleet(tmp_path, postgres_database()) as two:
            first, second = two.clients
            await channel(first, "sink", "Webhook", settings={"url": old.url})
            topic = await first.call("PUT", "/v1/topics/sales", {"channels": ["sink"]})
            assert topic.status == 201
            ids = []
            for receiver in (old, new):
                accepted = await second.post(
                    "/v1/messages", {"topic": "sales", "description": receiver.url}
                )
                assert accepted.status == 202, accepted.text
                ids.append(accepted.body["deliveries"][0]["id"])
                await second.final(accepted.body["id"])
                moved = await first.call(
                    "PATCH", "/v1/channels/sink", {"settings": {"url": new.url}}
                )
                assert moved.status == 200
            assert [list(arrivals(one)) for one in (old, new)] == [[ids[0]], [ids[1]]]
            gone = await second.call("DELETE", "/v1/channels/sink?force=true")
            assert gone.status == 204
            refused = await first.post("/v1/messages", {"channel": "sink", "description": "x"})
            assert (refused.status, refused.body["code"]) == (422, "channel_not_found")


async def test_what_waits_is_sent_as_the_channel_was_changed_elsewhere(
    tmp_path: Path, postgres_database: Databases
) -> None:
    with FakeService() as old, FakeService() as new:
        async with fleet(tmp_path, postgres_database()) as two:
            first, second = two.clients
            await channel(first, "sink", "Webhook", settings={"url": old.url}, enabled=False)
            ids = await hand_in(second, "sink", 40)
            await channel(second, "sink", "Webhook", settings={"url": new.url})
            await two.settled()
    assert old.received == []
    assert sorted(arrivals(new)) == sorted(ids)


async def test_a_channel_that_was_disabled_elsewhere_receives_nothing_claimed_after_that(
    tmp_path: Path, postgres_database: Databases
) -> None:
    with FakeService() as receiver:
        async with fleet(tmp_path, postgres_database()) as two:
            receiver.answer = Answer(delay=0.02)
            first, second = two.clients
            await channel(first, "sink", "Webhook", settings={"url": receiver.url}, concurrency=4)
            await channel(first, "witness", "Log")
            ids = await hand_in(first, "sink", 300)
            for switched in range(6):
                client = two.clients[switched % 2]
                off = await client.call("PATCH", "/v1/channels/sink", {"enabled": False})
                assert off.status == 200
                claimed = await two.rows.fetchval(CLAIMED)
                for one in (first, second):
                    # Nothing is born claimed for it, and a scan has passed.
                    ids += await hand_in(one, "sink", 1)
                    waits = await one.post(
                        "/v1/messages", {"channel": "witness", "description": "a scan"}
                    )
                    await one.final(waits.body["id"])
                await until(_nothing_is_sent(two.rows))
                assert await two.rows.fetchval(CLAIMED) == claimed
                client = two.clients[(switched + 1) % 2]
                await client.call("PATCH", "/v1/channels/sink", {"enabled": True})
            await two.settled()
            assert arrivals(receiver) == dict.fromkeys(ids, 1)


#: How often something was claimed for the channel; a claim that is given back counts no more.
CLAIMED = "SELECT sum(attempt_number) FROM delivery WHERE channel = 'sink'"


def _nothing_is_sent(rows: Any) -> Any:
    async def look() -> bool:
        return not await rows.fetchval(
            "SELECT count(*) FROM delivery WHERE channel = 'sink' AND status = 'sending'"
        )

    return look


async def test_a_claim_waits_for_a_change_that_is_being_committed_and_obeys_it(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database()
    with FakeService() as receiver:
        async with fleet(tmp_path, url, 1) as one:
            [client] = one.clients
            await channel(client, "sink", "Webhook", settings={"url": receiver.url})
            changing = await asyncpg.connect(url)
            try:
                async with changing.transaction():
                    await changing.execute("UPDATE configuration SET revision = revision + 1")
                    await changing.execute("UPDATE channel SET enabled = false WHERE name = 'sink'")
                    # Due since long: as it is not rung for, the scan finds it by its own refresh.
                    await one.rows.execute(_WAITING)
                    await until(_a_claim_waits(one.rows))
            finally:
                await changing.close()
            await channel(client, "witness", "Log")
            accepted = await client.post("/v1/messages", {"channel": "witness", "description": "x"})
            await client.final(accepted.body["id"])
            assert await one.rows.fetchval(CLAIMED) == 0
    assert receiver.received == []


#: A message with a delivery, as its other process would have stored it.
_WAITING = """
WITH stored AS (
    INSERT INTO message (id, status, description, format, priority, tags, data, recipients,
        metadata, redact, created_at)
    VALUES (gen_random_uuid(), 'queued', 'x', 'text', 3, '[]', '{}', '[]', '{}', false, now())
    RETURNING id
)
INSERT INTO delivery (id, message_id, channel, position, status, priority, due_at, attempt_number,
    retry_step, death_count, chained, created_at)
SELECT gen_random_uuid(), id, 'sink', 0, 'pending', 3, now(), 0, 0, 0, false, now() FROM stored
"""


def _a_claim_waits(rows: Any) -> Any:
    async def look() -> bool:
        waiting = await rows.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE 'SELECT revision%FOR SHARE%'"
        )
        return bool(waiting)

    return look
