"""Web Push against a push service on this machine, and a browser that opens what it got."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from fastapi import BackgroundTasks
from pydantic import ValidationError

import almenara
from almenara import ChannelError, PermanentError, RateLimitedError, TemporaryError
from almenara.egress import Egress, configure
from almenara.plugin import build_settings, field_names, secret_fields
from almenara.testing import Answer, FakeService
from tests.plugins.push_service import (
    Browser,
    b64url,
    from_b64url,
    open_record,
    point,
    private_key,
    sender_of,
)
from tests.plugins.shipped import a_message, load

SECRET = "s3cr3t-p4th"
KEY = private_key(b"0123456789abcdefghijklmnopqrstuv")
RAW = b64url(b"0123456789abcdefghijklmnopqrstuv")
TAKEN = Answer(201, b"", {"Location": f"https://push.example.net/message/{SECRET}"})


def pem(key: Any, password: bytes | None = None) -> str:
    sealing = BestAvailableEncryption(password) if password else NoEncryption()
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing).decode())


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService() as receiver:
        receiver.answer = TAKEN
        yield receiver


@pytest.fixture(autouse=True)
async def _egress() -> AsyncIterator[None]:
    egress = Egress(["127.0.0.0/8"])
    configure(egress)
    yield
    configure(None)
    await egress.close()


def plugin_class() -> Any:
    return load("webpush", "webpush").WebPush


def built(*subscriptions: dict[str, Any], **changes: Any) -> Any:
    cls = plugin_class()
    values = {
        "private_key": RAW,
        "subject": "mailto:ana@example.org",
        "subscriptions": list(subscriptions) or [Browser().subscription("https://push.example")],
    }
    return cls(build_settings(cls, cls.Settings, values | changes, None))


async def send(channel: Any, **message: Any) -> Any:
    return await channel.send_message(a_message(**message), BackgroundTasks())


# --- the standards' own examples


def test_the_example_of_rfc_8291_comes_out_byte_by_byte() -> None:
    encryption = load("webpush", "encryption")
    browser = Browser(
        private_key(from_b64url("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")),
        from_b64url("BTBZMqHH6r4Tts7J_aSIgg"),
    )
    body = encryption.encrypt(
        b"When I grow up, I want to be a watermelon",
        browser.key.public_key(),
        browser.auth,
        own=private_key(from_b64url("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")),
        salt=from_b64url("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert b64url(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert browser.open(body) == b"When I grow up, I want to be a watermelon"


def test_what_opens_pushes_here_opens_the_example_of_rfc_8188() -> None:
    body = from_b64url("I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg")
    assert open_record(body, from_b64url("yqdlZ-tYemfogSmv7Ws5PQ")) == b"I am the walrus"


# --- what arrives


async def test_the_browser_reads_the_message_and_the_service_knows_the_sender(
    receiver: FakeService,
) -> None:
    browser = Browser()
    text = 'Señal 😀 "quoted"\n漢字'
    channel = built(browser.subscription(f"{receiver.url}/{SECRET}"), ttl_seconds=60)
    receipt = await send(channel, description=text, title="Sales", data={"url": "https://x.org"})
    assert (receipt.reference, receipt.detail) == (None, None)
    [arrived] = receiver.received
    shown = browser.read(arrived)
    tag = shown.pop("tag")
    assert shown == {
        "title": "Sales",
        "body": text,
        "topic": "pricing",
        "priority": 3,
        "data": {"url": "https://x.org"},
    }
    headers = arrived.headers
    assert (arrived.method, arrived.target) == ("POST", f"/{SECRET}")
    assert (headers["TTL"], headers["Urgency"], headers["Topic"]) == ("60", "normal", tag)
    assert len(tag) == 32
    public, claims = sender_of(arrived, receiver.url)
    assert public == point(KEY.public_key())
    assert claims["sub"] == "mailto:ana@example.org"
    assert 0 < claims["exp"] - time.time() < 24 * 3600


async def test_attempts_of_one_delivery_have_one_tag_and_never_the_same_bytes(
    receiver: FakeService,
) -> None:
    channel = built(Browser().subscription(receiver.url))
    for key in ("one", "one", "two"):
        await send(channel, idempotency_key=key)
    first, again, other = receiver.received
    assert first.headers["Topic"] == again.headers["Topic"] != other.headers["Topic"]
    assert first.body[:86] != again.body[:86]


async def test_the_priority_is_the_urgency(receiver: FakeService) -> None:
    channel = built(Browser().subscription(receiver.url))
    for number in range(1, 6):
        await send(channel, priority=number)
    found = [one.headers["Urgency"] for one in receiver.received]
    assert found == ["high", "high", "normal", "low", "very-low"]


@pytest.mark.parametrize("text", ["x", "😀", '"\\', "\x01", "\n", "word "])
async def test_a_text_of_any_length_fits_into_one_record(receiver: FakeService, text: str) -> None:
    browser = Browser()
    channel = built(browser.subscription(receiver.url))
    many = {f"key{number}": "x" * 100 for number in range(20)}
    await send(channel, description=f"a{text * 9_000}z", title="T" * 255, data=many)
    shown = browser.read(receiver.received[0])
    assert shown["body"].startswith(f"a{text.strip()}")
    assert shown["body"].endswith("…")
    assert len(shown["title"]) == 250
    # No more is given away than the marks of the text need.
    assert len(browser.open(receiver.received[0].body)) > 3_993 - 20
    assert "data" not in shown


async def test_a_key_may_be_pem_and_is_read_from_the_environment(
    receiver: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriptions = [Browser().subscription(f"{receiver.url}/{number}") for number in range(2)]
    monkeypatch.setenv("WEBPUSH_PRIVATE_KEY", pem(KEY))
    monkeypatch.setenv("WEBPUSH_SUBJECT", "https://example.org/contact")
    monkeypatch.setenv("WEBPUSH_SUBSCRIPTIONS", json.dumps(subscriptions))
    cls = plugin_class()
    await send(cls(build_settings(cls, cls.Settings, {}, None)))
    assert sorted(one.target for one in receiver.received) == ["/0", "/1"]
    assert sender_of(receiver.received[0], receiver.url)[0] == point(KEY.public_key())


# --- what fails


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (404, ChannelError, "remove it from `subscriptions`"),
        (410, ChannelError, "remove it from `subscriptions`"),
        (400, ChannelError, "`private_key`"),
        (401, ChannelError, "`private_key`"),
        (403, ChannelError, "`private_key`"),
        (413, PermanentError, "too large"),
        (302, PermanentError, "redirects"),
        (429, RateLimitedError, "takes no more"),
        (500, TemporaryError, "answered 500"),
        (503, TemporaryError, "answered 503"),
    ],
)
async def test_what_a_push_service_refuses_stops_waits_or_is_tried_again(
    receiver: FakeService, status: int, kind: type[Exception], says: str
) -> None:
    receiver.answer = Answer(status, SECRET.encode(), {"Retry-After": "30"})
    with pytest.raises(kind, match=says) as caught:
        await send(built(Browser().subscription(f"{receiver.url}/{SECRET}")))
    assert type(caught.value) is kind
    said = "".join([*traceback.format_exception(caught.value), repr(caught.value)])
    assert "subscription 1" in said
    assert not any(secret in said for secret in (SECRET, RAW))
    if isinstance(caught.value, TemporaryError):
        assert caught.value.retry_after == 30.0


async def test_one_that_has_taken_it_is_not_pushed_to_again_for_another(
    receiver: FakeService,
) -> None:
    here, gone, away = (Browser() for _ in range(3))
    channel = built(
        gone.subscription(f"{receiver.url}/{SECRET}/gone"),
        here.subscription(f"{receiver.url}/{SECRET}/here"),
        away.subscription(f"http://127.0.0.1:9/{SECRET}"),
    )

    receiver.answer = lambda asked: Answer(410 if asked.target.endswith("gone") else 201)
    receipt = await send(channel)
    assert receipt.detail.startswith("Sent to 1 of 3 subscriptions. ")
    assert "of subscription 1 answered 410: the subscription is gone" in receipt.detail
    assert "http://127.0.0.1:9" in receipt.detail
    assert SECRET not in receipt.detail


async def test_when_nobody_has_taken_it_what_may_pass_decides(receiver: FakeService) -> None:
    channel = built(*(Browser().subscription(f"{receiver.url}/{number}") for number in range(3)))
    for statuses, kind in (
        ((410, 503, 413), TemporaryError),
        ((410, 413, 410), PermanentError),
        ((410, 410, 403), ChannelError),
    ):
        receiver.queue.extend(Answer(status) for status in statuses)
        with pytest.raises(kind) as caught:
            await send(channel)
        assert type(caught.value) is kind


# --- what is written


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"private_key": SECRET}, "private key of P-256"),
        ({"private_key": b64url(b"x" * 31)}, "private key of P-256"),
        ({"private_key": b64url(bytes(32))}, "private key of P-256"),
        ({"private_key": "ñ"}, "private key of P-256"),
        ({"private_key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}"}, "private key of P-256"),
        ({"private_key": pem(ec.generate_private_key(ec.SECP384R1()))}, "private key of P-256"),
        ({"private_key": pem(rsa.generate_private_key(65537, 2048))}, "private key of P-256"),
        ({"private_key": pem(KEY, b"password")}, "private key of P-256"),
        ({"subject": "ana@example.org"}, "pattern"),
        ({"subscriptions": []}, "at least 1"),
        ({"ttl_seconds": 28 * 24 * 3600 + 1}, "less than or equal"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        built(**changes)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "endpoint", "says"),
    [
        ({"p256dh": b64url(b"\x04" + b"x" * 64)}, "https://push.example", "a point of the curve"),
        ({"p256dh": SECRET}, "https://push.example", "a point of the curve"),
        ({"p256dh": "a b"}, "https://push.example", "base64url"),
        ({"auth": SECRET}, "https://push.example", "base64url"),
        ({"auth": b64url(b"x" * 15)}, "https://push.example", "16 bytes"),
        ({}, f"push.example/{SECRET}", "must be an address"),
    ],
)
def test_a_wrong_subscription_is_refused(keys: dict[str, str], endpoint: str, says: str) -> None:
    one = Browser().subscription(endpoint)
    with pytest.raises(ValidationError, match=says) as caught:
        built(one | {"keys": one["keys"] | keys})
    assert SECRET not in str(caught.value)


def test_everything_that_lets_others_push_is_secret() -> None:
    cls = plugin_class()
    assert secret_fields(cls.Settings) == {"private_key", "subscriptions"}
    browser = Browser(auth=os.urandom(16))
    one = browser.subscription(f"https://push.example/{SECRET}")
    channel = built(one)
    shown = json.dumps(channel.preview(a_message(title=None, topic=None)))
    for text in (SECRET, RAW, *one["keys"].values()):
        assert text not in repr(channel._settings) + shown
    assert channel.preview(a_message(title=None, topic=None))["title"] == "backoffice-mail"


def test_its_papers_are_in_order() -> None:
    directory = Path(almenara.__file__).parent / "plugins" / "webpush"
    readme = (directory / "README.md").read_text(encoding="utf-8")
    example = (directory / ".env.example").read_text(encoding="utf-8")
    names = field_names(plugin_class().Settings)
    assert all(f"| `{name}` | `WEBPUSH_{name.upper()}` |" in readme for name in names)
    for heading in ("## What to set", "## What arrives", "## What fails, and how"):
        assert heading in readme
    written = {line.lstrip("# ").split("=")[0] for line in example.splitlines() if "=" in line}
    assert written == {f"WEBPUSH_{name.upper()}" for name in names}
