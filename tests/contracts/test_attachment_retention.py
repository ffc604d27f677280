"""Contents of attachments are kept while a message names them, and not for long after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from hashlib import sha256

import pytest

from almenara.database import Database
from almenara.deliveries import AttachedFile, MessageStatus
from almenara.ledger import Ledger
from almenara.ledger.attachments import CHUNK_BYTES, ORPHANED_AFTER
from almenara.retention import Retention
from almenara.settings import Settings
from almenara.uploads import Upload, Uploads
from tests.aged import LONG_AGO, aged, message_of
from tests.stored import NOW, SECOND, count, opened_database

CONTENT = b"x" * (CHUNK_BYTES + 1)
LATER = NOW + ORPHANED_AFTER + SECOND


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    one = Ledger(database)
    one.start()
    yield one
    await one.close()


def keeper(database: Database, ledger: Ledger, now: datetime = NOW) -> Retention:
    return Retention(database=database, ledger=ledger, clock=lambda: now, days=90)


async def brought(
    ledger: Ledger, content: bytes = CONTENT, *, at: datetime = NOW
) -> tuple[AttachedFile, ...]:
    """Store a content, and return what a message names it by."""
    uploads = Uploads(ledger=ledger, clock=lambda: at)
    return await uploads.store([Upload("a.bin", "application/octet-stream", content)])


async def test_what_no_message_names_is_purged_after_an_hour(
    database: Database, ledger: Ledger
) -> None:
    await brought(ledger)
    await brought(ledger, b"another")
    assert await keeper(database, ledger, NOW + ORPHANED_AFTER).purge_attachments() == 0
    assert await keeper(database, ledger, LATER).purge_attachments() == 2
    assert await count(database, "attachment_content") == 0
    assert await count(database, "attachment_chunk") == 0


async def test_whoever_brings_it_again_keeps_it_for_another_hour(
    database: Database, ledger: Ledger
) -> None:
    await brought(ledger)
    await brought(ledger, at=NOW + timedelta(minutes=30))
    assert await keeper(database, ledger, LATER).purge_attachments() == 0
    assert await count(database, "attachment_chunk") == 2


async def test_a_content_goes_with_the_last_message_that_names_it(
    database: Database, ledger: Ledger
) -> None:
    files = await brought(ledger)
    await aged(database, MessageStatus.SENT, attachments=files)
    young = await aged(database, MessageStatus.SENT, accepted=NOW, attachments=files)
    one = keeper(database, ledger, LATER)
    assert await one.purge() == 1
    assert await one.purge_attachments() == 0
    assert await count(database, "attachment_use") == 1
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM delivery WHERE message_id = $1", young.message.id)
        await transaction.execute("DELETE FROM message WHERE id = $1", young.message.id)
    assert await one.purge_attachments() == 1


async def test_a_redacted_message_lets_go_of_its_files(database: Database, ledger: Ledger) -> None:
    files = await brought(ledger)
    plan = await aged(database, MessageStatus.SENT, redact=True, attachments=files)
    other = await aged(database, MessageStatus.SENT, attachments=files)
    one = keeper(database, ledger, LATER)
    assert await one.redact() == 1
    assert (await message_of(database, plan))["attachments"] is None
    assert (await message_of(database, other))["attachments"] is not None
    assert await one.purge_attachments() == 0
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE message SET redact = TRUE")
    assert await one.redact() == 1
    assert await one.purge_attachments() == 1


async def test_a_message_cannot_name_what_is_not_stored(database: Database, ledger: Ledger) -> None:
    missing = AttachedFile("a", "text/plain", 1, sha256(b"a").hexdigest())
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await aged(database, MessageStatus.SENT, accepted=LONG_AGO, attachments=(missing,))
    assert await count(database, "message") == 0


async def test_the_round_stops_when_it_is_told_to(database: Database, ledger: Ledger) -> None:
    await brought(ledger)
    one = keeper(database, ledger, LATER)
    await one.close()
    assert await one.purge_attachments() == 0
