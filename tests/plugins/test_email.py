"""The mail channel against a real SMTP server: settings, TLS, login, recipients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from almenara import ChannelError, PermanentError, TemporaryError
from almenara.plugin import build_settings
from almenara.testing import SmtpSink
from tests.plugins.shipped import (
    DIRECTORY,
    a_message,
    email_channel,
    email_settings,
    load,
    send,
    server_certificate,
)

LOGIN = {"username": "shop", "password": "open-sesame"}


@pytest.fixture
def receiver() -> Iterator[SmtpSink]:
    with SmtpSink() as receiver:
        yield receiver


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that this process trusts."""
    authority = trustme.CA()
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return authority


async def test_a_message_arrives_as_a_mail(receiver: SmtpSink) -> None:
    async with email_channel(receiver, from_name="The Shop", reply_to="desk@example.org") as mail:
        receipt = await send(mail, title="Question", description="What does it cost?\n")
    [arrived] = receiver.mails
    assert arrived.sender == "shop@example.org"
    assert arrived.recipients == ("ana@example.org",)
    assert arrived.text == "What does it cost?\n"
    headers = arrived.parsed
    assert headers["Subject"] == "Question"
    assert headers["From"] == "The Shop <shop@example.org>"
    assert headers["To"] == "ana@example.org"
    assert headers["Reply-To"] == "desk@example.org"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Date"].datetime.tzinfo is not None
    assert headers["Message-ID"] == "<0190aaaa-0000-7000-8000-000000000002@example.org>"
    assert receipt.reference == headers["Message-ID"]
    assert receipt.detail is None


async def test_each_attempt_of_a_delivery_carries_the_same_message_id(
    receiver: SmtpSink,
) -> None:
    receiver.reply("DATA", "451 4.3.0 later")
    async with email_channel(receiver) as mail:
        with pytest.raises(TemporaryError):
            await send(mail, idempotency_key="one-delivery")
        first = await send(mail, idempotency_key="one-delivery")
        second = await send(mail, idempotency_key="one-delivery")
        other = await send(mail, idempotency_key="another")
    assert first.reference == second.reference == "<one-delivery@example.org>"
    assert other.reference == "<another@example.org>"


async def test_all_recipients_get_one_mail(receiver: SmtpSink) -> None:
    addresses = [f"someone-with-a-long-name-{number}@example.org" for number in range(60)]
    async with email_channel(receiver, to=[*addresses, addresses[0]]) as mail:
        await send(mail)
    [arrived] = receiver.mails
    assert list(arrived.recipients) == addresses
    assert [each.addr_spec for each in arrived.parsed["To"].addresses] == addresses


async def test_a_recipient_named_by_the_message_is_refused_not_ignored(
    receiver: SmtpSink,
) -> None:
    async with email_channel(receiver) as mail:
        with pytest.raises(PermanentError, match="leave `to` out of the message"):
            await send(mail, to=["eve@example.org"])
    assert receiver.mails == []


@pytest.mark.parametrize(("tls", "setting"), [("implicit", "ssl_tls"), ("starttls", "starttls")])
async def test_a_mail_goes_encrypted_with_a_login(
    authority: trustme.CA, tls: Any, setting: str
) -> None:
    with SmtpSink(
        tls=tls, certificate=server_certificate(authority), credentials=("shop", "open-sesame")
    ) as receiver:
        async with email_channel(receiver, **{setting: True}, **LOGIN) as mail:
            await send(mail)
            await send(mail)
        assert [(each.login, each.session) for each in receiver.mails] == [("shop", 1)] * 2


@pytest.mark.parametrize(("tls", "setting"), [("implicit", "ssl_tls"), ("starttls", "starttls")])
@pytest.mark.parametrize("fault", ["stranger", "other name"])
async def test_an_untrusted_certificate_is_refused_and_tried_again_later(
    authority: trustme.CA, tls: Any, setting: str, fault: str
) -> None:
    signed_by = trustme.CA() if fault == "stranger" else authority
    name = "127.0.0.1" if fault == "stranger" else "other.example.org"
    with SmtpSink(tls=tls, certificate=server_certificate(signed_by, name)) as receiver:
        async with email_channel(receiver, **{setting: True}) as mail:
            with pytest.raises(TemporaryError, match=r"certificate .* cannot be trusted"):
                await send(mail)
        assert receiver.mails == []


