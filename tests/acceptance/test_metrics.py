"""`GET /metrics` of a real server: what it counts is what happened, and what waits is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from almenara import __version__
from almenara.figures import METRICS
from almenara.settings import Settings
from tests.acceptance.test_crash import client_of
from tests.acceptance.test_problems import without_table
from tests.plugins.author import Author
from tests.processes import ServerProcess
from tests.scraped import Scrape, assert_grown, forget_figures, outcomes, scrape
from tests.serving import Client, make_settings, served, until
from tests.tokens import ISSUER, SECRET, bearer, token

ATTEMPTS = "almenara_delivery_attempts_total"
DURATIONS = "almenara_delivery_attempt_duration_seconds"


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of a server, on both databases, which has counted nothing yet."""
    forget_figures()
    Author(settings.plugins_dir)
    async with served(settings) as one:
        yield one


async def channel(client: Client, name: str, plugin: str = "Told", **fields: Any) -> None:
    answer = await client.call("PUT", f"/v1/channels/{name}", {"plugin": plugin, **fields})
    assert answer.status == 201, answer.text


async def send(client: Client, name: str, description: str) -> str:
    body = {"channel": name, "description": description}
    answer = await client.post("/v1/messages", body)
    assert answer.status == 202, answer.text
    return str(answer.body["id"])


async def test_what_was_sent_failed_and_tried_again_is_counted_exactly(client: Client) -> None:
    await channel(client, "told", retry_schedule=["0s", "0s"], breaker_failures=1000)
    await channel(client, "slow", timeout_seconds=1, retry_schedule=[])
    said = ["ok"] * 3 + ["permanent"] * 2 + ["temporary"]
    ids = [await send(client, "told", one) for one in said]
    ids.append(await send(client, "slow", "hang"))
    # It is stored once, however often it is sent.
    key = {"headers": {"Idempotency-Key": "one"}}
    for _ in range(3):
        body = {"channel": "told", "description": "once"}
        answer = await client.post("/v1/messages", body, **key)
        assert answer.status == 202
    ids.append(answer.body["id"])
    refused = await client.post("/v1/messages", {"topic": "nowhere", "description": "x"})
    assert refused.status == 422
    for one in ids:
        await client.final(one)
    found = await scrape(client)
    assert found("almenara_messages_accepted_total") == len(ids) == 8
    assert outcomes(found, "told") == {"sent": 4, "permanent_error": 2, "temporary_error": 3}
    assert outcomes(found, "slow") == {"timeout": 1}
    assert outcomes(found, "log") == {}
    assert found(f"{DURATIONS}_count", channel="told") == 9
    assert found(f"{DURATIONS}_bucket", channel="slow", le="0.5") == 0
    assert found(f"{DURATIONS}_bucket", channel="slow", le="+Inf") == 1
    assert 1 <= found(f"{DURATIONS}_sum", channel="slow") < 20
    # Every write of the ledger is in some batch: eight messages, ten results.
    assert found("almenara_ledger_batch_size_sum") >= 18
    batches = found("almenara_ledger_batch_size_count")
    assert found("almenara_ledger_commit_duration_seconds_count") == batches
    assert found("almenara_leases_rescued_total") == 0
    assert found("almenara_deliveries_pending", channel="told") == 0
    assert found("almenara_build_info", version=__version__) == 1
    assert_grown(found, await scrape(client))


async def test_every_metric_is_there_from_the_start_with_its_kind(client: Client) -> None:
    async def known() -> Scrape | None:
        one = await scrape(client)
        # So that the first failure is an increase, and not a series that was never there.
        zero = (ATTEMPTS, frozenset({("channel", "log"), ("outcome", "permanent_error")}))
        return one if one.samples.get(zero) == 0 else None

    # A channel is taken notice of within five seconds.
    found: Scrape = await until(known)
    for metric in METRICS:
        name = metric.name + ("_count" if metric.kind == "histogram" else "")
        assert found.kinds.get(name) == metric.kind, metric.name
    assert found("process_resident_memory_bytes", process="0") > 10_000_000
    assert found("process_open_fds", process="0") > 3
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    assert found("process_cpu_seconds_total", process="0") <= (int(stat[11]) + int(stat[12])) / 100


