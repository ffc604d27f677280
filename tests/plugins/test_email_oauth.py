"""Mail with a login by access token: a real mail server, and a real token endpoint."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from almenara import ChannelError, TemporaryError
from almenara.egress import Egress, configure
from almenara.testing import Answer, FakeService, Received, SmtpSink
from tests.plugins.shipped import email_channel, email_settings, load, odd_server, send

MAILBOX = "shop@example.org"
CLIENT_SECRET, REFRESH = "GOCSPX-client-s3cret", "1//refresh-s3cret"
SECRETS = (CLIENT_SECRET, REFRESH, "ya29")


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink(credentials=(MAILBOX, "ya29-1"), mechanisms=["XOAUTH2"]) as sink:
        yield sink


@pytest.fixture
def endpoint() -> Iterator[FakeService]:
    """Gives ya29-1, ya29-2, ..."""

    def answer(_: Received) -> Answer:
        return gives(f"ya29-{len(service.received)}")

    with FakeService(answer) as service:
        yield service


@pytest.fixture(autouse=True)
async def _egress() -> AsyncIterator[None]:
    """Let the channel reach loopback."""
    egress = Egress(["127.0.0.0/8"])
    configure(egress)
    yield
    configure(None)
    await egress.close()


def gives(token: Any, expires_in: Any = 3599) -> Answer:
    return Answer(200, {"access_token": token, "expires_in": expires_in, "token_type": "Bearer"})


def granted(endpoint: FakeService, **changes: Any) -> dict[str, Any]:
    values = {
        "username": MAILBOX,
        "oauth_token_url": f"{endpoint.url}/token",
        "oauth_client_id": "an-id",
        "oauth_client_secret": CLIENT_SECRET,
        "oauth_refresh_token": REFRESH,
    }
    return values | changes


def shown(error: BaseException) -> str:
    """Return all that anybody may see of an error, and that it tells no secret."""
    text = "".join(traceback.format_exception(error))
    assert [secret for secret in SECRETS if secret in text] == []
    return str(error)


async def fails(sink: SmtpSink, kind: type[Exception], **settings: Any) -> str:
    async with email_channel(sink, **settings) as mail:
        with pytest.raises(kind) as caught:
            await send(mail)
    assert sink.mails == []
    return shown(caught.value)


async def test_a_token_is_fetched_with_the_owners_grant_and_kept(
    sink: SmtpSink, endpoint: FakeService
) -> None:
    async with email_channel(sink, **granted(endpoint)) as mail:
        await send(mail)
        sink.hang_up_at("MAIL")
        await send(mail)
    assert [(one.login, one.session) for one in sink.mails] == [(MAILBOX, 1), (MAILBOX, 2)]
    [asked] = endpoint.received
    assert (asked.method, asked.target) == ("POST", "/token")
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked.form() == {
        "grant_type": "refresh_token",
        "client_id": "an-id",
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH,
    }


async def test_without_a_grant_the_application_logs_in_by_its_own_right(
    sink: SmtpSink, endpoint: FakeService
) -> None:
    own = {"oauth_refresh_token": None, "oauth_scope": "https://outlook.office365.com/.default"}
    async with email_channel(sink, **granted(endpoint, **own)) as mail:
        await send(mail)
    assert endpoint.received[0].form() == {
        "grant_type": "client_credentials",
        "client_id": "an-id",
        "client_secret": CLIENT_SECRET,
        "scope": "https://outlook.office365.com/.default",
    }


async def test_verify_logs_in_by_the_token(sink: SmtpSink, endpoint: FakeService) -> None:
    async with email_channel(sink, **granted(endpoint)) as mail:
        await mail.verify()
    assert [command for _, command in sink.commands] == ["EHLO", "AUTH", "NOOP", "QUIT"]


async def test_many_mails_at_once_fetch_one_token(sink: SmtpSink, endpoint: FakeService) -> None:
    async with email_channel(sink, **granted(endpoint)) as mail:
        await asyncio.gather(*(send(mail) for _ in range(12)))
    assert len(sink.mails) == 12
    assert len(endpoint.received) == 1


async def test_a_refused_token_is_fetched_anew_once(sink: SmtpSink, endpoint: FakeService) -> None:
    async with email_channel(sink, **granted(endpoint)) as mail:
        await send(mail)
        sink.credentials = (MAILBOX, "ya29-2")
        sink.hang_up()
        await asyncio.gather(*(send(mail) for _ in range(4)))
    assert len(sink.mails) == 5
    assert len(endpoint.received) == 2


async def test_a_new_token_that_is_refused_too_is_the_channels_fault(
    sink: SmtpSink, endpoint: FakeService
) -> None:
    sink.credentials = ("another@example.org", "")
    said = await fails(sink, ChannelError, **granted(endpoint))
    assert "refused the login (535): the access token is not, or no longer, good" in said
    assert len(endpoint.received) == sink.count("AUTH") == 2


async def test_a_challenge_where_an_end_is_due_is_a_refusal_too(
    endpoint: FakeService,
) -> None:
    challenge = b"334 eyJzdGF0dXMiOiI0MDAifQ==\r\n"
    lines = [b"220 hi\r\n", b"250-hi\r\n250 AUTH XOAUTH2\r\n", challenge, challenge]
    async with odd_server(*lines) as server, email_channel(server, **granted(endpoint)) as mail:
        with pytest.raises(ChannelError, match=r"refused the login \(334\)") as caught:
            await send(mail)
    shown(caught.value)
    assert len(endpoint.received) == 2


async def test_a_login_that_cannot_be_checked_now_fetches_nothing(
    sink: SmtpSink, endpoint: FakeService
) -> None:
    sink.refuse("AUTH", "454 4.7.0 Temporary authentication failure")
    await fails(sink, TemporaryError, **granted(endpoint))
    assert len(endpoint.received) == 1


async def test_a_token_that_the_operator_set_is_used_until_it_is_refused(sink: SmtpSink) -> None:
    async with email_channel(sink, username=MAILBOX, oauth_access_token="ya29-1") as mail:
        await send(mail)
        sink.credentials = (MAILBOX, "ya29-2")
        sink.hang_up()
        with pytest.raises(ChannelError, match="set it anew") as caught:
            await send(mail)
    shown(caught.value)
    assert sink.count("AUTH") == 2


async def test_a_server_that_takes_no_tokens_is_the_channels_fault(endpoint: FakeService) -> None:
    with SmtpSink(credentials=(MAILBOX, "open-sesame")) as sink:
        assert "(XOAUTH2)" in await fails(sink, ChannelError, **granted(endpoint))
        assert sink.count("AUTH") == 0


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Answer(400, {"error": "invalid_grant"}), ChannelError, "set `oauth_refresh_token`"),
        (Answer(401, {"error": "invalid_client"}), ChannelError, "`oauth_client_secret`"),
        (Answer(400, {"error": "unauthorized_client"}), ChannelError, "that kind of grant"),
        (Answer(400, {"error": "invalid_scope"}), ChannelError, "check `oauth_scope`"),
        (Answer(400, {"error": "invalid_request"}), ChannelError, "check `oauth_token_url`"),
        (Answer(400, {"error": "unsupported_grant_type"}), ChannelError, "oauth_token_url"),
        (Answer(400, {"error": ["odd"]}), ChannelError, "Check `oauth_token_url`"),
        (Answer(404, "<html>"), ChannelError, "404"),
        (Answer(302, headers={"Location": "/"}), ChannelError, "give the final address"),
        (Answer(429, headers={"Retry-After": "7"}), TemporaryError, "takes no more"),
        (Answer(500, "<html>"), TemporaryError, "answered 500"),
        (Answer(503, {"error": "temporarily_unavailable"}), TemporaryError, "answered 503"),
        (Answer(200, "<html>"), TemporaryError, "without an access token"),
        (Answer(200, {"token_type": "Bearer"}), TemporaryError, "without an access token"),
        (gives(""), TemporaryError, "without an access token"),
        (gives("ya29\r\nMAIL FROM:<eve@example.org>"), TemporaryError, "without an access"),
        (gives({"ya29": 1}), TemporaryError, "without an access token"),
    ],
)
async def test_what_the_token_endpoint_refuses_is_told_and_no_mail_server_is_asked(
    sink: SmtpSink, endpoint: FakeService, answer: Answer, kind: type[Exception], words: str
) -> None:
    if isinstance(answer.body, dict) and "error" in answer.body:
        told = f"refused: {REFRESH} {CLIENT_SECRET} ya29-1"
        answer = Answer(answer.status, answer.body | {"error_description": told}, answer.headers)
    endpoint.answer = answer
    said = await fails(sink, kind, **granted(endpoint))
    assert said.startswith("The token endpoint 127.0.0.1 ")
    assert words in said
    assert sink.session_count == 0


async def test_a_token_endpoint_that_is_away_is_tried_again_later(sink: SmtpSink) -> None:
    with FakeService() as gone:
        settings = granted(gone)
    await fails(sink, TemporaryError, **settings)


async def test_a_token_endpoint_that_may_not_be_reached_is_the_channels_fault(
    sink: SmtpSink, endpoint: FakeService
) -> None:
    closed = Egress()
    configure(closed)
    assert "not a public address" in await fails(sink, ChannelError, **granted(endpoint))
    await closed.close()
    assert endpoint.received == []


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "partial"])
async def test_a_mail_server_that_echoes_the_token_shows_none(
    sink: SmtpSink, endpoint: FakeService, stage: Any
) -> None:
    echo = "550 5.7.1 not with ya29-1"
    to = ["ana@example.org", "bob@example.org"]
    if stage == "partial":
        sink.refuse("RCPT", echo, "bob@example.org")
        async with email_channel(sink, **granted(endpoint, to=to)) as mail:
            detail = (await send(mail)).detail
        assert detail == "Refused by the server: bob@example.org (550 5.7.1 not with ***)"
    else:
        sink.refuse(stage, echo)
        assert "not with ***" in await fails(sink, Exception, **granted(endpoint, to=to))


@pytest.mark.parametrize(
    ("expires_in", "good_for"),
    [(3600, 3540), ("3600", 3540), (90, 45), (0, 0), (None, 3540), ("soon", 3540), (-5, 0)],
)
async def test_a_token_is_fetched_anew_shortly_before_it_expires(
    endpoint: FakeService, expires_in: Any, good_for: float
) -> None:
    now = [1000.0]
    oauth = load("email", "oauth")
    tokens = oauth.Tokens(oauth.Grant(endpoint.url, {}), clock=lambda: now[0])
    endpoint.answer = gives("ya29", expires_in)
    await tokens.current()
    if good_for:
        now[0] += good_for - 0.1
        await tokens.current()
        assert len(endpoint.received) == 1
        now[0] += 0.1
    await tokens.current()
    assert len(endpoint.received) == 2


async def test_a_cancelled_fetch_leaves_the_next_one_free(endpoint: FakeService) -> None:
    oauth = load("email", "oauth")
    tokens = oauth.Tokens(oauth.Grant(endpoint.url, {}))
    endpoint.queue.append(Answer(delay=3600))
    fetching = asyncio.create_task(tokens.current())
    while not endpoint.received:
        await asyncio.sleep(0.01)
    waiting = asyncio.create_task(tokens.current())
    fetching.cancel()
    assert await waiting == "ya29-2"


PLAIN: dict[str, Any] = {
    "username": MAILBOX,
    "oauth_token_url": "https://oauth2.googleapis.com/token",
    "oauth_client_id": "an-id",
    "oauth_refresh_token": REFRESH,
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"password": "open-sesame"}, "there is one way to log in"),
        ({"oauth_access_token": "ya29"}, "there is one way to log in"),
        ({"username": ""}, "needs `username`"),
        ({"oauth_client_id": ""}, "needs `oauth_client_id`"),
        ({"oauth_refresh_token": None}, "needs `oauth_refresh_token`, or `oauth_scope`"),
        ({"oauth_token_url": None}, "name in `oauth_token_url`"),
        ({"oauth_token_url": "oauth2.googleapis.com"}, "must be an address"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    sink: SmtpSink, changes: dict[str, Any], sentence: str
) -> None:
    assert email_settings(sink, **PLAIN).oauth_scope == ""
    with pytest.raises(ValidationError, match=sentence) as caught:
        email_settings(sink, **(PLAIN | changes))
    shown(caught.value)


def test_the_settings_hide_what_is_secret(sink: SmtpSink) -> None:
    read = email_settings(sink, **PLAIN, oauth_client_secret=CLIENT_SECRET)
    assert REFRESH not in repr(read)
    assert CLIENT_SECRET not in repr(read)
