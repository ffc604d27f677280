"""Every HTTP channel against a real server that answers as its service documents it."""

from __future__ import annotations

import json
import re
import socket
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from fastapi import BackgroundTasks
from pydantic import ValidationError

import almenara
from almenara import ChannelError, PermanentError, Receipt, TemporaryError
from almenara.egress import Egress, configure
from almenara.formats import measure
from almenara.plugin import build_settings, environment_prefix, field_names
from almenara.testing import FakeService, Received
from tests.plugins.documented import SECRET, SERVICES, SID, Service, says
from tests.plugins.shipped import a_message, load

PLUGINS = Path(almenara.__file__).parent / "plugins"
EACH = pytest.mark.parametrize("service", SERVICES, ids=lambda one: one.plugin)


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
async def _egress() -> AsyncIterator[None]:
    """Let the channels reach loopback."""
    egress = Egress(["127.0.0.0/8"])
    configure(egress)
    yield
    configure(None)
    await egress.close()


def plugin_class(service: Service) -> Any:
    return getattr(load(service.directory, service.directory), service.plugin)


def built(service: Service, url: str, **changes: Any) -> Any:
    cls = plugin_class(service)
    values = {name: one for name, one in (service.settings(url) | changes).items() if one != ""}
    return cls(build_settings(cls, cls.Settings, values, None))


async def send(service: Service, url: str, **message: Any) -> Any:
    taken = await built(service, url).send_message(a_message(**message), BackgroundTasks())
    return taken.reference if isinstance(taken, Receipt) else taken


def body_of(arrived: Received) -> dict[str, Any]:
    if arrived.headers["Content-Type"] == "application/x-www-form-urlencoded":
        return {name: one for name, [one] in parse_qs(arrived.body.decode()).items()}
    read: dict[str, Any] = arrived.json()
    return read


def named(plugin: str) -> Service:
    return next(one for one in SERVICES if one.plugin == plugin)


@EACH
async def test_a_message_arrives_and_its_reference_is_kept(
    service: Service, receiver: FakeService
) -> None:
    receiver.answer = service.taken
    text = "Señal 😀 שלום <b>& *x* @all <!channel>"
    assert await send(service, receiver.url, description=text) == service.reference
    [arrived] = receiver.received
    assert (arrived.method, arrived.target) == (service.method, service.target)
    body = body_of(arrived)
    assert "Señal 😀 שלום" in service.text(body)
    assert SECRET in f"{arrived.target}{arrived.headers}{arrived.body.decode()}" or (
        "Authorization" in arrived.headers
    )


@EACH
async def test_what_the_service_refuses_stops_waits_or_is_tried_again(
    service: Service, receiver: FakeService
) -> None:
    for answer, kind, wait in service.refusals:
        receiver.answer = answer
        with pytest.raises(kind) as caught:
            await send(service, receiver.url)
        assert type(caught.value) is kind, answer
        said = "\n".join([*traceback.format_exception(caught.value), str(caught.value)])
        assert SECRET not in said
        if wait is not None:
            assert caught.value.retry_after == pytest.approx(wait)  # type: ignore[attr-defined]  # of these kinds


@EACH
async def test_any_status_has_the_meaning_of_the_one_table(
    service: Service, receiver: FakeService
) -> None:
    for status, kind in ((302, PermanentError), (408, TemporaryError), (504, TemporaryError)):
        receiver.answer = says(status)
        with pytest.raises(kind):
            await send(service, receiver.url)
    receiver.answer = says(401)
    with pytest.raises(ChannelError):
        await send(service, receiver.url)


