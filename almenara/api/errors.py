"""Every error as problem+json (RFC 9457): the one table from class to status."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from almenara.api.body import UnreadableBodyError
from almenara.errors import (
    AlmenaraError,
    ConflictError,
    FieldError,
    InvalidInputError,
    NotFoundError,
    PluginError,
    UnavailableError,
)
from almenara.telemetry import get_logger

log = get_logger("api")

#: The first class that fits, from the top.
STATUSES: tuple[tuple[type[AlmenaraError], int], ...] = (
    (InvalidInputError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnavailableError, 503),
    (PluginError, 422),
    (AlmenaraError, 500),
)

#: What the framework's own refusals are called.
CODES: dict[int, str] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_input",
    431: "headers_too_large",
    500: "internal_error",
}

_DETAILS: dict[int, str] = {
    404: "There is nothing at this address; see /docs for what there is.",
    405: "This address does not take this method; see the Allow header.",
}


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
            {"field": error.field, "code": error.code, "message": error.message} for error in errors
        ],
    }


def describe_error(error: AlmenaraError) -> dict[str, Any]:
    """Return the problem document of one of our own errors."""
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    errors = error.errors if isinstance(error, InvalidInputError) else ()
    code = getattr(error, "exact_code", error.code)
    return problem_content(status, code, error.message, errors)


def field_errors(parts: Sequence[Any]) -> list[FieldError]:
    """Turn Pydantic's errors into ours: which field, and what is allowed; never the input."""
    return [
        FieldError(
            field=".".join(str(one) for one in part["loc"] if one not in {"body", "query", "path"}),
            code=part["type"],
            message=str(part["msg"]).removeprefix("Value error, "),
        )
        for part in parts
    ]


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of an application with a problem document."""
    app.add_exception_handler(AlmenaraError, _own)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _own(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AlmenaraError)  # noqa: S101 - registered for this class
    content = describe_error(error)
    headers = (
        {"Retry-After": str(error.retry_after_seconds)}
        if isinstance(error, UnavailableError)
        else None
    )
    return JSONResponse(
        content,
        status_code=content["status"],
        headers=headers,
        media_type="application/problem+json",
    )


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    errors = field_errors(error.errors())
    first = errors[0]
    detail = f"{first.field}: {first.message}" if first.field else first.message
    return problem(422, "invalid_input", detail, errors=errors)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for this class
    if isinstance(error, UnreadableBodyError):
        return problem(error.status_code, error.code, str(error.detail), errors=error.errors)
    status = error.status_code
    return problem(
        status,
        CODES.get(status, "error"),
        _DETAILS.get(status, str(error.detail)),
        headers=dict(error.headers) if error.headers else None,
    )


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    log.error("request_broken", error=type(error).__name__)
    return problem(500, "internal_error", "Something went wrong in the server; its log says what.")
