"""What a browser's service worker reads: a small JSON object, within one record."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from almenara import Message, as_text, cut

from .encryption import LONGEST_TEXT, write_base64url

_LONGEST_TITLE, _LONGEST_DATA, _LONGEST_TAG = 250, 1_024, 32


def text_of(message: Message) -> bytes:
    """Return what a browser's service worker reads, as JSON within one record."""
    shown: dict[str, Any] = {
        "title": cut(message.title or message.topic or message.channel, _LONGEST_TITLE),
        "topic": message.topic,
        "priority": message.priority,
        "tag": tag_of(message),
    }
    if message.data and len(_json(message.data)) <= _LONGEST_DATA:
        shown["data"] = message.data
    body = as_text(message, limit=LONGEST_TEXT, unit="bytes", title=False)
    written = _json(shown | {"body": body})
    if len(written) <= LONGEST_TEXT:
        return written
    # Quotes and line ends take more room in JSON than in a text: the limit is found by halves.
    fits, too_many = 0, LONGEST_TEXT
    while too_many - fits > 1:
        limit = (fits + too_many) // 2
        tried = _json(shown | {"body": cut(body, limit, "bytes")})
        if len(tried) <= LONGEST_TEXT:
            fits, written = limit, tried
        else:
            too_many = limit
    return written


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def tag_of(message: Message) -> str:
    """Return what is the same in each attempt, so that a repeated push takes the first's place."""
    digest = hashlib.sha256(message.idempotency_key.encode()).digest()
    return write_base64url(digest)[:_LONGEST_TAG]
