"""How the framework's application answers errors, ours and its own."""

from __future__ import annotations

import re
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from almenara.api.body import UnreadableBodyError
from almenara.api.errors import (
    answer_error,
    answer_unexpected,
    field_errors,
    first_sentence,
    problem,
)
from almenara.api.problems import document_problems
from almenara.errors import AlmenaraError

#: What the framework's own refusals are called; any other is a request that could not be read.
CODES: dict[int, str] = {
    404: "not_found",
    405: "method_not_allowed",
}
UNREADABLE = "bad_request"

_DETAILS: dict[int, str] = {
    404: "There is nothing at this address; see /docs for what there is.",
    405: "This address does not take this method; see the Allow header.",
}


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of an application with a problem document, and document it so."""
    document_problems(app)
    app.add_exception_handler(AlmenaraError, answer_error)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(Exception, answer_unexpected)


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    # The first part of each location says where in the request: body, query or path.
    errors = field_errors([{**part, "loc": part["loc"][1:]} for part in error.errors()])
    return problem(422, "invalid_input", first_sentence(errors), errors=errors)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for this class
    if isinstance(error, UnreadableBodyError):
        return problem(
            error.status_code,
            error.code,
            str(error.detail),
            errors=error.errors,
            headers=dict(error.headers or {}),
        )
    status = error.status_code
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request) or headers.get("Allow", "GET")
    code, detail = CODES.get(status, UNREADABLE), _DETAILS.get(status, str(error.detail))
    return problem(status, code, detail, headers=headers)


def _allowed(request: Request) -> str:
    """List every method that an address takes; Starlette names only those of its first route.

    Of the addresses that fit, the one that is written out counts: `/v1/messages/batch` is no id.
    """
    paths = request.app.openapi()["paths"]
    fitting = [
        template
        for template in paths
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), request.url.path)
    ]
    meant = min(fitting, key=lambda template: template.count("{"), default=None)
    return ", ".join(sorted(paths.get(meant, ()))).upper()
