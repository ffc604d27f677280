"""A message as the bytes of a mail: headers that cannot be broken out of, text that survives.

Nothing here parses a header: CPython before 3.13 (CVE-2024-6923) turns an encoded word that hides
a line break into a header of its own when ``email.message`` re-reads it. Each header is written
once, as ASCII, from a value that was cleaned first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime

from almenara import Message

from .plain_text import html_to_text

_SUBJECT_LENGTH = 200
#: Longer header texts are written as encoded words, which fold safely.
_ONE_LINE = 60
#: Quoted-printable while no more than one byte in so many is more than ASCII needs.
_READABLE_SHARE = 6
#: C0 and C1 controls, and the two separators that Python and some mail programs take for line ends.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_END = re.compile(r"\r\n|\r|\n")
#: What may stand in a Message-ID as it is (a part of RFC 5322's dot-atom).
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ORDINARY_PRIORITY = 3


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose name a channel's mails carry."""

    address: str
    name: str = ""
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, rendered: the envelope and the bytes."""

    sender: str
    recipients: Sequence[str]
    #: With its angle brackets; the same for each attempt of a delivery.
    message_id: str
    #: Pure ASCII, lines of at most 998 characters that end in CRLF.
    content: bytes


def render(
    message: Message,
    *,
    sender: Sender,
    recipients: Sequence[str],
    subject_prefix: str = "",
    now: datetime,
) -> Mail:
    """Render a message; any text a sender may write gives a correct mail."""
    key = _key(message.idempotency_key)
    message_id = f"<{key}@{sender.address.rpartition('@')[2]}>"
    headers = {
        "From": _mailbox(sender.name, sender.address),
        "To": ",\r\n ".join(recipients),
        "Reply-To": sender.reply_to,
        "Subject": _encode(_subject(message, subject_prefix), "Subject"),
        "Date": format_datetime(now),
        "Message-ID": message_id,
        "X-Priority": None if message.priority == _ORDINARY_PRIORITY else str(message.priority),
        # Keeps out-of-office answers from coming back (RFC 3834).
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value]
    content = "".join(lines).encode("ascii") + _body(message, boundary=f"=_{_digest(key)[:32]}")
    return Mail(sender.address, tuple(recipients), message_id, content)


def readable(
    message: Message, *, sender: Sender, recipients: Sequence[str], subject_prefix: str = ""
) -> dict[str, str]:
    """Return what a reader of the mail would see, by name."""
    html = message.format == "html"
    parts = {
        "from": f"{clean(sender.name)} <{sender.address}>" if sender.name else sender.address,
        "to": ", ".join(recipients),
        "reply_to": sender.reply_to or "",
        "subject": _subject(message, subject_prefix),
        "text": html_to_text(message.description) if html else message.description,
        "html": message.description if html else "",
    }
    return {name: text for name, text in parts.items() if text}


def clean(text: str) -> str:
    """Return a text that is safe in a header: controls and line ends become spaces."""
    return _CONTROLS.sub(" ", text).encode("utf-8", "replace").decode("utf-8").strip()


def _key(idempotency_key: str) -> str:
    if _SAFE_ID.fullmatch(idempotency_key):
        return idempotency_key
    return _digest(idempotency_key)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _subject(message: Message, prefix: str) -> str:
    heading = clean(message.title or "")
    if not heading:
        text = message.description
        visible = html_to_text(text) if message.format == "html" else text
        lines = (clean(line) for line in _LINE_END.split(visible))
        heading = next((line for line in lines if line), "")
    subject = clean(f"{prefix}{heading}")
    if len(subject) > _SUBJECT_LENGTH:
        subject = f"{subject[: _SUBJECT_LENGTH - 1].rstrip()}…"
    return subject or "(no subject)"


def _mailbox(name: str, address: str) -> str:
    """Write an address with the name before it."""
    name = clean(name)
    if not name:
        return address
    encoded = _encode(name, "From")
    if encoded == name:
        escaped = name.replace("\\", r"\\").replace('"', r"\"")
        encoded = f'"{escaped}"'
    return f"{encoded} <{address}>"


def _encode(text: str, header: str) -> str:
    """Write a header's text as ASCII: short plain text as it is, all else as encoded words.

    Text that looks like an encoded word is encoded too, so that a reader sees it literally.
    """
    if text.isascii() and "=?" not in text and len(text) <= _ONE_LINE:
        return text
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


def _body(message: Message, *, boundary: str) -> bytes:
    """Write the body with its headers; HTML stands beside a plain alternative."""
    if message.format != "html":
        return _part(message.description, "plain")
    # No part can hold the boundary: quoted-printable writes "=" as "=3D", base64 has no "_".
    line = f"--{boundary}".encode("ascii")
    return b"\r\n".join(
        [
            b'Content-Type: multipart/alternative; boundary="' + boundary.encode("ascii") + b'"',
            b"",
            line,
            _part(html_to_text(message.description), "plain"),
            line,
            _part(message.description, "html"),
            line + b"--",
            b"",
        ]
    )


def _part(text: str, subtype: str) -> bytes:
    """Write one text with its headers, in the encoding that stays readable where it can."""
    text = _LINE_END.sub("\r\n", text)
    if not text.endswith("\r\n"):
        text += "\r\n"
    data = text.encode("utf-8", "replace")
    if len(data) - len(text) <= len(data) // _READABLE_SHARE:
        encoding, encoded = "quoted-printable", binascii.b2a_qp(data)
    else:
        encoding, encoded = "base64", base64.encodebytes(data).replace(b"\n", b"\r\n")
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode("ascii") + encoded
