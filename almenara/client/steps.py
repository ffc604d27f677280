"""What both clients do, without waiting themselves: requests, pauses, and when to try again.

An operation is a generator: it yields a request and gets the answer, or yields a pause. Each client
drives it in its own way, one by blocking, the other by awaiting.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from time import monotonic
from typing import Any, TypeVar

from almenara.client.answers import Answer
from almenara.client.failures import NoAnswerError, RefusedError, UnreachableError
from almenara.client.wire import Request
from almenara.errors import AlmenaraError

#: Longer than the longest test of a channel, which waits for an attempt of up to 20 s.
TIMEOUT_SECONDS = 30.0

#: All tries of one request together.
TOTAL_SECONDS = 60.0

#: The pause before the second try, at the most; it doubles with each further one.
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

#: It was not done, so it can be done later. 409 is one of these while an equal request is stored.
_NOT_DONE = frozenset({HTTPStatus.TOO_MANY_REQUESTS})
_IN_FLIGHT = "in_flight"

#: Of a proxy as well as of the server: it may have been done.
_PERHAPS_DONE = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Timed:
    """A request that is made once, and may take so long."""

    request: Request
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client waits."""

    #: For one answer.
    timeout_seconds: float = TIMEOUT_SECONDS
    #: For all tries of one request with the pauses between them; 0: there is one try.
    total_seconds: float = TOTAL_SECONDS


Steps = Generator[Request | Pause, Any, T]
Tries = Generator[Timed | Pause, Any, Answer]


def new_key() -> str:
    """Return an idempotency key that nobody else has."""
    return os.urandom(16).hex()


def trying(request: Request, patience: Patience) -> Tries:
    """Try until there is an answer, or trying again is of no use or comes too late.

    Raises:
        AlmenaraError: what the last try came to.
    """
    end = monotonic() + patience.total_seconds
    for number in count():
        timeout = patience.timeout_seconds
        if number:
            timeout = min(timeout, end - monotonic())
        elif patience.total_seconds:
            timeout = min(timeout, patience.total_seconds)
        try:
            answer: Answer = yield Timed(request, timeout)
        except AlmenaraError as error:
            seconds = _pause(error, request, number)
            # A try needs a moment of its own.
            if seconds is None or monotonic() + seconds >= end:
                raise
        else:
            return answer
        yield Pause(seconds)
    raise AssertionError  # `count` has no end


def _pause(error: AlmenaraError, request: Request, number: int) -> float | None:
    """Return how long to wait before the next try; ``None``: there should be none."""
    if not _may_try_again(error, request):
        return None
    if isinstance(error, RefusedError) and error.retry_after is not None:
        return error.retry_after
    most = min(_FIRST_PAUSE_SECONDS * 2.0**number, _LONGEST_PAUSE_SECONDS)
    # Anything between half of it and all, so that many clients do not come back at once.
    return float(most * (0.5 + int.from_bytes(os.urandom(2), "big") / 131_072))


def _may_try_again(error: AlmenaraError, request: Request) -> bool:
    if isinstance(error, RefusedError):
        if error.status in _NOT_DONE or error.exact_code == _IN_FLIGHT:
            return True
        return error.status in _PERHAPS_DONE and request.may_be_repeated
    if isinstance(error, UnreachableError):
        return True
    return isinstance(error, NoAnswerError) and request.may_be_repeated
