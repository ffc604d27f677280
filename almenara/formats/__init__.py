"""Texts for services: what a sender wrote as text, Markdown or HTML, as each service reads it.

A message is read into blocks once (`reading`), and written in one of the dialects (`dialects`). A
text that is too long for a service is cut between characters, never within markup.
"""

from almenara.formats.dialects import GOOGLE_CHAT, HTML, MARKDOWN, SLACK, TEXT, Dialect
from almenara.formats.leaving import leave_out
from almenara.formats.rendering import (
    as_chat_marks,
    as_html,
    as_markdown,
    as_mrkdwn,
    as_text,
    cut,
    measure,
    render,
)

__all__ = [
    "GOOGLE_CHAT",
    "HTML",
    "MARKDOWN",
    "SLACK",
    "TEXT",
    "Dialect",
    "as_chat_marks",
    "as_html",
    "as_markdown",
    "as_mrkdwn",
    "as_text",
    "cut",
    "leave_out",
    "measure",
    "render",
]
