"""What a sender writes is what a reader sees, and never a header or a second mail."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.testing import ReceivedMail, SmtpSink
from tests.plugins.shipped import a_message, email_channel, load, send

NOW = a_message().created_at
ENCODED_BREAK = "=?utf-8?q?hi=0d=0aBcc:_evil@example.org?="


@pytest.fixture
def receiver() -> Iterator[SmtpSink]:
    with SmtpSink() as receiver:
        yield receiver


async def arrived(receiver: SmtpSink, *, settings: Any = None, **message: Any) -> ReceivedMail:
    async with email_channel(receiver, **(settings or {})) as mail:
        await send(mail, **message)
    return receiver.mails[-1]


def header_names(mail: ReceivedMail) -> list[str]:
    """The names of the headers as they stand in the bytes, read without the email package."""
    head = mail.content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    return [line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n")]


@pytest.mark.parametrize(
    ("title", "seen"),
    [
        (ENCODED_BREAK, ENCODED_BREAK),
        ("=?utf-8?b?aGkNCkJjYzogZXZpbEBleGFtcGxlLm9yZw==?=", None),
        (f"Hello {ENCODED_BREAK} and {ENCODED_BREAK}", None),
        ("=?utf-8?q?hi=0aBcc:", None),
        ("hi\r\nBcc: evil@example.org", "hi  Bcc: evil@example.org"),
        ("hi\nBcc: evil@example.org", "hi Bcc: evil@example.org"),
        ("hi\r\n\r\nbody", "hi    body"),
        ("a\ttab", "a tab"),
        ("nul\x00 esc\x1b del\x7f nel\x85", "nul  esc  del  nel"),
        ("line\u2028Bcc: evil@example.org\u2029x", "line Bcc: evil@example.org x"),
        ("¿Cuánto cuesta? 🦊 עברית", "¿Cuánto cuesta? 🦊 עברית"),
        ('"quoted" <evil@example.org>, second', None),
    ],
)
async def test_a_title_arrives_as_its_literal_text(
    receiver: SmtpSink, title: str, seen: str | None
) -> None:
    mail = await arrived(receiver, title=title)
    assert mail.parsed["Subject"] == (seen or title)
    assert header_names(mail).count("subject") == 1
    assert "bcc" not in header_names(mail)
    assert mail.parsed["Bcc"] is None
    assert mail.recipients == ("ana@example.org",)


@pytest.mark.parametrize(
    "name",
    [ENCODED_BREAK, 'The "Shop" \\ Ltd, <b@example.org>', "Die Bäckerei 🥐", "Long name " * 15],
)
async def test_a_from_name_arrives_as_its_literal_text(receiver: SmtpSink, name: str) -> None:
    mail = await arrived(receiver, settings={"from_name": name})
    # Not read by email.policy.default: it puts spaces between the encoded words of one phrase.
    shown, address = parseaddr(message_from_bytes(mail.content)["From"])
    assert str(make_header(decode_header(shown))) == name.strip()
    assert address == "shop@example.org"
    assert "bcc" not in header_names(mail)


async def test_a_from_name_with_a_line_break_makes_no_header(receiver: SmtpSink) -> None:
    mail = await arrived(receiver, settings={"from_name": "Shop\r\nBcc: evil@example.org"})
    assert mail.parsed["From"].addresses[0].display_name == "Shop  Bcc: evil@example.org"
    assert mail.parsed["Bcc"] is None


async def test_without_a_title_the_first_line_is_the_subject(receiver: SmtpSink) -> None:
    mail = await arrived(receiver, title="  \t", description="\n  \r\nFirst line\r\nsecond")
    assert mail.parsed["Subject"] == "First line"
    mail = await arrived(receiver, format="html", description="<p>Hi &amp; <b>bye</b></p><p>x</p>")
    assert mail.parsed["Subject"] == "Hi & bye"
    mail = await arrived(receiver, description="\n")
    assert mail.parsed["Subject"] == "(no subject)"


async def test_a_long_title_is_cut_to_a_sane_length(receiver: SmtpSink) -> None:
    mail = await arrived(receiver, title="ñ" * 5000, settings={"subject_prefix": "[shop] "})
    assert mail.parsed["Subject"] == f"[shop] {'ñ' * 192}…"


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        ".\n..\n.leading dot\n\n.",
        "From me\n>From you",
        "x" * 5000,
        "ü" * 5000,
        "trailing space \n\ttabs\t\n= equals =3D=20",
        "🦊 emoji, שלום עולם, مرحبا, 你好\n" * 20,
        "mostly ascii with one ñ",
        "controls \x01 \x0c \x1b[31m and nul \x00 end",
        "separators \u2028 \u2029 \x85 \x0b",
        "--=_boundary--\n\n--",
        "",
    ],
)
async def test_a_text_arrives_letter_by_letter(receiver: SmtpSink, text: str) -> None:
    mail = await arrived(receiver, description=text, title="t")
    assert mail.text == (text if text.endswith("\n") else f"{text}\n")
    assert mail.parsed.get_content_type() == "text/plain"
    assert max(len(line) for line in mail.content.split(b"\r\n")) <= 998
    assert mail.content.isascii()


async def test_line_ends_of_all_kinds_arrive_as_line_ends(receiver: SmtpSink) -> None:
    mail = await arrived(receiver, description="a\nb\r\nc\rd\n\n", title="t")
    assert mail.text == "a\nb\nc\nd\n\n"
    assert mail.content.count(b"\n") == mail.content.count(b"\r\n") == mail.content.count(b"\r")


async def test_html_comes_with_a_plain_alternative(receiver: SmtpSink) -> None:
    html = (
        "<html><head><title>No</title><style>p {color: red}</style></head><body><h1>Prices</h1>"
        "<p>From&nbsp;5&nbsp;€\n  a month &mdash; <a href='https://example.org/p'>see all</a></p>"
        "<script>alert(1)</script><ul><li>one</li><li>two</li></ul>"
        "<table><tr><td>a</td><td>b</td></tr></table>line<br>break <img alt='a fox'> "
        "<a href='https://example.org'>https://example.org</a> <a href='#top'>top</a></a> & more"
    )
    mail = await arrived(receiver, description=html, format="html", title="t")
    assert mail.parsed.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in mail.parsed.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    assert mail.html == f"{html}\n"
    assert mail.text == (
        "Prices\n\nFrom\xa05\xa0€ a month — see all (https://example.org/p)\n\n• one\n• two\n\n"
        "a b\n\nline\nbreak a fox https://example.org top & more\n"
    )


async def test_markdown_comes_as_html_with_a_plain_alternative(receiver: SmtpSink) -> None:
    markdown = (
        "# Prices\n\nFrom **5 €**,\n[see all](https://a.example/?b&c) <script>\n\n- one\n  - two"
    )
    mail = await arrived(receiver, description=markdown, format="markdown")
    kinds = [part.get_content_type() for part in mail.parsed.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    assert mail.parsed["Subject"] == "Prices"
    assert mail.text == (
        "Prices\n\nFrom 5 €,\nsee all (https://a.example/?b&c) <script>\n\n• one\n  • two\n"
    )
    assert mail.html == (
        '<div style="white-space: pre-wrap"><b>Prices</b><br><br>From <b>5 €</b>,<br>'
        '<a href="https://a.example/?b&amp;c">see all</a> &lt;script&gt;<br><br>'
        "• one<br>  • two</div>\n"
    )


async def test_very_long_markdown_goes_as_it_was_written(receiver: SmtpSink) -> None:
    read = await arrived(receiver, description="**a**\n" + "x" * 49_990, format="markdown")
    whole = await arrived(receiver, description="**a**\n" + "x" * 50_000, format="markdown")
    assert (read.parsed["Subject"], whole.parsed["Subject"]) == ("a", "**a**")
    assert whole.parsed.get_content_type() == "text/plain"
    assert whole.text == "**a**\n" + "x" * 50_000 + "\n"


@pytest.mark.parametrize(("priority", "header"), [(1, "1"), (3, None), (5, "5")])
async def test_an_unusual_priority_is_told(
    receiver: SmtpSink, priority: int, header: str | None
) -> None:
    mail = await arrived(receiver, priority=priority)
    assert mail.parsed["X-Priority"] == header


async def test_an_odd_idempotency_key_still_makes_a_message_id(receiver: SmtpSink) -> None:
    first = await arrived(receiver, idempotency_key="a key>\r\nBcc: evil@example.org")
    again = await arrived(receiver, idempotency_key="a key>\r\nBcc: evil@example.org")
    assert first.parsed["Message-ID"] == again.parsed["Message-ID"]
    assert first.parsed["Bcc"] is None


SENDABLE = st.text(st.characters(codec="utf-8"), max_size=400)


@given(title=SENDABLE, name=st.text(max_size=200), text=st.text(max_size=2000), html=st.booleans())
def test_no_text_breaks_out_of_its_place(title: str, name: str, text: str, html: bool) -> None:
    rendering = load("email", "rendering")
    message = a_message().model_copy(
        update={"title": title, "description": text, "format": "html" if html else "text"}
    )
    mail = rendering.render(
        message,
        sender=rendering.Sender("shop@example.org", name),
        recipients=["ana@example.org"],
        now=NOW,
    )
    assert mail.content.isascii()
    assert all(len(line) <= 998 for line in mail.content.split(b"\r\n"))
    received = ReceivedMail("", (), mail.content, 1, None)
    expected = ["from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version"]
    assert header_names(received)[:7] == expected
    assert set(header_names(received)[7:]) <= {"content-type", "content-transfer-encoding"}
    parsed = message_from_bytes(mail.content)
    assert {key.lower() for key in parsed} == set(header_names(received))
    body = received.html if html else received.text
    lines = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    assert body == (lines if lines.endswith("\n") else f"{lines}\n")
