"""The silent checks of shipped channels, against real servers that answer as documented."""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from almenara import ChannelError, RateLimitedError, TemporaryError
from almenara.egress import Egress, configure
from almenara.plugin import build_settings
from almenara.testing import Answer, FakeService, SmtpSink
from tests.plugins.documented import SECRET, SERVICES, SID, says
from tests.plugins.shipped import load


@dataclass(frozen=True)
class Check:
    """One channel's silent check, as its service documents it."""

    plugin: str
    #: What is asked, and what a service says that would take a message.
    asked: list[tuple[str, str, Answer]]
    #: What the check says then.
    sentence: str
    #: Documented refusals of the last question: the answer, what it comes to, what it says.
    refusals: list[tuple[Answer, type[Exception], str]] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "-".join([self.plugin, *self.changes])


CHECKS = [
    Check(
        "Slack",
        [
            (
                "POST",
                "/auth.test",
                says(200, {"ok": True, "team": "Shop", "user": "bot", "user_id": "W1"}),
            )
        ],
        "Slack knows the token: it is bot's, in Shop.",
        [
            (says(200, {"ok": False, "error": "invalid_auth"}), ChannelError, "invalid_auth"),
            (says(200, {"ok": False, "error": "token_revoked"}), ChannelError, "refused the token"),
            (says(200, {"ok": False, "error": "account_inactive"}), ChannelError, "install"),
            (says(200, {"ok": False, "error": "fatal_error"}), TemporaryError, "the token just"),
            (says(429, {}, Retry_After="30"), RateLimitedError, "429"),
        ],
    ),
    Check(
        "Telegram",
        [
            (
                "POST",
                f"/bot1:{SECRET}/getMe",
                says(200, {"ok": True, "result": {"id": 1, "is_bot": True, "username": "shop"}}),
            ),
            (
                "POST",
                f"/bot1:{SECRET}/getChat",
                says(200, {"ok": True, "result": {"id": -1, "type": "group"}}),
            ),
        ],
        "Telegram knows the bot shop, and the bot the chat.",
        [
            (says(401, {"ok": False, "description": "Unauthorized"}), ChannelError, "401"),
            (
                says(400, {"ok": False, "description": "Bad Request: chat not found"}),
                ChannelError,
                "check `chat_id`",
            ),
            (Answer(200, b"<html>"), TemporaryError, "check `api_url`"),
        ],
    ),
    Check(
        "Discord",
        [("GET", f"/api/webhooks/1/{SECRET}", says(200, {"id": "1", "type": 1, "name": "Shop"}))],
        "Discord knows the webhook, by the name Shop.",
        [
            (says(404, {"message": "Unknown Webhook", "code": 10015}), ChannelError, "404"),
            (says(401, {"message": "Invalid Webhook Token", "code": 50027}), ChannelError, "401"),
            (says(429, {"retry_after": 2.5}), RateLimitedError, "429"),
            (says(200, {}), TemporaryError, "check `webhook_url`"),
        ],
    ),
    Check(
        "Twilio",
        [
            (
                "GET",
                f"/2010-04-01/Accounts/{SID}.json",
                says(200, {"sid": SID, "friendly_name": "Shop", "status": "active"}),
            )
        ],
        "The Twilio account is active.",
        [
            (says(401, {"code": 20003, "message": "Authenticate"}), ChannelError, "auth_token"),
            (says(200, {"sid": SID, "status": "suspended"}), ChannelError, "suspended"),
            (says(200, {}), TemporaryError, "check `api_url`"),
            (says(503, {"code": 20503}), TemporaryError, "503"),
        ],
    ),
    Check(
        "Matrix",
        [
            (
                "GET",
                "/_matrix/client/v3/account/whoami",
                says(200, {"user_id": "@bot:example.org", "is_guest": False}),
            )
        ],
        "The token is @bot:example.org's.",
        [
            (says(401, {"errcode": "M_UNKNOWN_TOKEN"}), ChannelError, "401"),
            (says(403, {"errcode": "M_FORBIDDEN"}), ChannelError, "403"),
            (says(429, {"errcode": "M_LIMIT_EXCEEDED"}), RateLimitedError, "429"),
            (says(200, {}), TemporaryError, "check `homeserver`"),
        ],
    ),
    Check(
        "Gotify",
        [("POST", "/message", says(400, {"error": "Bad Request", "errorCode": 400}))],
        "Gotify knows the token.",
        [
            (says(401, {"error": "Unauthorized", "errorCode": 401}), ChannelError, "401"),
            (says(200, {"id": 1}), TemporaryError, "not Gotify"),
            (says(500, {}), TemporaryError, "500"),
        ],
    ),
    Check(
        "Ntfy",
        [("GET", "/v1/account", says(200, {"username": "ana", "role": "user"}))],
        "ntfy knows the account.",
        [
            (says(401, {"code": 40101, "error": "unauthorized"}), ChannelError, "401"),
            (says(200, {}), TemporaryError, "check `server`"),
        ],
    ),
    Check(
        "Ntfy",
        [("GET", "/v1/health", says(200, {"healthy": True}))],
        "ntfy is there; no account was tried.",
        [(says(200, {"healthy": False}), TemporaryError, "not healthy")],
        {"username": None, "password": None},
    ),
    Check(
        "Pushover",
        [("POST", "/1/users/validate.json", says(200, {"status": 1, "devices": ["phone"]}))],
        "Pushover knows the application, and the user or the group.",
        [
            (says(400, {"user": "invalid", "status": 0}), ChannelError, "`user`"),
            (says(400, {"token": "invalid", "status": 0}), ChannelError, "`token`"),
            (says(200, {}), TemporaryError, "check `api_url`"),
        ],
        {"device": "phone"},
    ),
    Check(
        "Almenara",
        [("GET", "/v1/topics/sales", says(200, {"name": "sales", "channels": []}))],
        "The other Almenara knows sales.",
        [
            (says(401, {"code": "invalid_token"}), ChannelError, "401"),
            (says(404, {"code": "not_found"}), ChannelError, "check `topic` and `channel`"),
            (says(421, {"code": "host_not_allowed"}), ChannelError, "421"),
            (says(200, {}), TemporaryError, "check `server`"),
        ],
    ),
    Check(
        "Almenara",
        [("GET", "/v1/channels/log", says(403, {"code": "insufficient_scope"}))],
        "The other Almenara knows the token; with `config:read` more could be checked.",
        changes={"topic": None, "channel": "log"},
    ),
    Check(
        "Almenara",
        [("GET", "/v1/topics", says(200, {"data": []}))],
        "The other Almenara knows the token.",
        changes={"topic": None},
    ),
]
EACH = pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.name)


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService() as one:
        yield one


