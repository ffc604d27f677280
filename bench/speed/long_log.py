"""A long log, written in SQL by the hundred thousand: finished messages of half a year.

Each message has one delivery, and each delivery an attempt, as they stand once they are done. The
ids are in the order of time, as the product's are, so every index grows at its end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

#: How long ago the oldest message of a log came.
SPAN = timedelta(days=180)
#: No message is younger: what is measured is written behind it.
_YOUNGEST = timedelta(hours=1)
#: So many messages are written by one statement.
_BATCH = 100_000

#: The last digits of the ids, by what they are of.
_MESSAGE, _DELIVERY, _ATTEMPT = 1, 2, 3

#: The moments of the numbers from ``:first`` to ``:last``, in milliseconds since 1970.
_NUMBERS = """
WITH RECURSIVE numbers(n) AS (
    SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last
), moments AS (SELECT n, :begin_ms + CAST(n * :step_ms AS INTEGER) AS ms FROM numbers)
"""


def _id(kind: int) -> str:
    """Write a UUIDv7 of a moment and a number, in SQL."""
    # A plain count at its end would sort as well; what stands in between makes it as long.
    return (
        "printf('%08x-%04x-7%03x-8%03x-%012x', ms >> 16, ms & 65535, n % 4096, "
        f"(n * 7919) % 4096, n * 4 + {kind})"
    )


def _moment(later_ms: int = 0) -> str:
    """Write a moment as SQLite's database has it, in SQL."""
    text = f"strftime('%Y-%m-%d %H:%M:%f', (ms + {later_ms}) / 1000.0, 'unixepoch')"
    return f"{text} || '000+00:00'"


#: Nineteen of twenty were sent, the others failed.
_STATUS = "CASE WHEN n % 20 = 7 THEN 'failed' ELSE 'sent' END"

_MESSAGES = f"""
{_NUMBERS}
INSERT INTO message (id, topic, status, title, description, format, priority, tags, data,
    recipients, reference, metadata, created_at, redact)
SELECT {_id(_MESSAGE)}, 'topic-' || (n % 20), {_STATUS}, 'Question ' || n,
    'I need help with my plan: which one has ' || (n % 97) || ' seats, and what does it cost?',
    'text', 1 + n % 5, '["bench"]', '{{"plan": "large", "seats": 12}}', '[]',
    CASE WHEN n % 10 = 3 THEN 'order-' || n END, '{{}}', {_moment()}, 0
FROM moments
"""
_DELIVERIES = f"""
{_NUMBERS}
INSERT INTO delivery (id, message_id, channel, position, chained, status, reason, priority, due_at,
    attempt_number, retry_step, death_count, started_at, reference, created_at, finished_at)
SELECT {_id(_DELIVERY)}, {_id(_MESSAGE)}, 'channel-' || (n % 5), 0, 0, {_STATUS},
    CASE WHEN n % 20 = 7 THEN 'permanent_error' END, 1 + n % 5, {_moment()}, 1, 0, 0, {_moment(2)},
    'C' || n, {_moment()}, {_moment(180)}
FROM moments
"""
_ATTEMPTS = f"""
{_NUMBERS}
INSERT INTO attempt (id, message_id, delivery_id, number, outcome, error, reference, started_at,
    finished_at, duration_ms, late)
SELECT {_id(_ATTEMPT)}, {_id(_MESSAGE)}, {_id(_DELIVERY)}, 1,
    CASE WHEN n % 20 = 7 THEN 'permanent_error' ELSE 'sent' END,
    CASE WHEN n % 20 = 7 THEN 'The service answered 404: no such room.' END, 'C' || n,
    {_moment(2)}, {_moment(180)}, 178, 0
FROM moments
"""
#: Deliveries that are due, each of a message of its own, behind all that is finished.
_DUE = (
    f"""
{_NUMBERS}
INSERT INTO message (id, topic, status, description, format, priority, tags, data, recipients,
    metadata, created_at, redact)
SELECT {_id(_MESSAGE)}, :channel, 'queued', 'I need help', 'text', 3, '[]', '{{}}', '[]', '{{}}',
    {_moment()}, 0
FROM moments
""",
    f"""
{_NUMBERS}
INSERT INTO delivery (id, message_id, channel, position, chained, status, priority, due_at,
    attempt_number, retry_step, death_count, created_at)
SELECT {_id(_DELIVERY)}, {_id(_MESSAGE)}, :channel, 0, 0, 'pending', 3, {_moment()}, 0, 0, 0,
    {_moment()}
FROM moments
""",
)


class LongLog:
    """The log of one database; its tables are there, and no server is running.

    Args:
        whole: how many messages it is to have in the end: they are spread over its span.
    """

    def __init__(self, file: Path, whole: int) -> None:
        self._file = file
        self._now = datetime.now(UTC)
        self._begin_ms = _milliseconds(self._now - SPAN)
        self._step_ms = (SPAN - _YOUNGEST) / timedelta(milliseconds=1) / whole
        self._count = 0
        self._due_count = 0

    def fill(self, count: int) -> None:
        """Bring it to so many finished messages."""
        with self._writing() as connection:
            while self._count < count:
                last = min(self._count + _BATCH, count)
                values = {
                    "first": self._count + 1,
                    "last": last,
                    "begin_ms": self._begin_ms,
                    "step_ms": self._step_ms,
                }
                for statement in (_MESSAGES, _DELIVERIES, _ATTEMPTS):
                    connection.execute(statement, values)
                self._count = last

    def add_due(self, channel: str, count: int) -> None:
        """Write deliveries that are due now."""
        begin_ms = _milliseconds(self._now - _YOUNGEST)
        first, self._due_count = self._due_count + 1, self._due_count + count
        values = {"first": first, "last": self._due_count, "begin_ms": begin_ms, "step_ms": 1}
        with self._writing() as connection:
            for statement in _DUE:
                connection.execute(statement, values | {"channel": channel})

    def last_before_page(self, number: int, limit: int) -> str:
        """Return the id behind which a page begins, of a list that comes newest first."""
        with closing(sqlite3.connect(self._file)) as connection:
            row = connection.execute(
                "SELECT id FROM message ORDER BY id DESC LIMIT 1 OFFSET ?",
                ((number - 1) * limit - 1,),
            ).fetchone()
        return str(row[0])

    def moment_of(self, number: int) -> datetime:
        """Return when the message of a number came."""
        milliseconds = self._begin_ms + int(number * self._step_ms)
        return datetime.fromtimestamp(milliseconds / 1000, UTC)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction, and leave the file whole."""
        with closing(sqlite3.connect(self._file)) as connection:
            # It is the bench's own: what a crash would leave of it is thrown away.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA cache_size = -262144")
            yield connection
            connection.commit()
            # What the server finds is a file as it leaves one itself.
            connection.execute("PRAGMA journal_mode = WAL")


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
