"""What an idempotency key is compared by: the same digest in every version of Almenara.

Keys live as long as their messages: a digest that changes with an upgrade would refuse repetitions.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from almenara.accept import fingerprint
from almenara.deliveries import AttachedFile, NewMessage
from almenara.models import new_id

MESSAGE = NewMessage(
    id=new_id(),
    topic=" Sales",
    description="Größe",
    created_at=datetime.now(UTC),
    title="t",
    tags=["a"],
    data={"b": [1, {"c": None}]},
    to=["x@example.org"],
    attachments=(AttachedFile("a.txt", "text/plain", 5, "00" * 32),),
    send_at=datetime(2027, 1, 1, tzinfo=UTC),
    metadata={"k": "v"},
)


def test_the_digests_are_those_of_the_first_release() -> None:
    assert (
        fingerprint(MESSAGE, None)
        == "d6a83ca97b42d0d3c29a8e6f6956698f474e828cdfd696451440b627c66449eb"
    )
    assert (
        fingerprint(MESSAGE, "Log")
        == "f1e51d8621a0230116b1e372f420a2888e04b1fe0efcddc3416a8bfe39031c93"
    )


@pytest.mark.parametrize(
    "same",
    [
        {"id": new_id()},
        {"created_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"sender": "somebody"},
        {"redact": True},
        {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
        {"topic": "sales"},
    ],
)
def test_what_the_sender_did_not_write_or_wrote_otherwise_is_the_same(same: dict[str, Any]) -> None:
    assert fingerprint(MESSAGE._replace(**same), None) == fingerprint(MESSAGE, None)


@pytest.mark.parametrize(
    "other",
    [
        {"topic": "pricing"},
        {"description": "x"},
        {"data": {}},
        {"attachments": ()},
        {"send_at": None},
        {"collapse_key": "k"},
    ],
)
def test_whatever_the_sender_wrote_counts(other: dict[str, Any]) -> None:
    assert fingerprint(MESSAGE._replace(**other), None) != fingerprint(MESSAGE, None)
