"""The webhook channel against a real HTTP server."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
import standardwebhooks
import trustme
from fastapi import BackgroundTasks
from pydantic import ValidationError

import almenara
from almenara import ChannelError, PermanentError, RateLimitedError, TemporaryError
from almenara.egress import Egress, configure
from almenara.plugin import build_settings
from almenara.testing import Answer, FakeService
from tests.plugins.shipped import a_message, load

SECRET = "s3cr3t-t0ken"
KEY = "whsec_" + base64.b64encode(b"0123456789abcdefghijklmnopqrstuv").decode()


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
    cls = load("webhook", "webhook").Webhook
    return build_settings(cls, cls.Settings, values, None)


async def send(url: str, *, message: dict[str, Any] | None = None, **values: Any) -> Any:
    channel = load("webhook", "webhook").Webhook(settings(url=url, **values))
    return await channel.send_message(a_message(**(message or {})), BackgroundTasks())


def everything_said(error: BaseException) -> str:
    return "\n".join([*traceback.format_exception(error), str(error), repr(error)])


async def test_a_template_makes_the_body(receiver: FakeService) -> None:
    body = '{"text": {{ description|json }}, "title": {{ title|json }}, "n": {{ data.number }}}'
    message = {"description": 'He said "no"\n', "title": None, "data": {"number": 7}}
    await send(receiver.url, message=message, body=body, secret=KEY)
    [got] = receiver.received
    assert got.json() == {"text": 'He said "no"\n', "title": None, "n": 7}
    assert got.headers["content-type"] == "application/json"
    # What is signed is what is sent.
    standardwebhooks.Webhook(KEY).verify(got.body, dict(got.headers.items()))
    await send(receiver.url, message=message, body="{{ description }}", content_type="text/plain")
    assert receiver.received[-1].body == b'He said "no"\n'
    assert receiver.received[-1].headers["content-type"] == "text/plain"


async def test_a_message_that_does_not_fit_the_template_is_not_posted(
    receiver: FakeService,
) -> None:
    channel = load("webhook", "webhook").Webhook(settings(url=receiver.url, body="{{ data.n }}"))
    with pytest.raises(PermanentError, match=r"`body` cannot be filled .* has no `n`"):
        await channel.send_message(a_message(), BackgroundTasks())
    with pytest.raises(PermanentError, match="has no `n`"):
        channel.preview(a_message())
    assert channel.preview(a_message(data={"n": 3})) == {"body": "3"}
    assert receiver.received == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"body": "{{ x( }}"}, "body\n.*cannot be read: line 1"),
        ({"content_type": "text/plain\r\nX: y"}, "content_type"),
        ({"content_type": ""}, "content_type"),
    ],
)
def test_a_body_that_cannot_be_made_is_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(url="https://example.com", **values)


async def test_a_message_arrives_as_json(receiver: FakeService) -> None:
    message = {"title": "¿Cuánto?", "tags": ["a"], "data": {"order": [1, None]}, "priority": 1}
    assert await send(f"{receiver.url}/hook?k=v", message=message) is None
    [arrived] = receiver.received
    assert (arrived.method, arrived.target) == ("POST", "/hook?k=v")
    assert arrived.json() == a_message(**message).model_dump(mode="json")
    assert arrived.headers["Content-Type"] == "application/json"
    assert arrived.headers["User-Agent"] == f"Almenara/{almenara.__version__}"
    assert arrived.headers["webhook-id"] == a_message().idempotency_key


async def test_the_signature_is_verified_by_standard_webhooks(receiver: FakeService) -> None:
    await send(receiver.url, secret=KEY, message={"description": "ñ 😀 </script>"})
    [arrived] = receiver.received
    verifier = standardwebhooks.Webhook(KEY)
    payload = verifier.verify(arrived.body, dict(arrived.headers))
    assert payload["description"] == "ñ 😀 </script>"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verifier.verify(arrived.body + b" ", dict(arrived.headers))


async def test_the_specification_s_own_example_of_a_signature_is_met() -> None:
    module = load("webhook", "webhook")
    secret = almenara.SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
    assert (
        module._signature(module._key(secret), signed)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


async def test_without_a_secret_nothing_is_signed(receiver: FakeService) -> None:
    await send(receiver.url)
    assert "webhook-signature" not in receiver.received[0].headers
    assert receiver.received[0].headers["webhook-timestamp"].isdigit()


async def test_attempts_of_one_delivery_carry_one_id(receiver: FakeService) -> None:
    await send(receiver.url, secret=KEY)
    await send(receiver.url, secret=KEY)
    ids = {arrived.headers["webhook-id"] for arrived in receiver.received}
    assert ids == {a_message().idempotency_key}


async def test_headers_of_the_channel_are_sent(receiver: FakeService) -> None:
    await send(receiver.url, headers={"Authorization": "Bearer t", "user-agent": "Mine"})
    headers = receiver.received[0].headers
    assert headers["Authorization"] == "Bearer t"
    assert headers.getall("User-Agent") == ["Mine"]


async def test_the_receiver_s_own_id_is_the_reference(receiver: FakeService) -> None:
    receiver.answer = Answer(status=202, headers={"Webhook-Id": "r-1"})
    assert await send(receiver.url) == "r-1"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_sent(receiver: FakeService, status: int) -> None:
    receiver.answer = Answer(status=status, body=b"" if status == 204 else b"whatever")
    assert await send(receiver.url) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, PermanentError),
        (307, PermanentError),
        (400, PermanentError),
        (401, PermanentError),
        (404, PermanentError),
        (408, TemporaryError),
        (410, ChannelError),
        (413, PermanentError),
        (425, TemporaryError),
        (429, RateLimitedError),
        (500, TemporaryError),
        (502, TemporaryError),
        (503, TemporaryError),
        (504, TemporaryError),
    ],
)
async def test_a_status_is_the_services_the_messages_or_the_channels_and_holds_no_secret(
    receiver: FakeService, status: int, kind: type[Exception]
) -> None:
    receiver.answer = Answer(
        status, SECRET.encode(), {"X-Echo": SECRET, "Location": f"{receiver.url}/{SECRET}"}
    )
    with pytest.raises(kind) as caught:
        await send(f"{receiver.url}/{SECRET}", secret=KEY, headers={"X-Key": SECRET})
    assert type(caught.value) is kind
    said = everything_said(caught.value)
    assert f"The webhook's receiver answered {status}" in said
    assert SECRET not in said
    assert KEY not in said
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_is_honoured(receiver: FakeService, status: int) -> None:
    receiver.answer = Answer(status, headers={"Retry-After": "90"})
    with pytest.raises(TemporaryError) as caught:
        await send(receiver.url)
    assert caught.value.retry_after == 90.0


async def test_an_oversized_answer_is_still_an_answer(receiver: FakeService) -> None:
    receiver.answer = Answer(body=b"x" * 1_000_000)
    assert await send(receiver.url) is None


async def test_a_refused_connection_is_temporary_and_holds_no_secret() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}"
        with pytest.raises(TemporaryError) as caught:
            await send(url, headers={"X-Key": SECRET})
    assert SECRET not in everything_said(caught.value)


async def test_an_address_that_is_not_permitted_is_permanent_and_holds_no_secret() -> None:
    with pytest.raises(PermanentError, match="ALMENARA_EGRESS_ALLOW") as caught:
        await send(f"http://10.0.0.1/{SECRET}")
    assert SECRET not in everything_said(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("url", f"hooks.example.com/{SECRET}", "must be an address such as"),
        ("url", f"ftp://hooks.example.com/{SECRET}", "must be an address such as"),
        ("url", f"https:///{SECRET}", "must be an address such as"),
        ("url", f"https://[{SECRET}", "must be an address such as"),
        ("url", f"https://ana:{SECRET}@example.com", "put them into `headers`"),
        ("url", f"https://{SECRET}@example.com", "put them into `headers`"),
        ("secret", "", "24 to 64"),
        ("secret", SECRET, "24 to 64"),
        ("secret", KEY.removeprefix("whsec_"), "24 to 64"),
        ("secret", "whsec_not/base64!", "24 to 64"),
        ("secret", "whsec_abcde", "24 to 64"),
        ("secret", "whsec_ñ", "24 to 64"),
        ("secret", "whsec_" + base64.b64encode(b"x" * 23).decode(), "24 to 64"),
        ("secret", "whsec_" + base64.b64encode(b"x" * 65).decode(), "24 to 64"),
        ("headers", {"a b": SECRET}, "a header's name"),
        ("headers", {"Webhook-ID": SECRET}, "leave it out"),
        ("headers", {"content-type": SECRET}, "leave it out"),
    ],
)
def test_wrong_settings_are_refused_at_their_field(field: str, value: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**({"url": "https://example.com"} | {field: value}))
    [error] = caught.value.errors()
    assert error["loc"][0] == field
    assert says in error["msg"]
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("length", [24, 32, 64])
@pytest.mark.parametrize("padded", [True, False])
async def test_a_secret_of_any_allowed_length_signs(
    receiver: FakeService, length: int, padded: bool
) -> None:
    secret = "whsec_" + base64.b64encode(b"k" * length).decode()
    await send(receiver.url, secret=secret if padded else secret.rstrip("="))
    [arrived] = receiver.received
    standardwebhooks.Webhook(secret).verify(arrived.body, dict(arrived.headers))


def test_the_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_URL", "https://example.com/hooks")
    monkeypatch.setenv("WEBHOOK_HEADERS", json.dumps({"Authorization": "Bearer t"}))
    read = settings()
    assert read.url.get_secret_value() == "https://example.com/hooks"
    assert read.headers["Authorization"].get_secret_value() == "Bearer t"
    assert "Bearer t" not in repr(read)


# --- mutual TLS


def presented(authority: trustme.CA) -> dict[str, str]:
    issued = authority.issue_cert("tower@example.org")
    return {
        "client_certificate": "".join(one.bytes().decode() for one in issued.cert_chain_pems),
        "client_key": issued.private_key_pem.bytes().decode(),
    }


async def test_a_receiver_that_asks_for_a_certificate_gets_it() -> None:
    authority, clients = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    clients.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    own = {"authorities": authority.cert_pem.bytes().decode()}
    with FakeService(tls=context) as receiver:
        await send(receiver.url, **own, **presented(clients))
        assert len(receiver.received) == 1
        for wrong in (own | presented(trustme.CA()), own, presented(clients)):
            with pytest.raises(TemporaryError) as caught:
                await send(f"{receiver.url}/{SECRET}", **wrong)
            assert SECRET not in everything_said(caught.value)
        assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"client_key": SECRET}, "given together"),
        ({"client_certificate": SECRET}, "given together"),
        ({"client_certificate": SECRET, "client_key": SECRET}, "must be written in PEM"),
        ({"authorities": SECRET}, "must be certificates in PEM"),
        ({"url": "http://example.com", **presented(trustme.CA())}, "begins with https"),
    ],
)
def test_certificates_that_cannot_be_used_are_refused(values: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        settings(**({"url": "https://example.com"} | values))
    assert SECRET not in str(caught.value)
    assert "PRIVATE KEY" not in str(caught.value)


def test_the_key_of_the_certificate_is_secret() -> None:
    read = settings(url="HTTPS://example.com", **presented(trustme.CA()))
    assert "PRIVATE KEY" not in repr(read)
    assert read.tls() is not None
