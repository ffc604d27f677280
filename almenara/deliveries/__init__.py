"""The state machine of a delivery, and the only writer of a status.

``states`` says what there is and is pure; ``attempts`` and ``operator`` hold every statement that
moves a delivery; ``leases`` says how long a claim is its holder's; ``messages`` rolls a message's
status up. Each statement but a renewal runs inside a transaction that the ledger opened.
"""

from almenara.deliveries.attempts import rescue, settle
from almenara.deliveries.chains import HAS_ITS_TURN
from almenara.deliveries.claims import claim_due
from almenara.deliveries.leases import Held, renew
from almenara.deliveries.messages import lock_messages, refresh_messages
from almenara.deliveries.operator import cancel, give_back, insert, release
from almenara.deliveries.rows import AttachedFile, Key, NewDelivery, NewMessage, Plan
from almenara.deliveries.staleness import collapse, expire
from almenara.deliveries.states import (
    DEATHS_ALLOWED,
    DEATHS_IN_COMPANY,
    FINAL,
    LEASE,
    TRANSITIONS,
    Claim,
    MessageStatus,
    Outcome,
    Reason,
    Result,
    Status,
    after_unknown,
    roll_up,
)

__all__ = [
    "DEATHS_ALLOWED",
    "DEATHS_IN_COMPANY",
    "FINAL",
    "HAS_ITS_TURN",
    "LEASE",
    "TRANSITIONS",
    "AttachedFile",
    "Claim",
    "Held",
    "Key",
    "MessageStatus",
    "NewDelivery",
    "NewMessage",
    "Outcome",
    "Plan",
    "Reason",
    "Result",
    "Status",
    "after_unknown",
    "cancel",
    "claim_due",
    "collapse",
    "expire",
    "give_back",
    "insert",
    "lock_messages",
    "refresh_messages",
    "release",
    "renew",
    "rescue",
    "roll_up",
    "settle",
]