async def test_what_waits_is_shown_by_channel_and_a_deleted_channel_is_forgotten(
    client: Client,
) -> None:
    await channel(client, "told")
    await client.final(await send(client, "told", "ok"))
    await client.post("/v1/channels/told/pause")
    for _ in range(2):
        await send(client, "told", "ok")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    later = {"channel": "told", "description": "ok", "send_at": tomorrow}
    assert (await client.post("/v1/messages", later)).status == 202

    async def waiting() -> Scrape | None:
        one = await scrape(client)
        waits = one("almenara_deliveries_oldest_due_seconds", channel="told") > 0
        return one if waits and one("almenara_deliveries_pending", channel="told") == 3 else None

    found: Scrape = await until(waiting)
    assert found.of("almenara_channel_paused", "reason", channel="told") == {"operator": 1}
    assert found.of("almenara_channel_paused", "reason", channel="log") == {}
    assert found("almenara_deliveries_oldest_due_seconds", channel="log") == 0
    deleted = await client.call("DELETE", "/v1/channels/told?force=true")
    assert deleted.status == 204, deleted.text

    async def forgotten() -> bool:
        one = await scrape(client)
        return not any(("channel", "told") in labels for _, labels in one.samples)

    await until(forgotten)


async def test_slots_are_taken_while_something_is_being_sent(
    client: Client, tmp_path: Path
) -> None:
    await channel(client, "told", timeout_seconds=20)
    message = await send(client, "told", "wait for the word")
    found = await scrape(client)
    assert (found("almenara_send_slots_taken"), found("almenara_send_slots")) == (1, 64)
    (tmp_path / "traces" / "the word").touch()
    await client.final(message)
    assert (await scrape(client))("almenara_send_slots_taken") == 0


@pytest.mark.unmeasured
async def test_what_a_dead_process_held_is_counted_by_the_one_that_rescues_it(
    tmp_path: Path,
) -> None:
    Author(tmp_path / "plugins")
    server = ServerProcess(tmp_path)
    with server:
        async with client_of(server) as client:
            await channel(client, "told", timeout_seconds=20)
            message = await send(client, "told", "wait for the word")
            server.kill()
    (tmp_path / "traces" / "the word").touch()
    with server:
        async with client_of(server) as client:
            await client.final(message)
            found = await scrape(client)
    assert found("almenara_leases_rescued_total") == 1
    assert outcomes(found, "told") == {"unknown": 1, "sent": 1}
    assert found(f"{DURATIONS}_count", channel="told") == 1


async def test_without_its_tables_the_rest_is_told(client: Client) -> None:
    async with without_table(client, "channel_state"):
        found = await scrape(client)
    assert found("almenara_database_up") == 0
    assert "almenara_deliveries_pending" not in found.kinds
    assert found("almenara_ledger_batch_size_count") > 0


async def test_no_text_and_no_secret_is_in_a_label(client: Client) -> None:
    settings = {"token": "c4nary-of-settings"}
    await channel(client, "told", settings=settings, retry_schedule=[])
    body = {"topic": "c4nary-topic", "channel": "told", "description": "c4nary", "title": "c4nary"}
    body |= {"reference": "c4nary", "tags": ["c4nary"], "data": {"c4nary": 1}}
    await client.final((await client.post("/v1/messages", body)).body["id"])
    for wrong in ("surprise", "permanent"):
        await client.final(await send(client, "told", wrong))
    answer = await client.get("/metrics")
    assert outcomes(Scrape(answer), "told") == {
        "sent": 1,
        "temporary_error": 1,
        "permanent_error": 1,
    }
    assert "c4nary" not in answer.text
    labels = {name for metric in METRICS for name in metric.labels}
    assert labels == {"channel", "outcome", "reason", "version"}


async def test_prometheus_sends_a_token_where_tokens_are_asked_for(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)
    async with served(settings) as client:
        assert (await client.get("/metrics")).status == 401
        other = bearer(token(scope="config:read messages:read"))
        assert (await client.get("/metrics", headers=other)).status == 403
        good = bearer(token(scope="admin:read"))
        answer = await client.get("/metrics", headers=good)
    assert Scrape(answer)("almenara_database_up") == 1


async def test_many_scrapes_read_the_database_once(client: Client) -> None:
    first = await asyncio.gather(*(client.parts.backlog.read() for _ in range(8)))
    await client.call("PUT", "/v1/channels/new", {"plugin": "Log"})
    # It is kept for three seconds at least.
    assert {id(one) for one in first} == {id(await client.parts.backlog.read())}
