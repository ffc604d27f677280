"""How long a claim is its holder's, by the database's clock where several processes share one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from almenara.database import Database, read_timestamp
from almenara.deliveries import LEASE, Claim, Status, renew
from almenara.dispatch import Leases
from almenara.ledger import (
    ClaimRequest,
    RescueRequest,
    claim,
    record_results,
    rescue_orphans,
    return_claims,
)
from almenara.queues.renewal import Renewal
from almenara.settings import Settings
from tests.acceptance.test_health import wired
from tests.serving import make_settings, until
from tests.stored import (
    NOW,
    a_plan,
    a_result,
    claims_of,
    deliveries_of,
    end_leases,
    in_transaction,
    opened_database,
    store,
    stored,
)

ONLY_POSTGRES = pytest.mark.parametrize(
    "settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
#: A lease whose renewal a test can watch.
SHORT = timedelta(seconds=1.8)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


async def rescued(database: Database, **fields: Any) -> int:
    request = RescueRequest(**{"now": NOW} | fields)
    [results] = await in_transaction(database, lambda one: rescue_orphans(one, [request]))
    return len(results)


async def leased_seconds(database: Database, one: Claim) -> float:
    """Return how long a claim's lease lasts yet, by the database's clock."""
    [row] = await database.fetch(
        "SELECT EXTRACT(EPOCH FROM lease_until - clock_timestamp())::float8 AS seconds"
        " FROM delivery WHERE id = $1",
        one.delivery_id,
    )
    return float(row["seconds"])


async def renewed(database: Database, *claims: Claim) -> int:
    connection = await database.connect("a test")
    try:
        return len(await renew(connection, [(one.delivery_id, one.token) for one in claims], LEASE))
    finally:
        await connection.close()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_on_sqlite_a_lease_ends_by_the_clock_of_the_process(database: Database) -> None:
    plan = await stored(database, claimed=True)
    [row] = await deliveries_of(database, plan)
    assert read_timestamp(row["lease_until"]) == NOW + LEASE
    assert await rescued(database, now=NOW + LEASE) == 0
    assert await rescued(database, now=NOW + LEASE + timedelta(microseconds=1)) == 1


@ONLY_POSTGRES
@pytest.mark.parametrize("skew", [timedelta(seconds=-90), timedelta(seconds=90)])
async def test_on_postgresql_a_lease_ends_by_the_clock_of_the_database(
    database: Database, skew: timedelta
) -> None:
    born = await stored(database, claimed=True, now=NOW + skew)
    waiting = await stored(database, now=NOW + skew)
    request = ClaimRequest([("team", 1)], NOW + skew)
    [answer] = await in_transaction(database, lambda one: claim(one, [request]))
    [fetched] = answer.claims
    assert fetched.message_id == waiting.message.id
    for one in (*claims_of(born), fetched):
        assert LEASE.total_seconds() - 10 < await leased_seconds(database, one)
        assert await leased_seconds(database, one) <= LEASE.total_seconds()
    assert await rescued(database, now=NOW + skew + timedelta(days=1)) == 0
    await end_leases(database)
    assert await rescued(database, now=NOW + skew - timedelta(days=1)) == 2


@ONLY_POSTGRES
async def test_exactly_the_claims_that_are_still_held_are_renewed(database: Database) -> None:
    plans = [a_plan(claimed=True) for _ in range(4)]
    await store(database, *plans)
    mine, other, done, given_back = (claims_of(one)[0] for one in plans)
    await in_transaction(database, lambda one: record_results(one, [a_result(done, Status.SENT)]))
    await in_transaction(database, lambda one: return_claims(one, [[given_back]]))
    await end_leases(database)
    assert await renewed(database, mine, done, given_back) == 1
    assert await leased_seconds(database, mine) > 0
    assert await leased_seconds(database, other) < 0
    assert await rescued(database) == 1
    assert await renewed(database, other) == 0


@ONLY_POSTGRES
async def test_renewing_waits_for_nobody(database: Database) -> None:
    plans = [a_plan(claimed=True), a_plan(claimed=True)]
    await store(database, *plans)
    settling, free = (claims_of(one)[0] for one in plans)
    async with database.transaction() as transaction:
        await record_results(transaction, [a_result(settling, Status.SENT)])
        assert await renewed(database, settling, free) == 1


@ONLY_POSTGRES
async def test_nothing_is_claimed_by_an_older_configuration(database: Database) -> None:
    await stored(database)
    [row] = await database.fetch("SELECT revision FROM configuration")
    for revision, count in ((row["revision"] - 1, 0), (row["revision"], 1)):
        request = ClaimRequest([("team", 1)], NOW, revision=revision)
        [answer] = await in_transaction(database, lambda one, r=request: claim(one, [r]))
        assert len(answer.claims) == count


def a_claim() -> Claim:
    [one] = claims_of(a_plan(claimed=True))
    return one


def test_a_lease_that_ran_out_never_starts_a_send_again() -> None:
    leases, one = Leases(timedelta()), a_claim()
    leases.hold(one)
    assert not leases.lasts(one, 0)
    assert leases.newly_lapsed_count() == 1
    assert leases.newly_lapsed_count() == 0
    leases.renewed(leases.to_renew(), asked_at=one.claimed_at + 1)
    assert not leases.lasts(one, 0)


def test_a_lease_that_ran_out_is_counted_though_it_was_let_go_before() -> None:
    leases, one = Leases(timedelta()), a_claim()
    leases.hold(one)
    leases.let_go(one)
    assert leases.newly_lapsed_count() == 1
    assert leases.newly_lapsed_count() == 0


def test_a_lease_that_is_renewed_in_time_lasts_on() -> None:
    leases, one = Leases(), a_claim()
    assert leases.lasts(one, 20)
    assert not leases.lasts(one, 26)
    leases.hold(one)
    leases.renewed([(one.delivery_id, one.token)], asked_at=one.claimed_at + 5)
    assert leases.lasts(one, 29)
    leases.let_go(one)
    leases.renewed([(one.delivery_id, one.token)], asked_at=one.claimed_at + 5)
    assert not leases.lasts(one, 29)


@pytest.mark.postgres
async def test_renewal_goes_on_when_the_database_is_back(
    tmp_path: Path, postgres_database: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = ""

    def heard(event: str) -> Callable[[], Awaitable[bool]]:
        async def listen() -> bool:
            nonlocal said
            said += capsys.readouterr().out
            return event in said

        return listen

    url = postgres_database(migrated=True)
    async with wired(url) as wire, opened_database(make_settings(tmp_path, wire.url)) as database:
        plans = [await stored(database, claimed=True) for _ in range(2)]
        first, second = (claims_of(one)[0] for one in plans)
        leases = Leases(SHORT)
        leases.hold(first)
        renewal = Renewal(database, leases)
        renewal.start()
        try:
            await until(partial(_is_short, database, first))
            await wire.cut()
            await until(heard("lease_renewal_failed"))
            await until(heard("leases_lapsed"))
            await wire.mend()
            leases.hold(second)
            await until(heard("lease_renewal_resumed"))
            assert renewal.healthy
        finally:
            await renewal.stop()
        assert not leases.lasts(first, 0)
        assert not renewal.healthy


async def _is_short(database: Database, one: Claim) -> bool:
    """Tell whether a lease was renewed, for a shorter time than it had at first."""
    return await leased_seconds(database, one) < LEASE.total_seconds() / 2