@pytest.fixture(autouse=True)
async def _egress() -> AsyncIterator[None]:
    """Let the channels reach loopback."""
    egress = Egress(["127.0.0.0/8"])
    configure(egress)
    yield
    configure(None)
    await egress.close()


def channel(plugin: str, **values: Any) -> Any:
    cls = getattr(load(plugin.lower(), plugin.lower()), plugin)
    given = {name: one for name, one in values.items() if one is not None}
    return cls(build_settings(cls, cls.Settings, given, None))


def built(check: Check, url: str) -> Any:
    if check.plugin == "Slack":
        return channel("Slack", bot_token=f"xoxb-{SECRET}", channel="C1", api_url=url)
    service = next(one for one in SERVICES if one.plugin == check.plugin)
    return channel(check.plugin, **service.settings(url) | check.changes)


@EACH
async def test_a_service_that_would_take_a_message_is_told_from_others(
    check: Check, receiver: FakeService
) -> None:
    receiver.queue.extend(answer for _, _, answer in check.asked)
    assert await built(check, receiver.url).verify() == check.sentence
    assert [(one.method, one.target) for one in receiver.received] == [
        (method, target) for method, target, _ in check.asked
    ]


@EACH
async def test_a_refusal_says_whose_fault_it_is_and_tells_no_secret(
    check: Check, receiver: FakeService
) -> None:
    for answer, kind, words in check.refusals:
        receiver.queue.extend([*(one for _, _, one in check.asked[:-1]), answer])
        with pytest.raises(kind) as caught:
            await built(check, receiver.url).verify()
        assert type(caught.value) is kind
        assert words in str(caught.value)
        assert SECRET not in "\n".join(traceback.format_exception(caught.value))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TemporaryError):
            await built(check, f"http://127.0.0.1:{taken.getsockname()[1]}").verify()


