"""The mail server of the testing kit, spoken to with Python's own client."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

import almenara.testing
from almenara.testing import SmtpSink
from tests.plugins.shipped import server_certificate

ANA, BOB, SHOP = "ana@example.org", "bob@example.org", "shop@example.org"
MAIL = "Subject: Hello\r\n\r\nFly home\r\n"
TOKEN = "ya29." + "t" * 3000


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


def client(sink: SmtpSink) -> smtplib.SMTP:
    return smtplib.SMTP(sink.host, sink.port, local_hostname="localhost", timeout=10)


def xoauth2(user: str, token: str) -> Any:
    """What smtplib sends for it; its answer to a challenge is an empty line."""
    told = [f"user={user}\x01auth=Bearer {token}\x01\x01"]
    return lambda _=None: told.pop() if told else ""


def test_a_mail_is_kept_with_its_envelope_and_its_parts(sink: SmtpSink) -> None:
    with client(sink) as smtp:
        assert smtp.sendmail(SHOP, [ANA, BOB], MAIL) == {}
    [mail] = sink.mails
    assert (mail.sender, mail.recipients, mail.session) == (SHOP, (ANA, BOB), 1)
    assert (mail.login, mail.parsed["Subject"], mail.text) == (None, "Hello", "Fly home\n")
    assert mail.content == MAIL.encode()
    assert [command for _, command in sink.commands] == [
        *("EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT")
    ]
    with pytest.raises(LookupError, match="no text/html"):
        _ = mail.html


@pytest.mark.parametrize("pipelining", [True, False])
def test_many_commands_at_once_are_offered_and_answered_in_order(pipelining: bool) -> None:
    with SmtpSink(pipelining=pipelining) as sink, client(sink) as smtp:
        sink.refuse("RCPT", "550 5.1.1 unknown", BOB)
        smtp.ehlo()
        assert smtp.has_extn("pipelining") == pipelining
        smtp.send(f"MAIL FROM:<{SHOP}>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<{ANA}>\r\nDATA\r\n")
        assert [smtp.getreply()[0] for _ in range(4)] == [250, 550, 250, 354]


def test_a_recipient_may_be_unknown_and_the_others_get_the_mail(sink: SmtpSink) -> None:
    sink.refuse("RCPT", "550 5.1.1 unknown", BOB)
    with client(sink) as smtp:
        assert smtp.sendmail(SHOP, [ANA, BOB], MAIL) == {BOB: (550, b"5.1.1 unknown")}
    assert sink.mails[0].recipients == (ANA,)


def test_a_sender_may_be_refused(sink: SmtpSink) -> None:
    sink.refuse("MAIL", "553 5.7.1 not yours", SHOP)
    with client(sink) as smtp, pytest.raises(smtplib.SMTPSenderRefused, match="not yours"):
        smtp.sendmail(SHOP, [ANA], MAIL)
    assert sink.mails == []


def test_greylisting_refuses_once_and_takes_the_mail_later(sink: SmtpSink) -> None:
    sink.reply("RCPT", "451 4.7.1 come back later")
    with client(sink) as smtp:
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="come back later"):
            smtp.sendmail(SHOP, [ANA], MAIL)
        smtp.sendmail(SHOP, [ANA], MAIL)
    assert len(sink.mails) == 1


def test_a_connection_may_be_dropped(sink: SmtpSink) -> None:
    sink.hang_up_at("DATA")
    with pytest.raises(smtplib.SMTPServerDisconnected), client(sink) as smtp:
        smtp.sendmail(SHOP, [ANA], MAIL)
    assert sink.mails == []


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_a_login_by_password_is_checked(mechanism: Any) -> None:
    with SmtpSink(credentials=("shop", "open-sesame"), mechanisms=[mechanism]) as sink:
        with client(sink) as smtp:
            smtp.ehlo()
            assert smtp.esmtp_features["auth"].split() == [mechanism]
            with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
                smtp.sendmail(SHOP, [ANA], MAIL)
            with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                smtp.login("shop", "wrong")
            smtp.login("shop", "open-sesame")
            smtp.sendmail(SHOP, [ANA], MAIL)
        assert [mail.login for mail in sink.mails] == ["shop"]


def test_a_login_may_be_refused_whatever_it_is() -> None:
    with SmtpSink(credentials=("shop", "open-sesame")) as sink, client(sink) as smtp:
        sink.refuse("AUTH", "535 5.7.8 no")
        with pytest.raises(smtplib.SMTPAuthenticationError, match="no"):
            smtp.login("shop", "open-sesame")


def test_a_login_by_a_long_token_is_checked_with_the_challenge_of_a_real_one() -> None:
    with SmtpSink(credentials=("shop", TOKEN), mechanisms=["XOAUTH2"]) as sink:
        with client(sink) as smtp:
            smtp.ehlo()
            for user, token in (("shop", "old"), ("eve", TOKEN)):
                with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                    smtp.auth("XOAUTH2", xoauth2(user, token))
            assert smtp.auth("XOAUTH2", xoauth2("shop", TOKEN))[0] == 235
            smtp.sendmail(SHOP, [ANA], MAIL)
        assert [mail.login for mail in sink.mails] == ["shop"]


@pytest.mark.parametrize("sent", ["", " dXNlcj1zaG9w", " !"])
def test_a_login_by_what_is_no_token_is_refused(sent: str) -> None:
    with SmtpSink(credentials=("shop", "t"), mechanisms=["XOAUTH2"]) as sink, client(sink) as smtp:
        smtp.ehlo()
        assert smtp.docmd(f"AUTH XOAUTH2{sent}")[0] == 334
        assert smtp.docmd("")[0] == 535


def test_starttls_is_required_and_the_certificate_is_the_tests() -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with SmtpSink(tls="starttls", certificate=server_certificate(authority)) as sink:
        with client(sink) as smtp:
            with pytest.raises(smtplib.SMTPSenderRefused, match="STARTTLS"):
                smtp.sendmail(SHOP, [ANA], MAIL)
            smtp.starttls(context=trusting)
            smtp.sendmail(SHOP, [ANA], MAIL)
        assert len(sink.mails) == 1


def test_tls_without_a_certificate_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="TLS needs a certificate"):
        SmtpSink(tls="implicit")


def test_without_aiosmtpd_the_rest_of_the_kit_works_and_the_sink_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['aiosmtpd'] = None\n"
        "from almenara.testing import FakeService, ReceivedMail\n"
        "from almenara.testing import SmtpSink\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: SmtpSink needs aiosmtpd: install it with `pip install 'almenara[testing]'`."
    )


def test_the_kit_has_no_other_names() -> None:
    assert {"SmtpSink", "ReceivedMail"} <= set(almenara.testing.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'SmtpSinc'"):
        _ = almenara.testing.SmtpSinc  # type: ignore[attr-defined]  # that is what it is about
