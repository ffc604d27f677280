"""What the OpenAPI document says of errors: one problem document (RFC 9457) for them all."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"

#: What taking a JSON body may be answered with, besides what its values may.
BODY = (400, 413, 415)


class ProblemField(BaseModel):
    """One thing wrong with one field of the input."""

    field: str = Field(description="Its path with dots; empty for the whole body.")
    code: str = Field(description="A stable word for the kind of mistake.")
    message: str = Field(description="What is wrong, and what is allowed.")


class Problem(BaseModel):
    """Why a request was refused."""

    type: str = Field(examples=["urn:almenara:problem:topic_not_found"])
    title: str
    status: int
    detail: str = Field(description="What happened, to which thing, and what to do about it.")
    code: str = Field(description="A stable word; docs/reference/api-errors.md lists them all.")
    errors: list[ProblemField]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of problem answers, for ``responses=`` of a route or router."""
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses
    }


def document_problems(app: FastAPI) -> None:
    """Let an application's OpenAPI document give problems their own media type."""
    write = app.openapi

    def document() -> dict[str, Any]:
        written = app.openapi_schema is not None
        whole = write()
        if not written:
            for operations in whole["paths"].values():
                for operation in operations.values():
                    if "security" in operation:
                        _add_refusals(operation["responses"])
                    _correct(operation["responses"])
        return whole

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _add_refusals(responses: dict[str, Any]) -> None:
    """Name what the gate and the scopes may answer, at every operation that asks for a token."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    for status in (400, 401, 403, 421, 429, 503):
        responses.setdefault(
            str(status),
            {
                "description": HTTPStatus(status).phrase,
                "content": {"application/json": {"schema": schema}},
            },
        )


def _correct(responses: dict[str, Any]) -> None:
    """Move what FastAPI writes as plain JSON under the media type that is sent."""
    for response in responses.values():
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith("/Problem"):
            content[MEDIA_TYPE] = content.pop("application/json")
