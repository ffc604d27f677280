"""What the OpenAPI document says of errors: one problem document (RFC 9457) for them all."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

MEDIA_TYPE = "application/problem+json"
_REFERENCES = "#/components/schemas/{model}"

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
    """Return the documentation of problem answers, for ``responses=`` of a route or router.

    By reference: for a model, FastAPI would build one more validator for each answer of each route,
    a tenth of what the application takes to start, and never use it.
    """
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": _REFERENCES.format(model=Problem.__name__)}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema}},
    }


def document_problems(app: FastAPI) -> None:
    """Let an application's OpenAPI document say what a problem is, and who may be refused."""
    write = app.openapi

    def document() -> dict[str, Any]:
        written = app.openapi_schema is not None
        whole = write()
        if not written:
            whole["components"]["schemas"] |= _schemas()
            for operations in whole["paths"].values():
                for operation in operations.values():
                    if "security" in operation:
                        _add_refusals(operation["responses"])
        return whole

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _schemas() -> dict[str, Any]:
    """Describe a problem, and what it is made of."""
    _, written = models_json_schema([(Problem, "serialization")], ref_template=_REFERENCES)
    schemas: dict[str, Any] = written["$defs"]
    return schemas


def _add_refusals(responses: dict[str, Any]) -> None:
    """Name what the gate and the scopes may answer, at every operation that asks for a token."""
    for status in (400, 401, 403, 421, 429, 503):
        responses.setdefault(str(status), _problem(status))
