"""Rows in the product's own tables, written by the thousand in SQL, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

#: Time-ordered ids, as the product makes them: the moment, a running number, a digest.
_IDS = """
CREATE OR REPLACE FUNCTION bench_id(moment timestamptz, number bigint) RETURNS uuid
LANGUAGE SQL IMMUTABLE AS $$
    SELECT (
        lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint + number / 1000), 12, '0')
        || '7' || lpad(to_hex(number % 1000), 3, '0')
        || '8' || substr(md5(number::text || moment::text), 1, 15)
    )::uuid
$$
"""
_MESSAGES = """
INSERT INTO message (id, topic, status, title, description, format, priority, tags, data,
    recipients, metadata, created_at, redact)
SELECT bench_id(%(at)s, n), 'sales', 'queued', 'A question', repeat('I need help. ', 16), 'text', 3,
    '["bench"]', '{"plan": "large", "seats": 12}', '[]', '{}',
    %(at)s + n * interval '1 microsecond', FALSE
FROM generate_series(1, %(count)s) AS n
"""
_DELIVERIES = """
INSERT INTO delivery (id, message_id, channel, position, chained, status, priority, due_at,
    attempt_number, retry_step, death_count, created_at)
SELECT bench_id(%(at)s, n + 500000000), bench_id(%(at)s, n), %(channel)s, 0, FALSE, 'pending', 3,
    %(at)s + n * interval '1 microsecond', 0, 0, 0, %(at)s
FROM generate_series(1, %(count)s) AS n
"""
_CHANNEL = """
INSERT INTO channel (id, name, plugin, settings, enabled, timeout_seconds, retry_schedule,
    concurrency, on_unknown, revision, created_at, updated_at)
VALUES (gen_random_uuid(), %s, 'Plain', jsonb_build_object('url', %s::text), TRUE, 15, '[]', 16,
    'retry', 1, now(), now())
"""
#: Cheaper than a count, and as often as wanted: the newest are sent last. In any other order each
#: look would walk over all that is done, and be a part of what is measured.
_ANY_OPEN = """
SELECT 1 FROM delivery WHERE status IN ('pending', 'sending') ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True)
class Outcome:
    """What stands in the database at the end."""

    sent_count: int
    attempt_count: int


class Rows:
    """The rows of one database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(_IDS)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def add_plain_channel(self, name: str, url: str) -> None:
        """Write a channel whose address stands in clear."""
        self._connection.execute(_CHANNEL, (name, url))

    def add_deliveries(self, channel: str, count: int, *, due_in_seconds: float) -> float:
        """Write pending deliveries, each with its message; return when the last of them is due.

        What the planner knows of the tables is brought up to date, as autovacuum does in time.
        """
        row = self._connection.execute(
            "SELECT date_trunc('milliseconds', now()) + make_interval(secs => %s)",
            (due_in_seconds,),
        ).fetchone()
        assert row is not None
        values = {"at": row[0], "count": count, "channel": channel}
        with self._connection.transaction():
            self._connection.execute(_MESSAGES, values)
            self._connection.execute(_DELIVERIES, values)
        self._connection.execute("ANALYZE message, delivery")
        return float(row[0].timestamp()) + count / 1e6

    def waiting_ids(self, channel: str) -> list[str]:
        """Return the deliveries that wait, the oldest first."""
        rows = self._connection.execute(
            "SELECT id::text FROM delivery WHERE channel = %s AND status = 'pending' ORDER BY id",
            (channel,),
        )
        return [row[0] for row in rows]

    def all_done(self) -> bool:
        """Tell whether nothing waits or is being sent."""
        return self._connection.execute(_ANY_OPEN).fetchone() is None

    def outcome(self) -> Outcome:
        """Count what was sent and recorded."""
        row = self._connection.execute(
            "SELECT (SELECT count(*) FROM delivery WHERE status = 'sent'),"
            " (SELECT count(*) FROM attempt WHERE outcome = 'sent')"
        ).fetchone()
        assert row is not None
        return Outcome(*row)
