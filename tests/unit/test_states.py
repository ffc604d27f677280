"""The states, their moves, and how a message's status is rolled up."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from almenara.deliveries import (
    DEATHS_ALLOWED,
    FINAL,
    LEASE,
    TRANSITIONS,
    MessageStatus,
    Reason,
    Status,
    after_unknown,
    roll_up,
)


def test_every_state_says_where_it_goes_and_the_final_ones_go_nowhere() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert {one for one, further in TRANSITIONS.items() if not further} == FINAL


def test_every_state_can_be_reached_and_left_for_a_final_one() -> None:
    reached = {Status.PENDING}
    for _ in Status:
        reached |= set(chain.from_iterable(TRANSITIONS[one] for one in reached))
    assert reached == set(Status)
    assert all(TRANSITIONS[one] & FINAL for one in set(Status) - FINAL)


def test_a_lease_is_longer_than_the_longest_attempt_and_a_margin() -> None:
    assert LEASE.total_seconds() >= 20 + 5


@pytest.mark.parametrize(
    ("statuses", "rolled_up"),
    [
        ("", "no_route"),
        ("pending", "queued"),
        ("sending", "sending"),
        ("held", "held"),
        ("sent", "sent"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("sent sent", "sent"),
        ("failed failed", "failed"),
        ("cancelled cancelled", "cancelled"),
        ("sent failed", "partial"),
        ("sent cancelled", "partial"),
        ("sent failed cancelled", "partial"),
        ("failed cancelled", "failed"),
        ("held sent", "held"),
        ("held failed cancelled", "held"),
        ("pending sent", "queued"),
        ("pending held failed", "queued"),
        ("pending cancelled", "queued"),
        ("sending pending", "sending"),
        ("sending pending held sent failed cancelled", "sending"),
    ],
)
def test_a_message_stands_where_its_deliveries_stand(statuses: str, rolled_up: str) -> None:
    assert roll_up(statuses.split()) == rolled_up
    assert roll_up(reversed(statuses.split())) == rolled_up


@pytest.mark.parametrize(
    "statuses",
    [one for length in range(1, 7) for one in combinations(Status, length)],
    ids="-".join,
)
def test_a_message_is_final_when_all_its_deliveries_are(statuses: tuple[Status, ...]) -> None:
    waiting = {MessageStatus.QUEUED, MessageStatus.SENDING, MessageStatus.HELD}
    assert (roll_up(statuses) in waiting) == bool(set(statuses) - FINAL)


@pytest.mark.parametrize(
    ("statuses", "rolled_up"),
    [
        ("pending", "scheduled"),
        ("pending cancelled", "scheduled"),
        ("pending sending", "sending"),
        ("cancelled", "cancelled"),
        ("", "no_route"),
    ],
)
def test_a_scheduled_message_says_so_while_it_waits(statuses: str, rolled_up: str) -> None:
    assert roll_up(statuses.split(), scheduled=True) == rolled_up


@pytest.mark.parametrize(
    ("on_unknown", "death_count", "status", "reason"),
    [
        ("retry", 1, Status.PENDING, None),
        ("retry", DEATHS_ALLOWED - 1, Status.PENDING, None),
        ("retry", DEATHS_ALLOWED, Status.HELD, Reason.POISON),
        ("retry", DEATHS_ALLOWED + 1, Status.HELD, Reason.POISON),
        ("hold", 0, Status.HELD, Reason.UNKNOWN_OUTCOME),
        ("hold", 1, Status.HELD, Reason.UNKNOWN_OUTCOME),
        ("hold", DEATHS_ALLOWED, Status.HELD, Reason.POISON),
        (None, 1, Status.PENDING, None),
        (None, DEATHS_ALLOWED, Status.HELD, Reason.POISON),
    ],
)
def test_what_is_unknown_is_tried_again_or_held(
    on_unknown: str | None, death_count: int, status: Status, reason: Reason | None
) -> None:
    assert after_unknown(on_unknown, death_count) == (status, reason)
