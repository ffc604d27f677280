"""What the server's answers mean: results, refusals, and what somebody else says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from almenara.client.failures import RefusedError, StrangeAnswerError
from almenara.client.wire import Response
from almenara.errors import AlmenaraError, FieldError


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to a request that it carried out."""

    #: The body as it came.
    text: str
    #: The body read as JSON; ``None`` when there was none.
    body: Any


def read_answer(url: str, response: Response) -> Answer:
    """Tell answers from refusals, and both from what somebody else says.

    Args:
        url: where the server is, for the error.

    Raises:
        RefusedError: it was not done, and why.
        StrangeAnswerError: the answer is not Almenara's.
    """
    text = response.content.decode("utf-8", errors="replace")
    try:
        body = json.loads(text) if text else None
    except ValueError as error:
        raise strange(url, response) from error
    if response.status < HTTPStatus.MULTIPLE_CHOICES:
        return Answer(text=text, body=body)
    if response.status < HTTPStatus.BAD_REQUEST or not isinstance(body, dict):
        raise strange(url, response)
    if "detail" not in body:
        raise strange(url, response)
    raise RefusedError(
        str(body["detail"]),
        status=response.status,
        errors=_field_errors(body),
        code=str(body.get("code") or "") or None,
        retry_after=_retry_after(response),
    )


def strange(url: str, response: Response) -> AlmenaraError:
    """Return the error for an answer that is not ours: perhaps of a proxy on the way."""
    message = (
        f"What answers at {url} is not Almenara (it answered {response.status}); "
        "check ALMENARA_URL."
    )
    if response.status < HTTPStatus.BAD_REQUEST:
        return StrangeAnswerError(message)
    return RefusedError(message, status=response.status, retry_after=_retry_after(response))


def _retry_after(response: Response) -> float | None:
    """Return the seconds of `Retry-After`: a number, or a time (RFC 9110, section 10.2.3)."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _field_errors(problem: Mapping[str, Any]) -> list[FieldError]:
    found = problem.get("errors")
    return [
        FieldError(
            field=str(one.get("field", "")),
            code=str(one.get("code", "")),
            message=str(one.get("message", "")),
        )
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
    ]


def read_file(url: str, response: Response) -> Mapping[str, str]:
    """Return the header of an answer that was a file, whose content was handed over already.

    Raises:
        RefusedError: there is no file, and why.
        StrangeAnswerError: the answer is not Almenara's.
    """
    if response.status == HTTPStatus.OK and "content-length" in response.headers:
        return response.headers
    read_answer(url, response)
    raise strange(url, response)