@EACH
@pytest.mark.parametrize("format_", ["text", "markdown", "html"])
async def test_a_text_of_any_length_fits(
    service: Service, format_: str, receiver: FakeService
) -> None:
    if service.longest is None:
        return
    receiver.answer = service.taken
    unit: Any = service.unit
    for text in ("😀 **b** <i>i</i> & ", "word " * 3, "(a)[b]_c_ "):
        long = text * (60_000 // len(text))
        await send(service, receiver.url, description=long, format=format_, title="T" * 255)
        found = service.text(body_of(receiver.received[-1]))
        assert measure(found, unit) <= service.longest
        assert len(found) > 200


@EACH
async def test_an_answer_that_is_none_of_the_services_breaks_nothing(
    service: Service, receiver: FakeService
) -> None:
    for body in (b"", b"<html>", b"[1]", b"null", b'{"id": [], "result": 1, "name": {}}', b"[" * 9):
        receiver.answer = almost = type(service.taken)(200, body)
        assert almost.status == 200
        reference = await send(service, receiver.url)
        assert reference is None or isinstance(reference, str)


@EACH
async def test_no_connection_is_temporary_and_tells_no_secret(service: Service) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TemporaryError) as caught:
            await send(service, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert SECRET not in "\n".join([*traceback.format_exception(caught.value), repr(caught.value)])


@EACH
def test_an_address_that_is_none_is_refused_when_it_is_written(service: Service) -> None:
    cls = plugin_class(service)
    for url in (SECRET, f"ftp://{SECRET}", f"https://{SECRET}:x", f"https://a:{SECRET}@x.example"):
        with pytest.raises(ValidationError) as caught:
            build_settings(cls, cls.Settings, service.settings(url), None)
        assert SECRET not in str(caught.value)


@EACH
def test_a_preview_is_json_and_holds_no_secret(service: Service) -> None:
    shown = built(service, "http://127.0.0.1").preview(a_message(title="Sales"))
    assert SECRET not in json.dumps(shown)
    assert "What does it cost?" in json.dumps(shown)


@EACH
def test_its_papers_are_in_order(service: Service) -> None:
    cls, directory = plugin_class(service), PLUGINS / service.directory
    prefix = environment_prefix(cls, cls.Settings)
    readme = (directory / "README.md").read_text(encoding="utf-8")
    example = (directory / ".env.example").read_text(encoding="utf-8")
    known = {f"{prefix}{name}".upper() for name in field_names(cls.Settings)}
    assert all(f"`{name}`" in readme for name in field_names(cls.Settings)), "a setting is missing"
    for heading in ("## What to set", "## What arrives", "## What fails, and how"):
        assert heading in readme
    written = {line.lstrip("# ").split("=")[0] for line in example.splitlines() if "=" in line}
    assert written <= known
    assert written


# --- what only one of them does


async def test_a_title_has_a_place_of_its_own_where_the_service_has_one(
    receiver: FakeService,
) -> None:
    places = {"Ntfy": "title", "Gotify": "title", "Pushover": "title", "Almenara": "title"}
    for plugin, place in places.items():
        receiver.answer = named(plugin).taken
        await send(named(plugin), receiver.url, title="Sales", description="x")
        assert receiver.received[-1].json()[place] == "Sales"
        assert "Sales" not in named(plugin).text(receiver.received[-1].json())
    shown = built(named("Teams"), receiver.url).preview(a_message(title="Sales", description="x"))
    assert [one["text"] for one in shown["attachments"][0]["content"]["body"]] == ["Sales", "x"]


@pytest.mark.parametrize(
    ("plugin", "field", "values"),
    [
        ("Ntfy", "priority", [5, 4, 3, 2, 1]),
        ("Gotify", "priority", [10, 7, 5, 2, 0]),
        ("Pushover", "priority", [1, 1, 0, -1, -2]),
        ("Telegram", "disable_notification", [False, False, False, True, True]),
    ],
)
def test_the_priority_is_the_services(plugin: str, field: str, values: list[Any]) -> None:
    channel = built(named(plugin), "http://127.0.0.1")
    shown = [channel.preview(a_message(priority=number))[field] for number in range(1, 6)]
    assert shown == values


def test_a_senders_text_mentions_nobody() -> None:
    def shown(plugin: str) -> dict[str, Any]:
        text = "@everyone @channel @ana <!channel> <users/all>"
        preview: dict[str, Any] = built(named(plugin), "http://127.0.0.1").preview(
            a_message(description=text)
        )
        return preview

    assert shown("Discord")["allowed_mentions"] == {"parse": []}
    assert shown("Matrix")["m.mentions"] == {}
    assert not re.search(r"@\w", shown("Mattermost")["text"])
    assert "<" not in shown("GoogleChat")["text"]


def test_marked_texts_are_announced_as_such() -> None:
    def shown(plugin: str, format_: str) -> dict[str, Any]:
        message = a_message(description="**b**", format=format_)
        preview: dict[str, Any] = built(named(plugin), "http://127.0.0.1").preview(message)
        return preview

    assert [shown("Ntfy", one)["markdown"] for one in ("text", "markdown")] == [False, True]
    assert "extras" not in shown("Gotify", "text")
    assert shown("Gotify", "markdown")["extras"]
    assert shown("Pushover", "markdown")["html"] == 1
    assert shown("Pushover", "text")["message"] == "**b**"
    assert shown("Matrix", "markdown")["formatted_body"] == "<b>b</b>"


def test_pagerduty_takes_key_and_action_from_the_data() -> None:
    channel = built(named("PagerDuty"), "http://127.0.0.1")
    mine = channel.preview(a_message(data={"dedup_key": "disk", "action": "resolve"}))
    assert (mine["dedup_key"], mine["event_action"]) == ("disk", "resolve")
    other = channel.preview(a_message(data={"dedup_key": 7, "action": "burn"}, title="T" * 2_000))
    assert other["dedup_key"] == a_message().idempotency_key
    assert other["event_action"] == "trigger"
    assert len(other["payload"]["summary"]) == 1_024


async def test_almenara_hands_on_to_a_channel_or_the_messages_own_topic(
    receiver: FakeService,
) -> None:
    service = named("Almenara")
    own = built(service, receiver.url, topic=None).preview(a_message(topic="pricing"))
    assert own["topic"] == "pricing"
    one = built(service, receiver.url, topic=None, channel="log").preview(a_message())
    assert (one["channel"], "topic" in one) == ("log", False)
    with pytest.raises(ChannelError, match="set `topic` or `channel`"):
        built(service, receiver.url, topic=None).preview(a_message(topic=None))
    receiver.answer = service.taken
    await send(service, receiver.url)
    assert receiver.received[0].headers["Idempotency-Key"] == a_message().idempotency_key


@pytest.mark.parametrize(
    ("plugin", "changes", "says"),
    [
        ("Ntfy", {"token": "tk_1"}, "give `token`"),
        ("Almenara", {"channel": "log"}, "not both"),
        ("Twilio", {"messaging_service_sid": "MG" + "0" * 32}, "give either"),
        ("Twilio", {"sender": ""}, "give either"),
        ("Twilio", {"to": "600 000 000"}, "pattern"),
        ("Twilio", {"account_sid": SID[:-1]}, "pattern"),
        ("Matrix", {"room_id": "#alias:example.org"}, "pattern"),
        ("Discord", {"thread_id": "x"}, "pattern"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    plugin: str, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        built(named(plugin), "http://127.0.0.1", **changes)
    assert SECRET not in str(caught.value)


async def test_ntfy_knows_three_ways_to_sign_in(receiver: FakeService) -> None:
    receiver.answer = named("Ntfy").taken
    ways = [{}, {"username": "", "password": "", "token": "tk_1"}, {"username": "", "password": ""}]
    for changes in ways:
        channel = built(named("Ntfy"), receiver.url, **changes)
        await channel.send_message(a_message(), BackgroundTasks())
    found = [one.headers.get("Authorization", "") for one in receiver.received]
    assert [one.split(" ")[0] for one in found] == ["Basic", "Bearer", ""]


def test_twilio_sends_by_a_service_or_by_whatsapp() -> None:
    service = {"sender": "", "messaging_service_sid": "MG" + "0" * 32}
    shown = built(named("Twilio"), "http://127.0.0.1", **service).preview(a_message())
    assert (shown["MessagingServiceSid"], "From" in shown) == ("MG" + "0" * 32, False)
    shown = built(named("Twilio"), "http://127.0.0.1", whatsapp=True).preview(a_message())
    assert (shown["To"], shown["From"]) == ("whatsapp:+34600000000", "whatsapp:+15005550006")
