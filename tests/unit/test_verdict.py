"""How the end of a call becomes an outcome and the delivery's next state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from almenara.deliveries import LEASE, TRANSITIONS, Claim, Outcome, Reason, Result, Status
from almenara.dispatch import clean, describe, judge
from almenara.dispatch.call import Ended
from almenara.errors import (
    ChannelError,
    InvalidInputError,
    PermanentError,
    RateLimitedError,
    TemporaryError,
)
from almenara.models import new_id
from almenara.plugin import Receipt
from almenara.routing import ChannelRoute

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CLAIM = Claim(
    delivery_id=new_id(),
    message_id=new_id(),
    channel="team",
    attempt_number=1,
    retry_step=0,
    token=new_id(),
    started_at=NOW - timedelta(seconds=1),
    lease_until=NOW + LEASE,
)
CHANNEL = ChannelRoute(
    id="id",
    name="team",
    plugin="Any",
    settings={},
    enabled=True,
    timeout_seconds=5,
    retry_schedule=(timedelta(seconds=10), timedelta(minutes=1)),
    concurrency=1,
    on_unknown="retry",
    revision=1,
)
HOLDING = replace(CHANNEL, on_unknown="hold")


def verdict(
    ended: Ended, *, claim: Claim = CLAIM, channel: ChannelRoute = CHANNEL, **kwargs: Any
) -> Result:
    values: dict[str, Any] = {"now": NOW, "spread": 0.0, "secrets": ("hunter22",)} | kwargs
    result = judge(ended, claim, channel, **values)
    assert result.status in TRANSITIONS[Status.SENDING]
    return result


@pytest.mark.parametrize(
    ("value", "reference", "detail"),
    [
        (None, None, None),
        ("ref-1", "ref-1", None),
        (Receipt(reference="ref-2", detail="all went well"), "ref-2", "all went well"),
        (Receipt(), None, None),
        (7, None, "The plugin returned a int; it was not recorded."),
        ("with hunter22 in it", "with ******** in it", None),
        ("r" * 400, "r" * 254 + "…", None),
    ],
)
def test_what_a_plugin_returns_is_recorded(
    value: object, reference: str | None, detail: str | None
) -> None:
    result = verdict(Ended(value=value))
    assert (result.outcome, result.status) == (Outcome.SENT, Status.SENT)
    assert (result.reference, result.detail) == (reference, detail)


def test_a_permanent_error_fails_the_delivery_at_once() -> None:
    result = verdict(Ended(error=PermanentError("No such address.")))
    assert (result.outcome, result.status) == (Outcome.PERMANENT_ERROR, Status.FAILED)
    assert (result.reason, result.error) == (Reason.PERMANENT, "No such address.")


def test_anything_else_is_tried_again_after_the_next_step() -> None:
    result = verdict(Ended(error=ValueError("hunter22 is wrong")))
    assert (result.outcome, result.status) == (Outcome.TEMPORARY_ERROR, Status.PENDING)
    assert result.error == "ValueError: ******** is wrong"
    assert (result.due_at, result.retry_step) == (NOW + timedelta(seconds=10), 1)


@pytest.mark.parametrize(("spread", "seconds"), [(-1.0, 8), (0.0, 10), (1.0, 12)])
def test_waits_are_spread(spread: float, seconds: int) -> None:
    result = verdict(Ended(error=TemporaryError()), spread=spread)
    assert result.due_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(3600.0, 3600), (1.0, 10), (-5.0, 10), (1e12, 86_400)]
)
def test_a_services_wish_to_wait_is_granted_within_a_day(retry_after: float, seconds: int) -> None:
    result = verdict(Ended(error=RateLimitedError(retry_after=retry_after)))
    assert result.outcome == Outcome.RATE_LIMITED
    assert result.due_at == NOW + timedelta(seconds=seconds)


def test_the_last_step_exhausts_the_schedule() -> None:
    last = replace(CLAIM, retry_step=2)
    result = verdict(Ended(error=TemporaryError("Busy.")), claim=last)
    assert (result.status, result.reason) == (Status.FAILED, Reason.EXHAUSTED)
    assert (result.due_at, result.retry_step) == (None, 2)


def test_a_timeout_uses_a_step_up_so_that_it_cannot_go_on_for_ever() -> None:
    result = verdict(Ended(timed_out=True))
    assert (result.outcome, result.status) == (Outcome.TIMEOUT, Status.PENDING)
    assert result.retry_step == 1
    assert result.error == "The attempt took longer than its deadline of 5 s."


def test_a_timeout_is_held_where_the_channel_says_so() -> None:
    result = verdict(Ended(timed_out=True), channel=HOLDING)
    assert (result.status, result.reason) == (Status.HELD, Reason.UNKNOWN_OUTCOME)


@pytest.mark.parametrize(("channel", "status"), [(CHANNEL, Status.PENDING), (HOLDING, Status.HELD)])
def test_an_abandoned_attempt_is_unknown_and_no_death(
    channel: ChannelRoute, status: Status
) -> None:
    result = verdict(Ended(abandoned=True), channel=channel)
    assert (result.outcome, result.status) == (Outcome.UNKNOWN, status)
    assert (result.due_at, result.retry_step, result.death_count) == (NOW, 0, 0)


def test_an_error_is_one_line_that_any_database_stores() -> None:
    text = clean("a\nb\x00c\ud800d\te", ())
    assert text == "a\\nb\\x00c\\ud800d\\te"
    assert text.encode().decode() == text


def test_a_long_error_is_cut() -> None:
    assert len(describe(ValueError("x" * 5_000), ())) == 1_000


def test_an_error_without_words_is_called_by_its_class() -> None:
    assert describe(KeyboardInterrupt(), ()) == "KeyboardInterrupt"
    assert describe(InvalidInputError("The settings are wrong."), ()) == "The settings are wrong."


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nobody may print this")


class Liar:
    @property
    def __class__(self) -> Any:
        raise SystemExit("nobody may ask what this is")


@pytest.mark.parametrize(
    "error",
    [
        UnprintableError(),
        TemporaryError("later", retry_after="in a minute"),  # type: ignore[arg-type] - a mistake
    ],
    ids=["unprintable", "words"],
)
def test_an_error_that_cannot_be_read_is_tried_again_and_named(error: Exception) -> None:
    result = verdict(Ended(error=error))
    assert (result.outcome, result.status) == (Outcome.TEMPORARY_ERROR, Status.PENDING)
    assert result.due_at == NOW + timedelta(seconds=10)
    assert type(error).__name__ in (result.error or "")


@pytest.mark.parametrize(
    "make",
    [
        Liar,
        lambda: Receipt.model_construct(reference=123),
        lambda: Receipt.model_construct(detail=object()),
    ],
    ids=["liar", "number", "object"],
)
def test_what_cannot_be_read_of_a_plugins_answer_leaves_the_delivery_sent(
    make: Callable[[], object],
) -> None:
    result = verdict(Ended(value=make()))
    assert (result.outcome, result.status) == (Outcome.SENT, Status.SENT)
    assert "cannot be read" in (result.detail or "")


def test_a_refused_channel_is_told_what_to_do_about_it() -> None:
    for said in ("The token is wrong", "The token is wrong."):
        result = verdict(Ended(error=ChannelError(said)))
        assert result.error == "The token is wrong. Write it anew with PATCH /v1/channels/team."
