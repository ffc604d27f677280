"""The API's own description: the OpenAPI document, and a page that shows it without any script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from almenara.api.authorization import ADMINISTERS

router = APIRouter(include_in_schema=False, dependencies=[ADMINISTERS])

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid #8886; padding: .5rem 0; }
h3 { font: 600 1rem ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid #8883; padding: .25rem .75rem .25rem 0; vertical-align: top; }
td:first-child { font-family: ui-monospace, monospace; white-space: nowrap; }
.small { opacity: .8; font-size: .875rem; }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: The page runs no script and loads nothing; only its own style is taken.
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Show the OpenAPI document as a page."""
    return HTMLResponse(_page_of(request.app), headers={"Content-Security-Policy": POLICY})


@lru_cache(maxsize=8)
def _page_of(app: Any) -> str:
    return page(app.openapi())


def page(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as an HTML page."""
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    schemas = document.get("components", {}).get("schemas", {})
    sections = "".join(
        _operation(method, path, operation, schemas)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{escape(document['info'].get('summary', ''))}</p>"
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"<main>{sections}</main></body></html>"
    )


def _operation(
    method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> str:
    scopes = [scope for one in operation.get("security", ()) for scope in one.get("token", ())]
    token = f"Scope <code>{escape(', '.join(scopes))}</code>." if scopes else "Needs no token."
    answers = ", ".join(
        f"{status} {answer.get('description', '')}"
        for status, answer in operation["responses"].items()
    )
    rows = [
        (one["name"], one["in"], one.get("required", False), one.get("description", ""))
        for one in operation.get("parameters", ())
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    rows += _fields(body.get("schema", {}), schemas)
    return (
        f"<section><h3>{method.upper()} {escape(path)}</h3>"
        f"<p>{escape(operation.get('description', ''))}</p>{_table(rows)}"
        f'<p class="small">{token} Answers: {escape(answers)}.</p></section>'
    )


def _fields(
    schema: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Iterator[tuple[str, str, bool, str]]:
    """Describe the members of a body."""
    known = schemas.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    required = known.get("required", ())
    for name, field in known.get("properties", {}).items():
        yield name, type_of(field), name in required, field.get("description", "")


def type_of(field: Mapping[str, Any]) -> str:
    """Say in a word what a field of a schema holds."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(type_of(one) for one in field["anyOf"]))
    if field.get("type") == "array":
        return f"list of {type_of(field.get('items', {}))}"
    if "enum" in field:
        return " | ".join(str(one) for one in field["enum"])
    return str(field.get("format") or field.get("type") or "anything")


def _table(rows: list[tuple[str, str, bool, str]]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td>{escape(name)}{' *' if required else ''}</td><td>{escape(kind)}</td>"
        f"<td>{escape(text)}</td></tr>"
        for name, kind, required, text in rows
    )
    return f"<table>{lines}</table>"
