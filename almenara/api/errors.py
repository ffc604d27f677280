"""Every error as problem+json (RFC 9457): the one table from class to status."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from almenara.api.body import short
from almenara.database.faults import Fault, classify
from almenara.errors import (
    AlmenaraError,
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidInputError,
    MissingTokenError,
    NotFoundError,
    PluginError,
    RepeatedTokenError,
    TokenError,
    UnavailableError,
)
from almenara.telemetry import get_logger

log = get_logger("api")

#: A problem names so many fields at the most.
_MOST_ERRORS = 50

#: The first class that fits, from the top.
STATUSES: tuple[tuple[type[AlmenaraError], int], ...] = (
    (InvalidInputError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnavailableError, 503),
    (RepeatedTokenError, 400),
    (TokenError, 401),
    (ForbiddenError, 403),
    (PluginError, 422),
    (AlmenaraError, 500),
)

#: What RFC 6750, section 3.1 calls them; who sent no token is not told that it was wrong.
_CHALLENGES: tuple[tuple[type[AlmenaraError], str | None], ...] = (
    (MissingTokenError, None),
    (RepeatedTokenError, "invalid_request"),
    (TokenError, "invalid_token"),
    (ForbiddenError, "insufficient_scope"),
)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Make a problem document."""
    return JSONResponse(
        problem_content(status, code, detail, errors),
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


def problem_content(
    status: int, code: str, detail: str, errors: Sequence[FieldError] = ()
) -> dict[str, Any]:
    """Return the members of a problem document."""
    return {
        "type": f"urn:almenara:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [
            {"field": error.field, "code": error.code, "message": error.message}
            for error in errors[:_MOST_ERRORS]
        ],
    }


def describe_error(error: AlmenaraError) -> dict[str, Any]:
    """Return the problem document of one of our own errors."""
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    errors = error.errors if isinstance(error, InvalidInputError) else ()
    code = getattr(error, "exact_code", error.code)
    return problem_content(status, code, error.message, errors)


def refusal_headers(error: AlmenaraError) -> dict[str, str]:
    """Return the headers that belong to an error: when to come back, and with which token.

    The challenge is that of RFC 6750, section 3.
    """
    headers = {}
    if isinstance(error, TokenError | ForbiddenError):
        challenge = 'Bearer realm="almenara"'
        word = next((word for kind, word in _CHALLENGES if isinstance(error, kind)), None)
        if word is not None:
            challenge += f', error="{word}"'
        if isinstance(error, ForbiddenError) and error.scope:
            challenge += f', scope="{error.scope}"'
        headers["WWW-Authenticate"] = challenge
    retry_after = getattr(error, "retry_after_seconds", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return headers


def field_errors(parts: Sequence[Any]) -> list[FieldError]:
    """Turn Pydantic's errors into ours: which field, and what is allowed; never the input."""
    return [
        FieldError(
            field=".".join(short(str(one)) for one in part["loc"]),
            code=part["type"],
            message=_message(part),
        )
        for part in parts[:_MOST_ERRORS]
    ]


def first_sentence(errors: Sequence[FieldError]) -> str:
    """Return the sentence that stands for several mistakes: the first, with its field."""
    first = errors[0]
    return f"{first.field}: {first.message}" if first.field else first.message


def _message(part: Any) -> str:
    if part["type"] == "extra_forbidden":
        return "There is no field of this name."
    if not part["loc"] and part["type"] != "value_error":
        return "Write a JSON object."
    return str(part["msg"]).removeprefix("Value error, ")


async def answer_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer one of our own errors."""
    assert isinstance(error, AlmenaraError)  # noqa: S101 - registered for this class
    content = describe_error(error)
    return JSONResponse(
        content,
        status_code=content["status"],
        headers=refusal_headers(error),
        media_type="application/problem+json",
    )


async def answer_unexpected(_request: Request, error: Exception) -> JSONResponse:
    """Answer what nobody thought of, without a word of it; the server's log has the error."""
    # The server closes the connection after this, so the client must not use it again.
    headers = {"Connection": "close"}
    if classify(error) is Fault.UNAVAILABLE:
        log.warning("database_unavailable", error=type(error).__name__)
        headers["Retry-After"] = "1"
        sentence = "The database does not answer just now; try again in a moment."
        return problem(503, "unavailable", sentence, headers=headers)
    log.error("request_broken", error=type(error).__name__)
    sentence = "Something went wrong in the server; its log says what."
    return problem(500, "internal_error", sentence, headers=headers)
