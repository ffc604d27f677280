"""The ledger: the only writer of the log, which groups what waits into one transaction."""

from almenara.ledger.commit import Ledger, Operation
from almenara.ledger.idempotency import Acceptance, Accepted
from almenara.ledger.operations import (
    Claimed,
    ClaimRequest,
    RescueRequest,
    accept_messages,
    claim,
    expire_stale,
    insert_messages,
    record_results,
    rescue_orphans,
    return_claims,
)

__all__ = [
    "Acceptance",
    "Accepted",
    "ClaimRequest",
    "Claimed",
    "Ledger",
    "Operation",
    "RescueRequest",
    "accept_messages",
    "claim",
    "expire_stale",
    "insert_messages",
    "record_results",
    "rescue_orphans",
    "return_claims",
]
