"""The contract of a plugin: every shipped channel keeps it, and what does not is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from almenara import PluginSettings, RateLimitedError, SecretStr, raise_for_status, request
from almenara.cli import run
from almenara.testing import Answer, FakeService, a_message, check_contract, sending
from tests.plugins.documented import SERVICES
from tests.plugins.push_service import Browser, b64url
from tests.plugins.shipped import load

PAGER = """
from pydantic import Field
from almenara import PluginSettings, SecretStr, raise_for_status, request

class Pager:
    class Settings(PluginSettings):
        url: SecretStr = Field(description="Where the pager is.")

    def __init__(self, settings):
        self.url = settings.url

    async def send_message(self, message, background_tasks):
        raise_for_status(
            await request("POST", self.url, content=message.description.encode()), service="pager"
        )
"""


def push_settings(url: str) -> dict[str, Any]:
    return {
        "private_key": b64url(b"hush-hush".ljust(32, b"-")),
        "subject": "mailto:ana@example.org",
        "subscriptions": [Browser().subscription(f"{url}/hush-hush")],
    }


@pytest.mark.parametrize("service", SERVICES, ids=lambda one: one.plugin)
async def test_every_shipped_channel_keeps_it(service: Any) -> None:
    plugin = getattr(load(service.directory, service.directory), service.plugin)
    taken = Answer(service.taken.status, service.taken.body)
    findings = await check_contract(plugin, service.settings, taken=taken)
    assert [one for one in findings if not one.ok] == []
    assert len(findings) > 20


@pytest.mark.parametrize(
    ("directory", "plugin", "settings"),
    [
        ("webhook", "Webhook", lambda url: {"url": f"{url}/hush-hush"}),
        ("slack", "Slack", lambda url: {"webhook_url": f"{url}/hush-hush"}),
        ("log", "Log", lambda _url: {}),
        ("webpush", "WebPush", push_settings),
    ],
)
async def test_the_first_channels_keep_it_too(
    directory: str, plugin: str, settings: Callable[[str], Mapping[str, Any]]
) -> None:
    findings = await check_contract(getattr(load(directory, directory), plugin), settings)
    assert [one for one in findings if not one.ok] == []


class Bad:
    """Does everything wrong that can be done."""

    class Settings(PluginSettings):
        url: str
        token: SecretStr

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def send_message(self, message: Any, background_tasks: Any) -> Any:
        if "😀" in message.description:
            raise ValueError("cannot write this")
        token = self.settings.token.get_secret_value()
        response = await request("POST", self.settings.url, json={"text": message.description})
        if response.status == 429:
            raise RateLimitedError("too many")
        if response.status == 401:
            raise_for_status(response, service=token)
        if response.status == 503:
            raise RuntimeError("away")
        return response.json()["id"]

    def preview(self, message: Any) -> Any:
        return {"token": self.settings.token.get_secret_value()}


async def test_what_does_not_keep_it_is_found() -> None:
    findings = await check_contract(
        Bad, lambda url: {"url": url, "token": "hush-hush"}, taken=Answer(200, {"id": [1]})
    )
    wrong = {one.rule: one.detail for one in findings if not one.ok}
    assert wrong["each setting says what it is for"] == "write a description: url, token"
    assert "it returns a reference, a receipt or nothing" in wrong
    assert "cannot write this" in wrong["any text is sent"]
    assert "its preview tells no secret" in wrong
    assert "its text tells a secret" in wrong["401 is PermanentError or ChannelError"]
    assert wrong["503 is TemporaryError"] == "it is a RuntimeError"
    assert wrong["500 is TemporaryError"] == "it is a KeyError"
    assert "a Retry-After is kept" in wrong
    assert "an answer of b'[1]' breaks nothing" in wrong


async def test_settings_that_cannot_be_read_end_it() -> None:
    findings = await check_contract(Bad, lambda _url: {})
    assert [one.rule for one in findings if not one.ok] == [
        "each setting says what it is for",
        "its settings can be read",
    ]


class Careless(Bad):
    """Its check is no better than the rest."""

    async def verify(self) -> str:
        response = await request("GET", self.settings.url)
        if response.status == 503:
            raise RateLimitedError(self.settings.token.get_secret_value())
        return "fine"


async def test_a_check_that_tells_nothing_or_too_much_is_found() -> None:
    findings = await check_contract(
        Careless, lambda url: {"url": url, "token": "hush-hush"}, taken=Answer(200, {"id": "1"})
    )
    wrong = {one.rule: one.detail for one in findings if not one.ok}
    refused = "a check that is answered 401 fails as ChannelError or PermanentError"
    assert wrong[refused] == "it counts as a success"
    away = "a check that is answered 503 fails as TemporaryError"
    assert wrong[away] == "its text tells a secret"


async def test_the_checks_of_shipped_channels_are_tried() -> None:
    gotify = next(one for one in SERVICES if one.plugin == "Gotify")
    findings = await check_contract(load("gotify", "gotify").Gotify, gotify.settings)
    assert sum("a check that is answered" in one.rule for one in findings) == 2


class Plain:
    """Takes no settings, and sends nowhere."""

    sent = 0

    def send_message(self, message: Any, background_tasks: Any) -> None:
        if message.description == "fail":
            raise ValueError("told to")
        Plain.sent += 1


async def test_what_speaks_no_http_is_tried_without_it() -> None:
    findings = await check_contract(Plain, lambda _url: {})
    assert all(one.ok for one in findings)
    assert not any("503" in one.rule for one in findings)


async def test_a_service_keeps_what_it_was_sent_and_answers_as_told() -> None:
    with FakeService(Answer(200, {"id": 7})) as service:
        service.queue.append(Answer(503, "away", {"Retry-After": "3"}))
        async with sending(
            load("gotify", "gotify").Gotify, {"server": service.url, "token": "t"}
        ) as send:
            away, sent = await send(), await send(title=None, description="x")
    assert away.error is not None
    assert away.error.retry_after == 3  # type: ignore[attr-defined]  # of a TemporaryError
    assert sent.value == "7"
    assert service.received[1].json() == {"message": "x", "priority": 5}
    assert service.received[1].headers["x-gotify-key"] == "t"
    assert a_message(priority=1).priority == 1


async def test_a_form_is_read_as_one() -> None:
    twilio = next(one for one in SERVICES if one.plugin == "Twilio")
    with FakeService(Answer(201, twilio.taken.body)) as service:
        async with sending(load("twilio", "twilio").Twilio, twilio.settings(service.url)) as send:
            await send(description="x & y", title=None)
    assert service.received[0].form()["Body"] == "x & y"


async def test_what_takes_longer_than_it_may_has_timed_out() -> None:
    with FakeService(Answer(200, delay=1.0)) as service:
        values = {"server": service.url, "token": "t"}
        async with sending(load("gotify", "gotify").Gotify, values, timeout_seconds=0.1) as send:
            assert (await send()).timed_out


# --- the command


def test_the_command_shows_settings_and_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pager").mkdir()
    (tmp_path / "pager" / "pager.py").write_text(PAGER)
    arguments = ("plugins", "check", str(tmp_path / "pager"), "--set", "url=SERVICE/topic")
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "pager.Pager" in out
    assert "  setting url (needed, secret): Where the pager is." in out
    assert "  ok     429 is RateLimitedError" in out
    assert "WRONG" not in out


def test_the_command_points_at_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pager").mkdir()
    wrong = PAGER.replace("raise_for_status(", "print(").replace('service="pager"', "file=None")
    (tmp_path / "pager" / "pager.py").write_text(wrong)
    (tmp_path / "pager" / "broken.py").write_text("class Broken(:\n")
    assert run(("plugins", "check", str(tmp_path / "pager"), "--set", "url=SERVICE")) == 1
    out = capsys.readouterr().out
    assert "BROKEN" in out
    assert "broken.py" in out
    assert "WRONG  503 is TemporaryError: it counts as sent" in out


def test_the_command_names_the_line_that_fails_and_what_is_not_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pager").mkdir()
    wrong = PAGER.replace(
        "        raise_for_status(",
        "        import json; json.loads('{')\n        raise_for_status(",
    )
    (tmp_path / "pager" / "pager.py").write_text(wrong)
    assert run(("plugins", "check", str(tmp_path / "pager"), "--set", "url=SERVICE")) == 1
    [line] = [number for number, text in enumerate(wrong.splitlines(), 1) if "json.loads" in text]
    out = capsys.readouterr().out
    assert "WRONG  a message is sent: JSONDecodeError: Expecting property name" in out
    assert f"(pager.py, line {line})" in out
    assert run(("plugins", "check", str(tmp_path / "pager"))) == 1
    out = capsys.readouterr().out
    assert "WRONG  its settings can be read: url: Field required" in out
    assert f"Give what it needs: almenara plugins check {tmp_path}/pager --set url=..." in out


def test_where_no_plugin_is_the_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run(("plugins", "check", str(tmp_path / "empty"))) == 1
    assert run(("plugins", "check", str(tmp_path / "none"))) == 1
    assert "There is no plugin in" in capsys.readouterr().err