@pytest.mark.parametrize(("tls", "setting"), [("implicit", "ssl_tls"), ("starttls", "starttls")])
async def test_certificates_are_not_checked_when_told_so(tls: Any, setting: str) -> None:
    with SmtpSink(
        tls=tls, certificate=server_certificate(trustme.CA(), "other.example.org")
    ) as receiver:
        async with email_channel(receiver, **{setting: True}, validate_certs=False) as mail:
            await send(mail)
        assert len(receiver.mails) == 1


async def test_nothing_is_sent_in_clear_when_starttls_is_not_offered(
    receiver: SmtpSink,
) -> None:
    async with email_channel(receiver, starttls=True, **LOGIN) as mail:
        with pytest.raises(TemporaryError, match="does not offer STARTTLS"):
            await send(mail)
    assert {command for _, command in receiver.commands} == {"EHLO"}


async def test_tls_with_a_server_that_speaks_none_says_what_to_check(
    receiver: SmtpSink,
) -> None:
    async with email_channel(receiver, ssl_tls=True) as mail:
        with pytest.raises(TemporaryError, match="check `port`, `ssl_tls`"):
            await send(mail)


async def test_a_wrong_password_is_the_channels_fault_and_says_what_to_do() -> None:
    with SmtpSink(credentials=("shop", "open-sesame")) as receiver:
        async with email_channel(receiver, username="shop", password="wrong") as mail:
            with pytest.raises(ChannelError, match=r"\(535\): check `username` and `password`"):
                await send(mail)


async def test_a_login_that_cannot_be_checked_now_is_tried_again_later() -> None:
    with SmtpSink(credentials=("shop", "x")) as receiver:
        receiver.refuse("AUTH", "454 4.7.0 later")
        async with email_channel(receiver, **LOGIN) as mail:
            with pytest.raises(TemporaryError, match=r"cannot check the login now \(454\)"):
                await send(mail)


async def test_a_login_where_none_is_offered_is_the_channels_fault(receiver: SmtpSink) -> None:
    async with email_channel(receiver, **LOGIN) as mail:
        with pytest.raises(ChannelError, match="leave out `username`"):
            await send(mail)


async def test_a_server_that_wants_a_login_says_so() -> None:
    with SmtpSink(credentials=("shop", "open-sesame")) as receiver:
        async with email_channel(receiver) as mail:
            with pytest.raises(ChannelError, match=r"530 5\.7\.0 Authentication required"):
                await send(mail)


async def test_verify_logs_in_and_sends_nothing() -> None:
    with SmtpSink(credentials=("shop", "open-sesame")) as receiver:
        async with email_channel(receiver, **LOGIN) as mail:
            await mail.verify()
        assert receiver.mails == []
        assert [command for _, command in receiver.commands] == ["EHLO", "AUTH", "NOOP", "QUIT"]
        async with email_channel(receiver, username="shop", password="wrong") as mail:
            with pytest.raises(ChannelError, match="535"):
                await mail.verify()


async def test_the_preview_is_what_a_reader_of_the_mail_would_see(receiver: SmtpSink) -> None:
    named = {"subject_prefix": "[shop] ", "from_name": "The shop", "to": "ana@example.org,a@b.org"}
    async with email_channel(receiver, **named) as mail:
        preview = mail.preview(a_message(title="Question"))
        html = mail.preview(a_message(description="<p>Hi &amp; bye</p>", format="html"))
        with pytest.raises(PermanentError):
            mail.preview(a_message(to=["eve@example.org"]))
    assert preview == {
        "from": "The shop <shop@example.org>",
        "to": "ana@example.org, a@b.org",
        "subject": "[shop] Question",
        "text": "What does it cost?",
    }
    assert (html["text"].strip(), html["html"]) == ("Hi & bye", "<p>Hi &amp; bye</p>")
    assert receiver.session_count == 0


