"""Almenara, a notification router: the names that a plugin author imports, and nothing else.

The names are looked up when they are first used (PEP 562), so that ``almenara --help`` imports
neither FastAPI nor the database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import BackgroundTasks
    from pydantic import SecretStr

    from almenara.attachment import Attachment
    from almenara.egress import ClientTls, HttpResponse, multipart, raise_for_status, request
    from almenara.errors import (
        ChannelError,
        PermanentError,
        RateLimitedError,
        TemplateError,
        TemporaryError,
    )
    from almenara.formats import (
        as_chat_marks,
        as_html,
        as_markdown,
        as_mrkdwn,
        as_text,
        cut,
        leave_out,
    )
    from almenara.plugin import (
        Message,
        Plugin,
        PluginSettings,
        Receipt,
        SecretUrl,
        WebUrl,
    )
    from almenara.recipients import receipt_of_many
    from almenara.templates import Template, values_of

__version__ = "0.1.0"

__all__ = [
    "Attachment",
    "BackgroundTasks",
    "ChannelError",
    "ClientTls",
    "HttpResponse",
    "Message",
    "PermanentError",
    "Plugin",
    "PluginSettings",
    "RateLimitedError",
    "Receipt",
    "SecretStr",
    "SecretUrl",
    "Template",
    "TemplateError",
    "TemporaryError",
    "WebUrl",
    "__version__",
    "as_chat_marks",
    "as_html",
    "as_markdown",
    "as_mrkdwn",
    "as_text",
    "cut",
    "leave_out",
    "multipart",
    "raise_for_status",
    "receipt_of_many",
    "request",
    "values_of",
]

_HOMES = {
    "Attachment": "almenara.attachment",
    "BackgroundTasks": "fastapi",
    "ChannelError": "almenara.errors",
    "ClientTls": "almenara.egress",
    "HttpResponse": "almenara.egress",
    "Message": "almenara.plugin",
    "PermanentError": "almenara.errors",
    "Plugin": "almenara.plugin",
    "PluginSettings": "almenara.plugin",
    "RateLimitedError": "almenara.errors",
    "Receipt": "almenara.plugin",
    "SecretStr": "pydantic",
    "SecretUrl": "almenara.plugin",
    "Template": "almenara.templates",
    "TemplateError": "almenara.errors",
    "TemporaryError": "almenara.errors",
    "WebUrl": "almenara.plugin",
    "as_chat_marks": "almenara.formats",
    "as_html": "almenara.formats",
    "as_markdown": "almenara.formats",
    "as_mrkdwn": "almenara.formats",
    "as_text": "almenara.formats",
    "cut": "almenara.formats",
    "leave_out": "almenara.formats",
    "multipart": "almenara.egress",
    "raise_for_status": "almenara.egress",
    "receipt_of_many": "almenara.recipients",
    "request": "almenara.egress",
    "values_of": "almenara.templates",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'almenara' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
