"""How a channel fares: its rate, the breaker that pauses and resumes it, its drills.

The only writer of ``channel_state``. Every statement runs inside a transaction that the ledger
opened. What several processes must agree on stands in one row of a channel, which is locked on
PostgreSQL: first ``configuration``, then rows of ``channel_state`` in the order of their ids, then
messages, then deliveries. Claims never wait for such a row: a channel whose row is locked is passed
over, and looked at again in a moment.
"""

from almenara.limits.admission import Allowance, allow, use
from almenara.limits.breaker import note
from almenara.limits.drills import (
    LONGEST_EVERY,
    SHORTEST_EVERY,
    Drilled,
    DueDrill,
    ask_for_drill,
    claim_drills,
    find_due,
    read_drill,
    record_drill,
    schedule_drill,
)
from almenara.limits.operator import forget, pause, resume, rewritten
from almenara.limits.rows import (
    ACTIVE,
    PAUSED,
    DrillOutcome,
    LastDrill,
    PauseReason,
    State,
    read_states,
)

__all__ = [
    "ACTIVE",
    "LONGEST_EVERY",
    "PAUSED",
    "SHORTEST_EVERY",
    "Allowance",
    "DrillOutcome",
    "Drilled",
    "DueDrill",
    "LastDrill",
    "PauseReason",
    "State",
    "allow",
    "ask_for_drill",
    "claim_drills",
    "find_due",
    "forget",
    "note",
    "pause",
    "read_drill",
    "read_states",
    "record_drill",
    "resume",
    "rewritten",
    "schedule_drill",
    "use",
]
