"""Several server processes on one PostgreSQL database: the work is shared, and sent once."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from almenara.deliveries import LEASE
from almenara.testing import Answer, FakeService
from tests.plugins.author import Author
from tests.processes import ServerProcess
from tests.serving import Client, until

# One after another: each fills the machine with processes of its own.
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.timeout(120),
    pytest.mark.unmeasured,
    pytest.mark.xdist_group("processes"),
]

#: A lease that a test can wait for. An attempt has to fit into it.
SHORT_LEASE = 4.0

Databases = Callable[..., str]


class Fleet:
    """Server processes on one database, a client of each, and a look into the rows."""

    def __init__(
        self, servers: Sequence[ServerProcess], clients: Sequence[Client], rows: asyncpg.Pool
    ) -> None:
        self.servers = servers
        self.clients = clients
        self.rows = rows

    async def settled(self, seconds: float = 60) -> None:
        """Wait until nothing waits and nothing is being sent."""

        async def nothing_waits() -> bool:
            return not await self.rows.fetchval(
                "SELECT count(*) FROM delivery WHERE status IN ('pending', 'sending')"
            )

        await until(nothing_waits, seconds)

    async def attempts(self) -> dict[str, list[tuple[str, bool]]]:
        """Return, by delivery, the outcome of each attempt and whether it came late."""
        rows = await self.rows.fetch(
            "SELECT delivery.id AS id, outcome, late FROM delivery"
            " LEFT JOIN attempt ON attempt.delivery_id = delivery.id ORDER BY attempt.id"
        )
        found: dict[str, list[tuple[str, bool]]] = {}
        for row in rows:
            found.setdefault(str(row["id"]), []).append((row["outcome"], row["late"]))
        return found


@asynccontextmanager
async def fleet(
    directory: Path,
    url: str,
    count: int = 2,
    *,
    lease_seconds: float = LEASE.total_seconds(),
    clocks: Sequence[float] = (0, 0, 0),
) -> AsyncIterator[Fleet]:
    """Start processes at the same moment, on a database that may be empty."""
    servers = [
        ServerProcess(
            directory,
            database_url=url,
            lease_seconds=lease_seconds,
            clock_ahead_seconds=ahead,
        )
        for ahead in clocks[:count]
    ]
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.push(server.__exit__)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        rows = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=1))
        yield Fleet(servers, [Client(session, server.url) for server in servers], rows)


#: The same with a lease that a test can wait for.
held_shortly = partial(fleet, lease_seconds=SHORT_LEASE)


async def channel(client: Client, name: str, plugin: str, **fields: Any) -> None:
    """Write a channel whose attempts fit into the lease."""
    body = {"plugin": plugin, "timeout_seconds": 2} | fields
    answer = await client.call("PUT", f"/v1/channels/{name}", body)
    assert answer.status in {200, 201}, answer.text


async def hand_in(client: Client, name: str, count: int) -> list[str]:
    """Hand messages in, a hundred at a time; return the deliveries' ids."""
    messages = [{"channel": name, "description": f"{number}"} for number in range(count)]
    ids: list[str] = []
    for first in range(0, count, 100):
        answer = await client.post(
            "/v1/messages/batch", {"messages": messages[first : first + 100]}
        )
        assert answer.status == 200, answer.text
        refused = [one["problem"] for one in answer.body["data"] if one["problem"]]
        assert refused == []
        ids += [one["message"]["deliveries"][0]["id"] for one in answer.body["data"]]
    return ids


def arrivals(receiver: FakeService) -> Counter[str]:
    return Counter(one.headers["webhook-id"] for one in receiver.received)


def seen(author: Author, count: int = 1) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return len(author.traces()) >= count

    return look


async def test_three_processes_share_the_work_and_send_each_message_once(
    tmp_path: Path, postgres_database: Databases
) -> None:
    with FakeService() as receiver:
        async with fleet(tmp_path, postgres_database(), 3) as three:
            settings = {"url": receiver.url}
            await channel(three.clients[0], "sink", "Webhook", settings=settings, concurrency=32)
            handed = await asyncio.gather(*(hand_in(one, "sink", 800) for one in three.clients))
            await three.settled()
            ids = [one for ids in handed for one in ids]
            assert arrivals(receiver) == Counter(ids)
            assert await three.attempts() == {one: [("sent", False)] for one in ids}
    for server in three.servers:
        assert server.output.count('"outcome": "sent"') > 0
    made = sum(server.output.count('"event": "attempt_made"') for server in three.servers)
    assert made == len(ids)


async def test_what_a_killed_process_held_another_one_sends(
    tmp_path: Path, postgres_database: Databases
) -> None:
    with FakeService() as receiver:
        async with held_shortly(tmp_path, postgres_database(), 3) as three:
            # So slow that each of the three has attempts under way until the kill.
            receiver.answer = Answer(delay=1)
            settings = {"url": receiver.url}
            await channel(three.clients[0], "sink", "Webhook", settings=settings)
            handed = await asyncio.gather(*(hand_in(one, "sink", 300) for one in three.clients))

            async def under_way() -> bool:
                return len(receiver.received) > 100

            await until(under_way)
            three.servers[0].kill()
            receiver.answer = Answer()
            # Both that live accept and send on.
            handed += await asyncio.gather(
                *(hand_in(one, "sink", 100) for one in three.clients[1:])
            )
            await three.settled()
            stories, arrived = await three.attempts(), arrivals(receiver)
    ids = {one for ids in handed for one in ids}
    assert stories.keys() == arrived.keys() == ids
    unknown = {one for one, story in stories.items() if story[:-1] == [("unknown", False)]}
    for one, story in stories.items():
        assert story[-1] == ("sent", False)
        assert one in unknown or (len(story), arrived[one]) == (1, 1)
        assert arrived[one] <= len(story)
    assert 0 < len(unknown) <= 16


