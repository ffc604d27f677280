"""The time line of a message, told from rows alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from almenara.deliveries import Outcome, Reason
from almenara.models import Attempt, Delivery, Message, new_id
from almenara.timeline import Entry, tell
from almenara.timeline.words import ATTEMPT_FAILED, CANCELLED, FAILED, HELD
from tests.stored import NOW, SECOND

MESSAGE_ID = new_id()


def a_message(**fields: Any) -> Message:
    values = {"id": MESSAGE_ID, "topic": "sales", "status": "queued", "created_at": NOW}
    return Message(**(values | fields))


def a_delivery(channel: str = "a", **fields: Any) -> Delivery:
    values = {
        "id": new_id(),
        "message_id": MESSAGE_ID,
        "channel": channel,
        "position": 0,
        "status": "pending",
        "due_at": NOW,
        "attempt_number": 0,
        "created_at": NOW,
    }
    return Delivery(**(values | fields))


def an_attempt(
    number: int = 1, outcome: str = "sent", *, begins: float = 0, took: float = 1, **fields: Any
) -> Attempt:
    started_at = NOW + begins * SECOND
    values = {
        "id": new_id(),
        "message_id": MESSAGE_ID,
        "number": number,
        "outcome": outcome,
        "started_at": started_at,
        "finished_at": started_at + took * SECOND,
        "duration_ms": int(took * 1000),
        "late": False,
    }
    return Attempt(**(values | fields))


def at(seconds: float) -> datetime:
    return NOW + seconds * SECOND


def told(
    message: Message, *deliveries: tuple[Delivery, list[Attempt]] | Delivery
) -> list[tuple[float, str, str]]:
    """Tell a story as seconds, events and sentences."""
    pairs = [one if isinstance(one, tuple) else (one, []) for one in deliveries]
    entries = tell(message, [one for one, _ in pairs], {one.id: many for one, many in pairs})
    assert entries == sorted(entries, key=lambda one: one.at)
    return [((one.at - NOW) / SECOND, one.event.value, one.text) for one in entries]


def events(story: list[tuple[float, str, str]]) -> list[str]:
    return [event for _, event, _ in story]


def test_a_message_that_was_sent_at_once() -> None:
    sent = a_delivery(status="sent", attempt_number=1, finished_at=at(1))
    assert told(a_message(status="sent"), (sent, [an_attempt(reference="ref-1", took=1)])) == [
        (0, "accepted", "Accepted on the topic sales, for a."),
        (0, "attempt_began", "Attempt 1 began."),
        (1, "sent", "Attempt 1 sent it after 1.0 s: reference ref-1."),
        (1, "finished", "Finished: sent by a."),
    ]


def test_each_entry_names_its_delivery() -> None:
    sent = a_delivery(status="sent", attempt_number=1, finished_at=at(1))
    entries = tell(a_message(status="sent"), [sent], {sent.id: [an_attempt()]})
    assert entries[0] == Entry(NOW, entries[0].event, "Accepted on the topic sales, for a.")
    assert (entries[2].delivery_id, entries[2].channel, entries[2].attempt_number) == (
        sent.id,
        "a",
        1,
    )


def test_what_waits_for_a_retry_says_until_when() -> None:
    waits = a_delivery(attempt_number=1, due_at=at(61))
    failed = an_attempt(1, "temporary_error", error="TimeoutError: it hung", took=0.2)
    assert told(a_message(), (waits, [failed]))[-2:] == [
        (0.2, "attempt_failed", "Attempt 1 failed after 200 ms: TimeoutError: it hung."),
        (0.2, "waiting", "Waits for attempt 2, due at 2026-03-01 12:01:01 UTC."),
    ]


def test_what_is_scheduled_says_so() -> None:
    later = NOW + timedelta(hours=1)
    message = a_message(send_at=later, expires_at=later + timedelta(hours=1), topic=None)
    assert told(message, a_delivery(due_at=later), a_delivery("b", due_at=later)) == [
        (0, "accepted", "Accepted, for a and b. Not to be sent after 2026-03-01 14:00:00 UTC."),
        (0, "scheduled", "Not to be sent before 2026-03-01 13:00:00 UTC."),
        (0, "waiting", "Waits for attempt 1, due at 2026-03-01 13:00:00 UTC."),
        (0, "waiting", "Waits for attempt 1, due at 2026-03-01 13:00:00 UTC."),
    ]


def test_what_has_no_route_says_so_and_is_routed_anew() -> None:
    assert told(a_message(status="no_route")) == [
        (0, "accepted", "Accepted on the topic sales."),
        (0, "no_route", "No enabled channel of its topic took it: nobody gets it."),
    ]
    later = a_delivery(created_at=at(60), due_at=at(60))
    assert told(a_message(), later)[2] == (60, "routed", "Routed anew, to a.")


def test_an_attempt_under_way_has_begun() -> None:
    sending = a_delivery(status="sending", attempt_number=2, started_at=at(10))
    story = told(a_message(status="sending"), (sending, [an_attempt(1, "rate_limited")]))
    assert story[-2:] == [
        (1, "attempt_failed", "Attempt 1 was put off by the service after 1.0 s."),
        (10, "attempt_began", "Attempt 2 began."),
    ]


def test_a_rescued_attempt_and_its_late_result_are_told_apart() -> None:
    died = an_attempt(1, "unknown", took=30, error="The process that made this attempt ended.")
    late = an_attempt(1, "sent", took=40, late=True, reference="ref-1")
    again = an_attempt(2, begins=31)
    sent = a_delivery(status="sent", attempt_number=2, finished_at=at(32))
    story = told(a_message(status="sent"), (sent, [died, late, again]))
    assert [(when, event) for when, event, _ in story] == [
        (0, "accepted"),
        (0, "attempt_began"),
        (30, "attempt_unknown"),
        (31, "attempt_began"),
        (32, "sent"),
        (32, "finished"),
        (40, "late_result"),
    ]
    assert story[2][2] == (
        "Attempt 1 has no known outcome, perhaps it was sent: "
        "The process that made this attempt ended."
    )
    assert story[-1][2] == (
        "Attempt 1 ended late, as sent; the delivery had moved on: reference ref-1."
    )


def test_a_late_result_that_says_nothing_is_told_too() -> None:
    late = an_attempt(1, "timeout", late=True)
    assert told(a_message(), (a_delivery(attempt_number=1), [late]))[-1][2] == (
        "Attempt 1 ended late, as timeout; the delivery had moved on."
    )


def test_what_is_held_says_what_to_do_and_its_release_is_told() -> None:
    died = an_attempt(1, "unknown", took=30)
    held = a_delivery(status="held", reason="unknown_outcome", attempt_number=1)
    when, event, text = told(a_message(status="held"), (held, [died]))[-1]
    assert (when, event) == (30, "held")
    assert text == (
        "Held: whether it was sent is not known, and the channel says hold. "
        "Release it to try again, or cancel it."
    )
    released = a_delivery(attempt_number=1, due_at=at(90))
    assert told(a_message(), (released, [died]))[-2:] == [
        (90, "released", "Released: it is due again."),
        (90, "waiting", "Waits for attempt 2, due at 2026-03-01 12:01:30 UTC."),
    ]
    retried = a_delivery(attempt_number=1, due_at=at(30))
    assert events(told(a_message(), (retried, [died])))[-2:] == ["attempt_unknown", "waiting"]


def test_a_failure_says_why_and_how_the_message_ended() -> None:
    refused = a_delivery(status="failed", reason="permanent", attempt_number=1, finished_at=at(1))
    sent = a_delivery("b", position=1, status="sent", attempt_number=1, finished_at=at(2))
    story = told(
        a_message(status="partial"),
        (refused, [an_attempt(1, "permanent_error", error="No such address!")]),
        (sent, [an_attempt(took=2, detail="one copy")]),
    )
    assert story[-4:] == [
        (1, "attempt_failed", "Attempt 1 was refused for good after 1.0 s: No such address!"),
        (1, "failed", "Failed: trying again would not help."),
        (2, "sent", "Attempt 1 sent it after 2.0 s: one copy."),
        (2, "finished", "Finished: sent by b, not by a."),
    ]


def test_what_was_sent_again_names_the_old_one() -> None:
    old = a_delivery(status="failed", reason="exhausted", finished_at=at(5))
    replay_id = new_id()
    new = a_delivery(
        status="cancelled",
        reason="operator",
        created_at=at(60),
        finished_at=at(61),
        resend_of=old.id,
        replay_id=replay_id,
    )
    story = told(a_message(status="cancelled"), old, new)
    was = "which was failed (exhausted)"
    assert story[2:] == [
        (60, "resent", f"Sent again by the replay {replay_id}, in the place of {old.id}, {was}."),
        (61, "cancelled", "Cancelled: somebody asked for it."),
        (61, "finished", "Finished: sent by no channel."),
    ]


def a_chain(*fields: dict[str, Any]) -> list[Delivery]:
    return [
        a_delivery(name, position=position, chained=True, **one)
        for position, (name, one) in enumerate(zip("abc", fields, strict=False))
    ]


def test_a_chain_says_why_it_moved_and_what_was_not_needed() -> None:
    first, second, third = a_chain(
        {"status": "failed", "reason": "permanent", "attempt_number": 1, "finished_at": at(1)},
        {"status": "sent", "attempt_number": 1, "finished_at": at(2)},
        {"status": "cancelled", "reason": "not_needed", "finished_at": at(2), "due_at": at(600)},
    )
    story = told(
        a_message(status="sent"),
        (first, [an_attempt(1, "permanent_error")]),
        (second, [an_attempt(begins=1)]),
        third,
    )
    assert story[0][2] == "Accepted on the topic sales, for a, then b, then c."
    assert (1, "chain_moved", "a has failed, so b has its turn.") in story
    assert events(story).count("chain_moved") == 1
    assert story[-2:] == [
        (2, "cancelled", "Cancelled: another channel sent the message."),
        (2, "finished", "Finished: sent by b, not by a."),
    ]


def test_a_chain_moves_when_a_step_takes_too_long_or_is_held() -> None:
    first, second = a_chain(
        {"status": "cancelled", "reason": "superseded", "finished_at": at(300)},
        {"status": "sending", "attempt_number": 1, "started_at": at(300)},
    )
    moved = (
        300,
        "chain_moved",
        "a had not sent it by the deadline of its step, so b has its turn.",
    )
    assert moved in told(a_message(status="sending"), first, second)
    first, second = a_chain(
        {"status": "held", "reason": "poison", "attempt_number": 1}, {"due_at": at(30)}
    )
    story = told(a_message(), (first, [an_attempt(1, "unknown", took=30)]), second)
    assert (30, "chain_moved", "a is held, so b has its turn.") in story


def test_a_chain_that_has_not_moved_waits_for_its_turn() -> None:
    first, second = a_chain({"due_at": NOW}, {"due_at": at(300)})
    story = told(a_message(), first, second)
    assert "chain_moved" not in events(story)
    assert (
        story[-1][2] == "Waits for its turn in the chain, at 2026-03-01 12:05:00 UTC at the latest."
    )


def test_what_ended_together_moved_no_chain() -> None:
    """An operator cancelled the whole message, or its time was over."""
    ended = {"status": "cancelled", "reason": "operator", "finished_at": at(9)}
    story = told(a_message(status="cancelled"), *a_chain(ended, ended, ended))
    assert events(story) == ["accepted", "cancelled", "cancelled", "cancelled", "finished"]


def test_a_chain_that_was_sent_again_is_a_new_one() -> None:
    lost = {"status": "failed", "reason": "exhausted", "attempt_number": 1, "finished_at": at(5)}
    old = a_chain(lost, lost | {"finished_at": at(6)})
    again = {"created_at": at(60), "due_at": at(60)}
    first, second = a_chain(
        again | {"status": "failed", "reason": "permanent", "finished_at": at(61)},
        again | {"due_at": at(61)},
    )
    first.resend_of, second.resend_of = old[0].id, old[1].id
    story = told(a_message(), *old, first, second)
    moves = [(when, text) for when, event, text in story if event == "chain_moved"]
    assert moves == [
        (5, "a has failed, so b has its turn."),
        (61, "a has failed, so b has its turn."),
    ]


def test_a_chain_that_moved_on_from_what_was_released_is_told() -> None:
    first, second = a_chain(
        {"due_at": at(50)}, {"status": "sending", "attempt_number": 1, "started_at": at(40)}
    )
    moved = (40, "chain_moved", "a has not sent it, so b has its turn.")
    assert moved in told(a_message(status="sending"), first, second)
    first.status, first.reason, first.finished_at = "failed", "permanent", at(55)
    assert moved in told(a_message(status="sending"), first, second)


def test_texts_that_were_dropped_are_told() -> None:
    assert told(a_message(status="no_route", redacted_at=at(9)))[-1] == (
        9,
        "redacted",
        "The message's texts were dropped.",
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_words(reason: Reason) -> None:
    assert reason in {*FAILED, *CANCELLED, *HELD}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_its_words(outcome: Outcome) -> None:
    delivery = a_delivery(attempt_number=1)
    _, _, entry, *_ = told(a_message(), (delivery, [an_attempt(1, outcome)]))
    assert outcome in {*ATTEMPT_FAILED, "sent", "unknown"}
    assert entry[2].startswith("Attempt 1 ")


def test_a_reason_that_is_not_known_is_given_as_it_is() -> None:
    odd = a_delivery(status="cancelled", reason="tired", finished_at=at(1))
    assert "Cancelled: tired." in [text for _, _, text in told(a_message(), odd)]
