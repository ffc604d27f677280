"""Every metric with its name, its labels and its sentence; the reference is made of this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: A name, then the values of its labels, in their order.
Key = tuple[str, ...]

ACCEPTED: Final = "almenara_messages_accepted_total"
ATTEMPTS: Final = "almenara_delivery_attempts_total"
DURATIONS: Final = "almenara_delivery_attempt_duration_seconds"
RESCUED: Final = "almenara_leases_rescued_total"
BATCHES: Final = "almenara_ledger_batch_size"
COMMITS: Final = "almenara_ledger_commit_duration_seconds"
LAGS: Final = "almenara_event_loop_lag_seconds"
SLOTS: Final = "almenara_send_slots"
SLOTS_TAKEN: Final = "almenara_send_slots_taken"
PENDING: Final = "almenara_deliveries_pending"
OLDEST_DUE: Final = "almenara_deliveries_oldest_due_seconds"
PAUSED: Final = "almenara_channel_paused"
DATABASE_UP: Final = "almenara_database_up"
BUILD: Final = "almenara_build_info"

#: So many pending deliveries of one channel are counted, and no more.
MOST_PENDING: Final = 100_000


@dataclass(frozen=True, slots=True)
class Described:
    """A metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    #: What it says, in a sentence.
    text: str
    labels: tuple[str, ...] = ()
    #: Of a histogram, the upper ends of its buckets.
    bounds: tuple[float, ...] = ()
    #: Where it comes from: what each process counts, or the database, at the scrape.
    source: Literal["process", "database"] = "process"


METRICS: Final = (
    Described(ACCEPTED, "counter", "Messages that were stored and answered with 202, each once."),
    Described(
        ATTEMPTS,
        "counter",
        "Attempts that were recorded, by channel and by what they came to.",
        ("channel", "outcome"),
    ),
    Described(
        DURATIONS,
        "histogram",
        "How long attempts took from their claim to their end; those of unknown end are left out.",
        ("channel",),
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20),
    ),
    Described(RESCUED, "counter", "Deliveries that were taken back from processes that had died."),
    Described(
        BATCHES,
        "histogram",
        "How many writes the ledger put into one transaction.",
        bounds=(1, 2, 5, 10, 20, 50, 100, 200, 500),
    ),
    Described(
        COMMITS,
        "histogram",
        "How long a transaction of the ledger took, its commit included.",
        bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    ),
    Described(
        LAGS,
        "histogram",
        "How much later than asked for the event loop woke up; measured every 1 to 5 seconds.",
        bounds=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    ),
    Described(SLOTS, "gauge", "How many attempts may be under way at once."),
    Described(SLOTS_TAKEN, "gauge", "How many attempts are under way."),
    Described(
        PENDING,
        "gauge",
        f"Deliveries that wait to be sent, due or not; counted up to {MOST_PENDING:,} a channel.",
        ("channel",),
        source="database",
    ),
    Described(
        OLDEST_DUE,
        "gauge",
        "How long the oldest delivery that is due has been due; 0 where none is.",
        ("channel",),
        source="database",
    ),
    Described(
        PAUSED,
        "gauge",
        "1 where a channel is paused for this reason, else 0.",
        ("channel", "reason"),
        source="database",
    ),
    Described(
        DATABASE_UP,
        "gauge",
        "1 where the database answered this scrape; 0: what is read from it is left out.",
        source="database",
    ),
    Described(BUILD, "gauge", "Always 1; its label is the version that runs.", ("version",)),
)

#: By name, the upper ends of the buckets of each histogram.
BOUNDS: Final = {one.name: one.bounds for one in METRICS if one.kind == "histogram"}