async def stopped_amid_an_attempt(
    two: Fleet, author: Author, stop: signal.Signals
) -> tuple[str, str]:
    """Stop the first process while it makes the first attempt of a message.

    Return the message's id, and the word that its next attempt waits for.

    Mostly who accepts a message sends it, but the other may claim it before, and on a machine that
    stalls the attempt may be over when the signal comes: then it is tried with another message.
    """
    for number in range(10):
        body = {"channel": "told", "description": f"wait for {number}"}
        message_id = (await two.clients[0].post("/v1/messages", body)).body["id"]

        async def begun(identifier: str = message_id) -> Any:
            return next((one for one in author.traces() if one["id"] == identifier), None)

        if (await until(begun))["pid"] == two.servers[0].pid:
            two.servers[0].send_signal(stop)
            story = (await two.clients[1].get(f"/v1/messages/{message_id}")).body
            [delivery] = story["deliveries"]
            if (delivery["status"], delivery["attempts"]) == ("sending", []):
                return message_id, str(number)
            assert stop == signal.SIGSTOP, "it was killed too late"
            two.servers[0].send_signal(signal.SIGCONT)
        author.allow(str(number))
    raise AssertionError("ten messages were not enough to stop a process that sends one")


async def test_a_frozen_process_comes_back_too_late_to_move_anything(
    tmp_path: Path, postgres_database: Databases
) -> None:
    author = Author(tmp_path / "plugins")
    async with held_shortly(tmp_path, postgres_database()) as two:
        frozen, (first, second) = two.servers[0], two.clients
        await channel(first, "told", "Told")
        try:
            message_id, word = await stopped_amid_an_attempt(two, author, signal.SIGSTOP)
            author.allow(word)
            before = await second.final(message_id, seconds=60)
            # The second lease, too, is over by now: the rescue waits for the first, and then looks.
            await asyncio.sleep(SHORT_LEASE)
        finally:
            frozen.send_signal(signal.SIGCONT)

        async def is_late() -> Any:
            story = (await second.get(f"/v1/messages/{message_id}")).body
            [delivery] = story["deliveries"]
            return story if any(one["late"] for one in delivery["attempts"]) else None

        after = await until(is_late)
        # And it works again.
        again = await first.post("/v1/messages", {"channel": "told", "description": "hello"})
        assert (await first.final(again.body["id"]))["status"] == "sent"

        async def is_told() -> bool:
            return '"event": "leases_lapsed"' in frozen.output

        await until(is_told)
    assert before["status"] == after["status"] == "sent"
    [[first_try, second_try, late]] = [one["attempts"] for one in after["deliveries"]]
    assert (first_try["number"], first_try["outcome"]) == (1, "unknown")
    assert (second_try["number"], second_try["outcome"]) == (2, "sent")
    assert (late["number"], late["late"]) == (1, True)
    assert [first_try["late"], second_try["late"]] == [False, False]
    assert before["deliveries"][0]["finished_at"] == after["deliveries"][0]["finished_at"]


async def test_what_a_plugin_that_blocks_its_process_holds_stays_with_it(
    tmp_path: Path, postgres_database: Databases
) -> None:
    directory = tmp_path / "plugins" / "blocker"
    directory.mkdir(parents=True)
    (directory / "blocker.py").write_text(
        "import time\n\n"
        "class Blocker:\n"
        "    async def send_message(self, message, background_tasks):\n"
        f"        time.sleep({2 * SHORT_LEASE})\n"
    )
    async with held_shortly(tmp_path, postgres_database()) as two:
        await channel(
            two.clients[0], "blocker", "Blocker", timeout_seconds=1, retry_schedule=["1h"]
        )
        await two.clients[0].post("/v1/messages", {"channel": "blocker", "description": "x"})

        async def is_recorded() -> Any:
            [story] = (await two.attempts()).values()
            return [one for one in story if one[0] is not None]

        assert await until(is_recorded, 30) in ([("sent", False)], [("timeout", False)])
    assert '"event": "delivery_rescued"' not in two.servers[1].output


@pytest.mark.parametrize("clocks", [(90, 0), (0, 90)])
async def test_clocks_that_differ_neither_rescue_the_living_nor_leave_the_dead(
    tmp_path: Path, postgres_database: Databases, clocks: tuple[float, float]
) -> None:
    author = Author(tmp_path / "plugins")
    async with held_shortly(tmp_path, postgres_database(), clocks=clocks) as two:
        first, second = two.clients
        await channel(first, "told", "Told")
        living = await first.post(
            "/v1/messages", {"channel": "told", "description": "wait for one"}
        )
        await until(seen(author))
        # The other looks for orphans more than once in this time.
        await asyncio.sleep(1.5)
        author.allow("one")
        [story] = (await first.final(living.body["id"]))["deliveries"]
        assert [one["outcome"] for one in story["attempts"]] == ["sent"]
        message_id, word = await stopped_amid_an_attempt(two, author, signal.SIGKILL)

        async def is_rescued() -> bool:
            return '"event": "delivery_rescued"' in two.servers[1].output

        await until(is_rescued, 40)
        author.allow(word)
        # By a clock that is behind it is due only later; what was not lost waits for that.
        [story] = (await second.get(f"/v1/messages/{message_id}")).body["deliveries"]
        assert story["attempts"][0]["outcome"] == "unknown"
        assert (await second.final(message_id, 40))["status"] == "sent"