async def test_the_token_goes_with_the_question(receiver: FakeService) -> None:
    for check in CHECKS:
        receiver.queue.extend(answer for _, _, answer in check.asked)
        await built(check, receiver.url).verify()
        one = receiver.received[-1]
        signed = "Authorization" in one.headers or SECRET in f"{one.target}{one.body!r}"
        assert signed or one.headers.get("X-Gotify-Key") == SECRET or "health" in one.target
    validated = next(one for one in receiver.received if "validate" in one.target)
    assert validated.json()["device"] == "phone"


async def test_gotify_is_given_nothing_that_it_could_send(receiver: FakeService) -> None:
    receiver.answer = says(400)
    await channel("Gotify", server=receiver.url, token=SECRET).verify()
    assert receiver.received[0].json() == {}


async def test_an_incoming_webhook_of_slack_has_no_check(receiver: FakeService) -> None:
    with pytest.raises(NotImplementedError, match="no silent check of an incoming webhook"):
        await channel("Slack", webhook_url=f"{receiver.url}/services/{SECRET}").verify()
    assert receiver.received == []


@pytest.mark.parametrize(
    "plugin", ["Log", "Webhook", "Teams", "Mattermost", "GoogleChat", "PagerDuty"]
)
def test_others_have_none(plugin: str) -> None:
    cls = getattr(load(plugin.lower(), plugin.lower()), plugin)
    assert not hasattr(cls, "verify")


async def test_mail_says_whether_a_login_was_tried() -> None:
    with SmtpSink() as receiver:
        values = {"server": receiver.host, "port": receiver.port, "from": "a@example.org"}
        mail = channel("Email", **values, to=["b@example.org"])
        said = await mail.verify()
        await mail.close()
    assert said == f"The mail server {receiver.host}:{receiver.port} answers; no login is set."


# --- what is on this machine


async def test_a_file_is_opened_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = channel("File", name="sales.jsonl")
    with pytest.raises(ChannelError, match="FILE_DIRECTORY is not set"):
        await one.verify()
    monkeypatch.setenv("FILE_DIRECTORY", str(tmp_path))
    assert await one.verify() == "sales.jsonl can be written."
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "sales.jsonl").write_text("kept")
    await one.verify()
    assert (tmp_path / "sales.jsonl").read_text() == "kept"


async def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILE_DIRECTORY", str(tmp_path / "nowhere"))
    with pytest.raises(ChannelError, match="cannot be made: FILE_DIRECTORY is not there"):
        await channel("File", name="sales").verify()
    monkeypatch.setenv("FILE_DIRECTORY", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "directory", "pipe"):
        with pytest.raises(ChannelError, match=f"{name} cannot be written"):
            await channel("File", name=name).verify()


async def test_a_command_is_looked_for_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    allowed = {
        "path": [sys.executable, "-c", f"open({str(mark)!r}, 'w')"],
        "bare": ["sh", "-c", f"touch {mark}"],
        "gone": [str(tmp_path / "gone")],
        "plain": [str(tmp_path / "plain")],
        "unknown": ["no-such-command-anywhere"],
        "relative": ["./gone"],
    }
    (tmp_path / "plain").write_text("not to be run")
    monkeypatch.setenv("COMMAND_ALLOWED", json.dumps(allowed))
    for name in ("path", "bare"):
        assert await channel("Command", name=name).verify() == f"The command {name!r} can be run."
    for name in ("gone", "plain", "unknown", "relative"):
        with pytest.raises(ChannelError, match=f"{name}' is not there, or may not be run"):
            await channel("Command", name=name).verify()
    with pytest.raises(ChannelError, match="names no command 'other'"):
        await channel("Command", name="other").verify()
    assert not mark.exists()
