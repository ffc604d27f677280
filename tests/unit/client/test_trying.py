"""When a client tries again, and how long it waits: told by its steps, with nobody waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from almenara.client.answers import Answer, read_answer
from almenara.client.failures import (
    NoAnswerError,
    RefusedError,
    StrangeAnswerError,
    UnreachableError,
)
from almenara.client.steps import Patience, Pause, Timed, trying
from almenara.client.wire import Request, Response
from almenara.errors import AlmenaraError

READ = Request("GET", "/v1/topics")
CHANGE = Request("POST", "/v1/topics", body={})
KEYED = Request("POST", "/v1/messages", body={}, repeatable=True)
DELETE = Request("DELETE", "/v1/topics/sales")
EVERY = [READ, CHANGE, KEYED, DELETE]


def refused(status: int, code: str | None = None, after: float | None = None) -> RefusedError:
    return RefusedError("No.", status=status, code=code, retry_after=after)


def _pause_after(error: AlmenaraError, request: Request, total: float = 60) -> float | None:
    """Return how long is waited after a first try that came to this; ``None``: it ends."""
    steps = trying(request, Patience(10, total))
    assert next(steps) == Timed(request, 10)
    try:
        pause = steps.throw(error)
    except type(error):
        return None
    assert isinstance(pause, Pause)
    again = steps.send(None)
    assert isinstance(again, Timed)
    assert again.request is request
    with pytest.raises(StopIteration) as end:
        steps.send(Answer("[]", []))
    assert end.value.value.body == []
    return pause.seconds


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (UnreachableError(), EVERY),
        (refused(429), EVERY),
        (refused(409, "in_flight"), EVERY),
        (NoAnswerError(), [READ, KEYED]),
        (refused(502), [READ, KEYED]),
        (refused(503), [READ, KEYED]),
        (refused(504), [READ, KEYED]),
        (refused(409, "conflict"), []),
        (refused(400), []),
        (refused(401), []),
        (refused(404), []),
        (refused(422), []),
        (refused(500), []),
        (StrangeAnswerError(), []),
    ],
    ids=str,
)
def test_only_what_cannot_be_done_twice_by_it_is_tried_again(
    error: AlmenaraError, again: list[Request]
) -> None:
    assert [one for one in EVERY if _pause_after(error, one) is not None] == again


def test_the_server_says_how_long_to_wait() -> None:
    assert _pause_after(refused(503, after=7), KEYED) == 7
    assert _pause_after(refused(429, after=0), CHANGE) == 0


def test_a_wait_that_ends_too_late_is_not_begun() -> None:
    assert _pause_after(refused(429, after=61), READ) is None
    assert _pause_after(UnreachableError(), READ, total=0) is None


def test_pauses_grow_and_differ_but_have_an_end() -> None:
    steps = trying(READ, Patience(10, 1_000))
    next(steps)
    pauses = []
    for _ in range(12):
        pause = steps.throw(UnreachableError())
        assert isinstance(pause, Pause)
        pauses.append(pause.seconds)
        assert isinstance(steps.send(None), Timed)
    assert all(min(0.2 * 2**n, 5) / 2 <= one <= min(0.2 * 2**n, 5) for n, one in enumerate(pauses))
    assert len(set(pauses[-5:])) == 5


def test_one_try_has_no_more_time_than_all_of_them() -> None:
    assert next(trying(READ, Patience(30, 5))) == Timed(READ, 5)
    assert next(trying(READ, Patience(30, 0))) == Timed(READ, 30)
    steps = trying(READ, Patience(30, 40))
    next(steps)
    steps.throw(refused(429, after=20))
    # Nobody waited, so nearly all of it is left; but never more than one answer may take.
    assert steps.send(None) == Timed(READ, 30)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("12", 12, 12),
        (format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True), 80_000, 86_400),
        (format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True), 0, 0),
    ],
    ids=["number", "tomorrow", "yesterday"],
)
def test_retry_after_is_a_number_or_a_time(header: str, least: float, most: float) -> None:
    response = Response(503, {"retry-after": header}, b'{"detail": "Later."}')
    with pytest.raises(RefusedError) as caught:
        read_answer("http://x", response)
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize("header", ["", "soon", "-1", "1.5"])
def test_a_retry_after_that_is_none_is_left_alone(header: str) -> None:
    response = Response(503, {"retry-after": header}, b"<html>")
    with pytest.raises(RefusedError) as caught:
        read_answer("http://x", response)
    assert caught.value.retry_after is None