def test_settings_come_from_the_environment_by_the_names_of_the_fastapi_ecosystem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "MAIL_SERVER": "smtp.example.org",
        "MAIL_PORT": "",
        "MAIL_USERNAME": "shop",
        "MAIL_PASSWORD": "open-sesame",
        "MAIL_FROM": "shop@example.org",
        "MAIL_FROM_NAME": "The Shop",
        "MAIL_TO": "ana@example.org, bob@example.org",
        "MAIL_STARTTLS": "true",
        "MAIL_SSL_TLS": "false",
        "MAIL_VALIDATE_CERTS": "true",
    }.items():
        monkeypatch.setenv(name, value)
    email = load("email", "email").Email
    read = build_settings(email, email.Settings, {}, tmp_path / ".env")
    assert isinstance(read, email.Settings)
    assert read.model_dump(by_alias=True) | {"password": None} == {
        "server": "smtp.example.org",
        "port": None,
        "username": "shop",
        "password": None,
        "oauth_access_token": None,
        "oauth_token_url": None,
        "oauth_client_id": "",
        "oauth_client_secret": None,
        "oauth_refresh_token": None,
        "oauth_scope": "",
        "from": "shop@example.org",
        "from_name": "The Shop",
        "to": ["ana@example.org", "bob@example.org"],
        "allow_to": [],
        "hide_recipients": False,
        "reply_to": None,
        "starttls": True,
        "ssl_tls": False,
        "validate_certs": True,
        "subject_prefix": "",
        "timeout_seconds": 10.0,
    }
    assert read.password.get_secret_value() == "open-sesame"
    assert "open-sesame" not in repr(read)


def test_the_example_environment_names_only_settings_that_exist() -> None:
    email = load("email", "email")
    known = {
        f"MAIL_{field.alias or name}".upper()
        for name, field in email.Email.Settings.model_fields.items()
    }
    example = (DIRECTORY / "email" / ".env.example").read_text(encoding="utf-8")
    named = {line.lstrip("# ").partition("=")[0] for line in example.splitlines() if "=" in line}
    assert named == known


@pytest.mark.parametrize(
    ("settings", "port"),
    [({}, 25), ({"starttls": True}, 587), ({"ssl_tls": True}, 465), ({"port": 2525}, 2525)],
)
def test_the_port_follows_from_the_kind_of_encryption(
    receiver: SmtpSink, settings: dict[str, Any], port: int
) -> None:
    module = load("email", "email")
    server = module._server(email_settings(receiver, **({"port": None} | settings)))
    assert server.port == port
    assert "password" not in repr(server)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"starttls": True, "ssl_tls": True}, "starttls and ssl_tls exclude each other"),
        ({"from": "Ana <ana@example.org>"}, "must be one address such as"),
        ({"to": ["a@example.org", "group: a@example.org;"]}, "must be one address such as"),
        ({"to": ["a@example.org\r\nBcc: eve@example.org"]}, "must be one address such as"),
        ({"to": [f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 20}.org"]}, "too long"),
        ({"to": []}, "at least 1 item"),
        ({"to": " , "}, "at least 1 item"),
        ({"reply_to": "desk@example.org\nBcc: eve@example.org"}, "must be one address such as"),
        ({"from": "añá@example.org"}, "must be one address such as"),
        ({"server": "smtp.example.org:25/x"}, "must be a host name"),
        ({"server": "smtp.example.org\r\nMAIL"}, "must be a host name"),
        ({"server": ""}, "must be a host name"),
        ({"server": "smtp..example.org"}, "must be a host name"),
        ({"port": 70000}, "less than or equal to 65535"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(
    receiver: SmtpSink, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        email_settings(receiver, **settings)


@pytest.mark.parametrize("server", ["smtp.exämple.com", "192.0.2.1", "2001:db8::1", "mail_relay"])
def test_a_server_may_be_a_name_or_an_address(receiver: SmtpSink, server: str) -> None:
    assert email_settings(receiver, server=server).server == server


def test_a_domain_in_another_script_is_written_in_ascii(receiver: SmtpSink) -> None:
    settings = email_settings(receiver, to=["ana@exämple.com", "root@box"])
    assert settings.to == ["ana@xn--exmple-cua.com", "root@box"]
