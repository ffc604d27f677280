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
from urllib.parse import quote

from almenara import Attachment, Message, as_html, as_text

_SUBJECT_LENGTH = 200
#: Longer Markdown goes as it was written: to read it may take as long as a whole attempt.
_LONGEST_MARKDOWN = 50_000
#: A group without members (RFC 5322, 3.4): what stands for recipients who do not see each other.
_NOBODY = "undisclosed-recipients:;"
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
#: What may stand between quotes as a file's name; any other is written as RFC 2231 has it.
_SAFE_NAME = re.compile(r"[A-Za-z0-9._+,() -]{1,60}")
#: What may stand in base64 as a file; messages and multiparts may not (RFC 2046, 5.).
_MEDIA_TYPE = re.compile(r"(?!message/|multipart/)[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_LONGEST_TYPE = 200


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
    hidden: bool = False,
    subject_prefix: str = "",
    now: datetime,
    contents: Sequence[bytes] = (),
) -> Mail:
    """Render a message; any text a sender may write gives a correct mail.

    Args:
        message: what is sent.
        sender: whom it comes from.
        recipients: whom it goes to.
        hidden: whether they do not see each other.
        subject_prefix: stands before the subject.
        now: the mail's date.
        contents: what is in the message's files, in their order.
    """
    key, text = _key(message.idempotency_key), _text(message)
    message_id = f"<{key}@{sender.address.rpartition('@')[2]}>"
    headers = {
        "From": _mailbox(sender.name, sender.address),
        "To": _to(recipients, hidden=hidden, between=",\r\n "),
        "Reply-To": sender.reply_to,
        "Subject": _encode(_subject(message.title, text, subject_prefix), "Subject"),
        "Date": format_datetime(now),
        "Message-ID": message_id,
        "X-Priority": None if message.priority == _ORDINARY_PRIORITY else str(message.priority),
        # Keeps out-of-office answers from coming back (RFC 3834).
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value]
    body = _body(text, _html(message), key=key)
    files = [_file(*one) for one in zip(message.attachments, contents, strict=True)]
    if files:
        body = _multipart("mixed", [body, *files], key=key)
    content = "".join(lines).encode("ascii") + body
    return Mail(sender.address, tuple(recipients), message_id, content)


def readable(
    message: Message,
    *,
    sender: Sender,
    recipients: Sequence[str],
    hidden: bool = False,
    subject_prefix: str = "",
) -> dict[str, str]:
    """Return what a reader of the mail would see, by name."""
    text = _text(message)
    parts = {
        "from": f"{clean(sender.name)} <{sender.address}>" if sender.name else sender.address,
        "to": _to(recipients, hidden=hidden, between=", "),
        "reply_to": sender.reply_to or "",
        "subject": _subject(message.title, text, subject_prefix),
        "text": text,
        "html": _html(message) or "",
        "attachments": ", ".join(_file_name(one) for one in message.attachments),
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


def _subject(title: str | None, text: str, prefix: str) -> str:
    heading = clean(title or "")
    if not heading:
        lines = (clean(line) for line in _LINE_END.split(text))
        heading = next((line for line in lines if line), "")
    subject = clean(f"{prefix}{heading}")
    if len(subject) > _SUBJECT_LENGTH:
        subject = f"{subject[: _SUBJECT_LENGTH - 1].rstrip()}…"
    return subject or "(no subject)"


def _to(recipients: Sequence[str], *, hidden: bool, between: str) -> str:
    """Name the recipients; if they are hidden, none of several."""
    return _NOBODY if hidden and len(recipients) > 1 else between.join(recipients)


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


def _body(text: str, html: str | None, *, key: str) -> bytes:
    """Write the body with its headers: what stands beside the text goes into a multipart of it."""
    plain = _part(text, "plain")
    if html is None:
        return plain
    return _multipart("alternative", [plain, _part(html, "html")], key=key)


def _text(message: Message) -> str:
    """Return what every mail program can show."""
    if message.format == "markdown" and not _is_read(message):
        return message.description
    return as_text(message, title=False)


def _html(message: Message) -> str | None:
    """Return the HTML of a message that has marks; a sender's own stays as it is."""
    if message.format == "html":
        return message.description
    if message.format == "markdown" and _is_read(message):
        # Not every mail program keeps line ends, and not every one that does keeps white space.
        lines = as_html(message, title=False).replace("\n", "<br>")
        return f'<div style="white-space: pre-wrap">{lines}</div>'
    return None


def _is_read(message: Message) -> bool:
    return len(message.description) <= _LONGEST_MARKDOWN


def _multipart(subtype: str, parts: Sequence[bytes], *, key: str) -> bytes:
    """Write parts, each with its headers, as one; one of another subtype may be among them."""
    # No part can hold the boundary: quoted-printable writes "=" as "=3D", base64 has no "_".
    boundary = f"=_{_digest(f'{subtype} {key}')[:32]}".encode("ascii")
    opening = f"Content-Type: multipart/{subtype}; boundary=".encode("ascii")
    lines = [opening + b'"' + boundary + b'"', b""]
    for part in parts:
        lines += [b"--" + boundary, part]
    return b"\r\n".join([*lines, b"--" + boundary + b"--", b""])


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


def _file(file: Attachment, content: bytes) -> bytes:
    """Write one file with its headers."""
    kind = file.media_type.lower()
    if len(kind) > _LONGEST_TYPE or not _MEDIA_TYPE.fullmatch(kind):
        kind = "application/octet-stream"
    return (
        f"Content-Type: {kind}\r\n"
        f"Content-Disposition: attachment;\r\n {_file_parameter(_file_name(file))}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode("ascii") + base64.encodebytes(content).replace(b"\n", b"\r\n")


def _file_name(file: Attachment) -> str:
    return clean(file.name) or "file"


def _file_parameter(name: str) -> str:
    """Write a file's name as a header's parameter; a long one in several, folded (RFC 2231)."""
    if _SAFE_NAME.fullmatch(name):
        return f'filename="{name}"'
    encoded = [quote(character, safe="") for character in name]
    pieces = [""]
    for character in encoded:
        if len(pieces[-1]) + len(character) > _ONE_LINE:
            pieces.append("")
        pieces[-1] += character
    if len(pieces) == 1:
        return f"filename*=utf-8''{pieces[0]}"
    pieces[0] = f"utf-8''{pieces[0]}"
    numbered = [f"filename*{number}*={piece}" for number, piece in enumerate(pieces)]
    return ";\r\n ".join(numbered)
