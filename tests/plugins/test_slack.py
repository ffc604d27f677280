"""The Slack channel against a real HTTP server that answers as Slack does."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import BackgroundTasks
from pydantic import ValidationError

from almenara import ChannelError, PermanentError, RateLimitedError, TemporaryError
from almenara.egress import Egress, configure
from almenara.plugin import build_settings
from almenara.testing import Answer, FakeService
from tests.plugins.shipped import a_message, load

SECRET = "s3cr3t-t0ken"
TOKEN = f"xoxb-{SECRET}"


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
async def _egress() -> AsyncIterator[None]:
    """Let the channel reach loopback."""
    egress = Egress(["127.0.0.0/8"])
    configure(egress)
    yield
    configure(None)
    await egress.close()


def settings(**values: Any) -> Any:
    cls = load("slack", "slack").Slack
    return build_settings(cls, cls.Settings, values, None)


async def send(values: dict[str, Any], **message: Any) -> Any:
    channel = load("slack", "slack").Slack(settings(**values))
    return await channel.send_message(a_message(**message), BackgroundTasks())


async def post_to_webhook(receiver: FakeService, **message: Any) -> Any:
    return await send({"webhook_url": f"{receiver.url}/services/{SECRET}"}, **message)


async def post_as_bot(receiver: FakeService, **message: Any) -> Any:
    bot = {"bot_token": TOKEN, "channel": "C012345", "api_url": f"{receiver.url}/api/"}
    return await send(bot, **message)


def bot_says(status: int = 200, headers: dict[str, str] | None = None, **answer: Any) -> Answer:
    return Answer(status, json.dumps(answer).encode(), headers or {})


def everything_said(error: BaseException) -> str:
    return "\n".join([*traceback.format_exception(error), str(error), repr(error)])


async def test_a_message_is_posted_to_the_webhook(receiver: FakeService) -> None:
    assert await post_to_webhook(receiver, title="Sales", description="Help & <plan>") is None
    [arrived] = receiver.received
    assert (arrived.method, arrived.target) == ("POST", f"/services/{SECRET}")
    assert arrived.headers["Content-Type"] == "application/json"
    assert arrived.json() == {"text": "*Sales*\nHelp &amp; &lt;plan&gt;"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, "invalid_payload", PermanentError),
        (400, "user_not_found", ChannelError),
        (400, "something_new", PermanentError),
        (403, "action_prohibited", ChannelError),
        (403, "invalid_token\n", ChannelError),
        (404, "channel_not_found", ChannelError),
        (404, "no_service", ChannelError),
        (404, "no_active_hooks", ChannelError),
        (410, "channel_is_archived", ChannelError),
        (404, "404 page not found", ChannelError),
        (403, "", ChannelError),
        (302, "", PermanentError),
        (429, "rate_limited", RateLimitedError),
        (500, "rollup_error", TemporaryError),
        (500, "no_service", TemporaryError),
        (503, "", TemporaryError),
    ],
)
async def test_an_error_of_the_webhook_is_the_services_the_messages_or_the_channels(
    receiver: FakeService, status: int, body: str, kind: type[Exception]
) -> None:
    receiver.answer = Answer(status, body.encode(), {"X-Echo": SECRET})
    with pytest.raises(kind) as caught:
        await post_to_webhook(receiver)
    assert type(caught.value) is kind
    assert SECRET not in everything_said(caught.value)


async def test_a_removed_webhook_says_what_to_do(receiver: FakeService) -> None:
    receiver.answer = Answer(404, b"no_service")
    with pytest.raises(ChannelError) as caught:
        await post_to_webhook(receiver)
    assert str(caught.value) == (
        "Slack refused the message (no_service): make a new webhook and set `webhook_url`."
    )


async def test_the_body_of_an_unknown_error_is_not_repeated(receiver: FakeService) -> None:
    receiver.answer = Answer(400, b"<html>nobody knows</html>")
    with pytest.raises(PermanentError) as caught:
        await post_to_webhook(receiver)
    assert str(caught.value) == "Slack answered 400 (Bad Request)."


@pytest.mark.parametrize("post", [post_to_webhook, post_as_bot])
async def test_a_429_waits_as_long_as_slack_says(receiver: FakeService, post: Any) -> None:
    receiver.answer = bot_says(429, {"Retry-After": "30"}, ok=False, error="ratelimited")
    with pytest.raises(RateLimitedError) as caught:
        await post(receiver)
    assert caught.value.retry_after == 30.0


async def test_a_bot_posts_to_its_channel(receiver: FakeService) -> None:
    receiver.answer = bot_says(ok=True, channel="C012345", ts="1503435956.000247")
    assert await post_as_bot(receiver, description="hello") == "C012345:1503435956.000247"
    [arrived] = receiver.received
    assert (arrived.method, arrived.target) == ("POST", "/api/chat.postMessage")
    assert arrived.headers["Authorization"] == f"Bearer {TOKEN}"
    assert arrived.json() == {"channel": "C012345", "text": "hello"}


async def test_an_answer_without_a_place_gives_no_reference(receiver: FakeService) -> None:
    receiver.answer = bot_says(ok=True)
    assert await post_as_bot(receiver) is None


@pytest.mark.parametrize("place", [{"channel": "C012345", "ts": "1.2"}, {}])
async def test_a_long_post_whose_answer_is_cut_was_made(
    receiver: FakeService, place: dict[str, str]
) -> None:
    receiver.answer = Answer(
        body=json.dumps({"ok": True} | place | {"message": {"text": "😀" * 40_000}}).encode()
    )
    assert len(receiver.answer.body) > 65_536
    assert await post_as_bot(receiver) == ("C012345:1.2" if place else None)


@pytest.mark.parametrize(
    "code",
    [
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "no_permission",
        "missing_scope",
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "restricted_action",
        "restricted_action_read_only_channel",
        "ekm_access_denied",
    ],
)
async def test_a_refusal_of_whatever_the_channel_sends_is_the_channels(
    receiver: FakeService, code: str
) -> None:
    receiver.answer = bot_says(ok=False, error=code)
    with pytest.raises(ChannelError) as caught:
        await post_as_bot(receiver)
    assert str(caught.value).startswith(f"Slack refused the message ({code}): ")
    assert SECRET not in everything_said(caught.value)


@pytest.mark.parametrize("code", ["invalid_arguments", "msg_too_long", "no_text"])
async def test_a_refusal_of_one_message_is_permanent(receiver: FakeService, code: str) -> None:
    receiver.answer = bot_says(ok=False, error=code)
    with pytest.raises(PermanentError, match=f"^Slack refused the message .{code}.: "):
        await post_as_bot(receiver)


@pytest.mark.parametrize(
    "code",
    ["internal_error", "fatal_error", "service_unavailable", "request_timeout", "something_new"],
)
async def test_a_failure_of_slack_s_own_and_an_unknown_error_are_temporary(
    receiver: FakeService, code: str
) -> None:
    receiver.answer = bot_says(ok=False, error=code)
    with pytest.raises(TemporaryError, match=f"\\({code}\\)") as caught:
        await post_as_bot(receiver)
    assert type(caught.value) is TemporaryError


@pytest.mark.parametrize("code", ["ratelimited", "rate_limited"])
async def test_a_rate_limit_in_words_is_a_rate_limit(receiver: FakeService, code: str) -> None:
    receiver.answer = bot_says(200, {"Retry-After": "12"}, ok=False, error=code)
    with pytest.raises(RateLimitedError) as caught:
        await post_as_bot(receiver)
    assert caught.value.retry_after == 12.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>proxy</html>",
        b'["ok"]',
        b'{"ok": false, "error": ["x"]}',
        b'{"ok": "true"}',
        b'{"ok": false, "error": "Token ' + TOKEN.encode() + b'"}',
        b"[" * 60_000,
    ],
)
async def test_an_answer_that_is_none_of_slack_s_is_temporary_and_not_repeated(
    receiver: FakeService, body: bytes
) -> None:
    receiver.answer = Answer(200, body)
    with pytest.raises(TemporaryError) as caught:
        await post_as_bot(receiver)
    assert type(caught.value) is TemporaryError
    assert SECRET not in everything_said(caught.value)
    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"), [(302, PermanentError), (401, ChannelError), (502, TemporaryError)]
)
async def test_a_status_of_the_api_is_temporary_or_permanent(
    receiver: FakeService, status: int, kind: type[Exception]
) -> None:
    receiver.answer = Answer(status, TOKEN.encode())
    with pytest.raises(kind) as caught:
        await post_as_bot(receiver)
    assert SECRET not in everything_said(caught.value)


async def test_a_refused_connection_is_temporary_and_holds_no_secret() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for values in (
            {"webhook_url": f"{origin}/{SECRET}"},
            {"bot_token": TOKEN, "channel": "C0", "api_url": origin},
        ):
            with pytest.raises(TemporaryError) as caught:
                await send(values)
            assert SECRET not in everything_said(caught.value)


async def test_a_bot_token_that_no_header_can_carry_is_permanent_and_not_shown() -> None:
    with pytest.raises(PermanentError) as caught:
        await send({"bot_token": f"{TOKEN}\n", "channel": "C0"})
    assert SECRET not in everything_said(caught.value)


WEBHOOK = {"webhook_url": f"https://hooks.slack.com/services/{SECRET}"}
BOT = {"bot_token": TOKEN, "channel": "C0"}


@pytest.mark.parametrize(
    "values",
    [WEBHOOK, BOT, WEBHOOK | {"bot_token": None, "channel": ""}, BOT | {"webhook_url": None}],
)
def test_either_way_to_post_is_enough(values: dict[str, Any]) -> None:
    assert SECRET not in repr(settings(**values))


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({}, None, "Give either"),
        ({"bot_token": TOKEN}, None, "Give either"),
        ({"channel": "C0"}, None, "Give either"),
        (WEBHOOK | {"bot_token": TOKEN}, "bot_token", "Give either"),
        (WEBHOOK | {"channel": "C0"}, "channel", "Give either"),
        ({"webhook_url": SECRET}, "webhook_url", "must be the address"),
        ({"webhook_url": f"https://[{SECRET}"}, "webhook_url", "must be the address"),
        (BOT | {"api_url": "slack.com"}, "api_url", "must be an address"),
    ],
)
def test_settings_that_are_not_one_way_to_post_are_refused(
    values: dict[str, Any], field: str | None, says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**values)
    error = caught.value.errors()[0]
    assert error["loc"] == (() if field is None else (field,))
    assert says in error["msg"]
    assert SECRET not in str(caught.value)


async def test_a_plugin_built_past_its_settings_check_fails_at_once() -> None:
    cls = load("slack", "slack").Slack
    channel = cls(cls.Settings.model_construct(webhook_url=None, bot_token=None, channel=None))
    with pytest.raises(ChannelError, match="Give either"):
        await channel.send_message(a_message(), BackgroundTasks())


def test_the_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "")
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("SLACK_CHANNEL", "C0")
    read = settings()
    assert (read.bot_token.get_secret_value(), read.channel) == (TOKEN, "C0")
    assert settings(**WEBHOOK, bot_token=None, channel=None).bot_token is None
