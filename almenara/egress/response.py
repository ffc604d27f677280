"""What a service answered, and the one table that says what an HTTP status means for a delivery."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from almenara.errors import ChannelError, PermanentError, RateLimitedError, TemporaryError

#: Nobody is made to wait longer than this by a service's word.
LONGEST_RETRY_AFTER_SECONDS = 86_400.0

_TAKEN = range(200, 300)
_REDIRECTS = range(300, 400)
#: Request Timeout and Too Early are the two of the 4xx that ask for another try.
_TEMPORARY = frozenset({408, 425, *range(500, 600)})

_HINTS = {
    401: "check the credentials",
    403: "check the credentials and what they allow",
    404: "check the address",
    410: "the receiver is gone: remove the channel or give it a new address",
    413: "the message is too large for it",
}

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class HttpResponse:
    """An answer, whatever its status; its headers are found whatever their case.

    The body is cut at 64 KiB. Neither shows in the representation: both may repeat secrets.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def __post_init__(self) -> None:
        headers = self.headers
        if not isinstance(headers, CIMultiDict):
            headers = CIMultiDict(headers)
        object.__setattr__(self, "headers", CIMultiDictProxy(headers))

    @property
    def text(self) -> str:
        """The body as UTF-8; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """Return the body read as JSON.

        Raises:
            ValueError: it is not JSON, or was cut.
        """
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("The JSON is nested too deep.") from error

    def object(self) -> dict[str, Any]:
        """Return the body read as a JSON object; an empty one when it is not one."""
        try:
            answer = self.json()
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}


def raise_for_status(
    response: HttpResponse,
    *,
    service: str,
    channel_statuses: Container[int] = (),
    retry_after: object = None,
) -> None:
    """Return when the status says that the message was taken; raise what it means otherwise.

    2xx is taken. 429 is :class:`RateLimitedError`; 408, 425 and 5xx are :class:`TemporaryError`;
    everything else, redirects included, is :class:`PermanentError`. A ``Retry-After`` is honoured.
    No part of the answer but its status is in the text.

    Args:
        response: what the service answered.
        service: who answered, as the sentence begins: ``Slack``.
        channel_statuses: those by which this service refuses whatever the channel sends, such as
            401 for a revoked token: they are :class:`ChannelError`, which pauses the channel.
        retry_after: the seconds to wait that a service writes into its body; what is no such number
            is as good as absent.
    """
    status = response.status
    if status in _TAKEN:
        return
    answered = f"{service} answered {status}{_phrase(status)}"
    told = response.headers.get("Retry-After")
    if isinstance(retry_after, int | float) and not isinstance(retry_after, bool):
        told = f"{max(retry_after, 0):.3f}"
    wait = retry_after_seconds(told, now=datetime.now(UTC))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimitedError(f"{answered}: it takes no more just now.", retry_after=wait)
    if status in _TEMPORARY:
        raise TemporaryError(f"{answered}.", retry_after=wait)
    if status in _REDIRECTS:
        raise PermanentError(f"{answered}: redirects are not followed; give the final address.")
    hint = _HINTS.get(status)
    kind = ChannelError if status in channel_statuses else PermanentError
    raise kind(f"{answered}: {hint}." if hint else f"{answered}.")


def retry_after_seconds(value: str | None, *, now: datetime) -> float | None:
    """Read a ``Retry-After``: seconds or an HTTP date, held within 0 and one day.

    What is neither is as good as absent.
    """
    text = (value or "").strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else _seconds_until(text, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""
