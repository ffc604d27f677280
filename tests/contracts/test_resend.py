"""What was sent again is not sent again twice, and what cannot be is refused with the reason."""

from __future__ import annotations

import asyncio

import pytest

from almenara.database import Transaction
from almenara.deliveries import Plan, Status
from almenara.ledger import insert_messages, record_results
from almenara.resend import insert_again, plan_again, read_newest
from tests.serving import Client
from tests.stored import NOW, a_plan, a_result, claims_of, deliveries_of, in_transaction


async def failed(client: Client) -> Plan:
    """Store a message whose delivery has failed."""
    plan = a_plan("log", claimed=True)

    async def work(transaction: Transaction) -> None:
        await insert_messages(transaction, [plan])
        await record_results(transaction, [a_result(claims_of(plan)[0], Status.FAILED)])

    await in_transaction(client.parts.database, work)
    return plan


@pytest.mark.parametrize(
    "settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
async def test_transactions_of_several_processes_that_send_the_same_again_do_it_once(
    client: Client,
) -> None:
    plan = await failed(client)
    found: list[int] = []

    async def again(transaction: Transaction) -> None:
        newest = await read_newest(transaction, [plan.message.id])
        rows = [row for row in newest if row["id"] == plan.deliveries[0].id]
        found.append(len(rows))
        await asyncio.sleep(0.05)
        await insert_again(transaction, [plan_again([row], now=NOW)[0] for row in rows])

    await asyncio.gather(*(in_transaction(client.parts.database, again) for _ in range(3)))
    assert sorted(found) == [0, 0, 1]
    assert len(await deliveries_of(client.parts.database, plan)) == 2


async def test_a_message_whose_texts_were_dropped_is_not_sent_again(client: Client) -> None:
    plan = await failed(client)
    await in_transaction(
        client.parts.database, lambda one: one.execute("UPDATE message SET redacted_at = $1", NOW)
    )
    for path in (f"messages/{plan.message.id}", f"deliveries/{plan.deliveries[0].id}"):
        refused = await client.post(f"/v1/{path}/resend")
        assert (refused.status, refused.body["code"]) == (409, "message_redacted")
    assert len(await deliveries_of(client.parts.database, plan)) == 1


async def test_nothing_is_locked_or_found_for_no_messages(client: Client) -> None:
    assert await in_transaction(client.parts.database, lambda one: read_newest(one, [])) == []
