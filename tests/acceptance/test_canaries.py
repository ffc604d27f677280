"""Secrets leave no trace: each channel fails in every way, and nothing that can be read holds one.

Every secret field of every shipped plugin gets a value of its own; a new plugin is found by itself,
and must be given what else it needs here.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from almenara.database import Database
from almenara.loader import Plugins
from almenara.plugin import secret_fields
from almenara.testing import Answer, FakeService, SmtpSink
from tests.plugins.documented import SECRET, SERVICES, Service
from tests.plugins.push_service import Browser, b64url
from tests.serving import Client, make_settings, served, until

Settings = dict[str, Any]
CLOSED = "http://127.0.0.1:9"
OTHERS = {one.plugin: one for one in SERVICES}

#: A plugin whose own code tells its secrets in every way it can.
BLABBER = """
import logging
from almenara import PluginSettings, SecretStr, TemporaryError

class Blabber:
    class Settings(PluginSettings):
        token: SecretStr
        way: str

    def __init__(self, settings):
        self.token, self.way = settings.token.get_secret_value(), settings.way
        if self.way == "constructor":
            raise ValueError("cannot begin with " + self.token)

    def send_message(self, message, background_tasks):
        logging.getLogger("blabber").warning("about to send with %s", self.token)
        if self.way == "error":
            raise TemporaryError("refused " + self.token)
        if self.way == "traceback":
            try:
                {}[self.token]
            except KeyError as error:
                raise RuntimeError(f"{self.token!r}") from error
        return "reference of " + self.token
"""


def canary(name: str) -> str:
    """Return a secret that is found wherever it stands, and in base64 too."""
    return f"canary{name.replace('_', '')}x7Qk"


def signing_secret(name: str) -> str:
    return "whsec_" + base64.b64encode(f"{canary(name)}-of-32-bytes-at-least".encode()).decode()


def of_another(service: Service, http: str) -> Iterator[Settings]:
    """Give the settings of a channel to a documented service, and of its other way to sign in."""
    usual = json.loads(json.dumps(service.settings(http)).replace(SECRET, canary("other")))
    yield usual
    if service.plugin == "Ntfy":
        yield usual | {"username": None, "password": None, "token": canary("token")}


def of_webhooks(http: str, _smtp: SmtpSink) -> Iterator[Settings]:
    for base in (http, CLOSED, http.replace("http://", "https://")):
        yield {
            "url": f"{base}/{canary('path')}?key={canary('query')}",
            "secret": signing_secret("sign"),
            "headers": {"X-Token": canary("header")},
        }
    issued = trustme.CA().issue_cert("tower@example.org")
    yield {
        "url": f"{http.replace('http://', 'https://')}/{canary('path')}",
        "client_certificate": issued.cert_chain_pems[0].bytes().decode(),
        "client_key": f"{canary('comment')}\n{issued.private_key_pem.bytes().decode()}",
    }


def of_slack(http: str, _smtp: SmtpSink) -> Iterator[Settings]:
    yield {"webhook_url": f"{http}/services/{canary('hook')}"}
    yield {"webhook_url": f"{CLOSED}/services/{canary('hook')}"}
    yield {"bot_token": f"xoxb-{canary('bot')}", "channel": "#sales", "api_url": f"{http}/api"}


def of_mail(http: str, smtp: SmtpSink) -> Iterator[Settings]:
    common = {"from": "a@example.org", "to": ["b@example.org"], "username": "shop"}
    for port, tls in ((smtp.port, False), (9, False), (smtp.port, True)):
        yield common | {
            "server": "127.0.0.1",
            "port": port,
            "password": canary("password"),
            "ssl_tls": tls,
        }
    here = common | {"server": "127.0.0.1", "port": smtp.port}
    yield here | {"oauth_access_token": canary("token")}
    for base in (http, CLOSED):
        yield here | {
            "oauth_token_url": f"{base}/token",
            "oauth_client_id": "an-id",
            "oauth_client_secret": canary("client"),
            "oauth_refresh_token": canary("refresh"),
        }


def of_browsers(http: str, _smtp: SmtpSink) -> Iterator[Settings]:
    for base in (http, CLOSED):
        browser = Browser(auth=canary("auth").ljust(16, "-").encode()[:16])
        yield {
            "private_key": b64url(canary("key").ljust(32, "-").encode()),
            "subject": "mailto:ana@example.org",
            "subscriptions": [browser.subscription(f"{base}/{canary('path')}")],
        }


def of_apprise(http: str, _smtp: SmtpSink) -> Iterator[Settings]:
    for place in (http.removeprefix("http://"), "127.0.0.1:9"):
        yield {"urls": [f"json://ana:{canary('password')}@{place}/{canary('path')}"]}
    yield {"urls": [f"discord://{canary('wrong')}"]}


def of_the_blabber(_http: str, _smtp: SmtpSink) -> Iterator[Settings]:
    for way in ("constructor", "error", "traceback", "reference"):
        yield {"token": canary("token"), "way": way}


def without_secrets(_http: str, _smtp: SmtpSink) -> Iterator[Settings]:
    yield {}


#: By plugin: the settings of its channels, each with every secret that it may have.
CHANNELS = {
    "Webhook": of_webhooks,
    "Slack": of_slack,
    "Email": of_mail,
    "WebPush": of_browsers,
    "Apprise": of_apprise,
    "Blabber": of_the_blabber,
    **dict.fromkeys(("Log", "Command", "File"), without_secrets),
}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_database")()
    return url


@pytest.mark.timeout(240)
async def test_no_secret_is_found_anywhere(
    tmp_path: Path,
    database_url: str | None,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APPRISE_ALLOWED", "json")
    directory = tmp_path / "plugins" / "blabber"
    directory.mkdir(parents=True)
    (directory / "blabber.py").write_text(BLABBER)
    settings = make_settings(tmp_path, database_url, log_level="debug", log_format="json")
    names = ("path", "header", "hook", "query", "refresh")
    echo = {"error": "invalid_grant", "detail": " ".join(canary(name) for name in names)}
    answers = [
        Answer(400, json.dumps(echo).encode()),
        Answer(503, json.dumps(echo).encode(), {"X-Echo": canary("header")}),
        Answer(302, headers={"Location": f"http://127.0.0.1:9/{canary('path')}"}),
        Answer(200, {"access_token": canary("fetched")}),
        Answer(200, delay=1.5),
    ]
    said = f"535 5.7.8 no: {canary('password')}"
    ways: list[Any] = ["LOGIN", "PLAIN", "XOAUTH2"]
    with SmtpSink(credentials=("other", "other"), mechanisms=ways) as smtp:
        smtp.refuse("AUTH", said)
        with FakeService() as http:
            async with served(settings) as client:
                told = await _fail_everywhere(client, settings.plugins_dir, http, smtp, answers)
                rows = await _dump(client.parts.database)
    written = "".join(capfd.readouterr())
    assert len(told) > 100_000
    assert "attempt_made" in written
    for name, text in {"answers": told, "log": written, "rows": rows}.items():
        assert "canary" not in text, (name, text[max(0, text.index("canary") - 300) :][:400])
    files = b"".join(path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file())
    assert b"canary" not in files
    encoded = base64.b64encode(b"canary").decode()[:7]
    for text in (told, written, rows, files.decode("latin-1")):
        assert encoded not in text


async def _fail_everywhere(
    client: Client, plugins_dir: Path, http: FakeService, smtp: SmtpSink, answers: list[Answer]
) -> str:
    """Let each channel fail with each answer; return everything that the API says afterwards."""
    plugins = Plugins(plugins_dir)
    plugins.load()
    told, channels = "", list[str]()
    for plugin in plugins.found:
        planted: set[str] = set()
        other = OTHERS.get(plugin.name)
        assert other or plugin.name in CHANNELS, f"say here how those of {plugin.name} fail"
        many = of_another(other, http.url) if other else CHANNELS[plugin.name](http.url, smtp)
        for number, values in enumerate(many):
            planted |= values.keys()
            name = f"{plugin.name.lower()}-{number}"
            body = {
                "plugin": plugin.name,
                "settings": values,
                "timeout_seconds": 1,
                "retry_schedule": [],
                "breaker_failures": 1000,
            }
            answer = await client.call("PUT", f"/v1/channels/{name}", body)
            assert answer.status in {201, 422}, answer.text
            told += answer.text
            channels.append(name)
        secret = secret_fields(plugin.settings) if plugin.settings else frozenset()
        assert secret <= planted, f"{plugin.name}: nothing was planted in {secret - planted}"
    for one in answers:
        http.answer = one
        told += "".join(await asyncio.gather(*(_attempt(client, name) for name in channels)))
    for name in channels:
        body = {"channel": name, "description": "x"}
        told += (await client.post("/v1/messages/explain", body)).text
        told += (await client.call("PATCH", f"/v1/channels/{name}", {"settings": {"no": 1}})).text
    for path in ("messages", "deliveries", "channels", "topics", "plugins", "audit"):
        limit = "?limit=250" if path in {"messages", "deliveries", "audit"} else ""
        page = await client.get(f"/v1/{path}{limit}")
        assert page.status == 200
        told += page.text
        if path == "messages":
            for message in page.body["data"]:
                told += (await client.get(f"/v1/messages/{message['id']}")).text
    return told + (await client.get("/openapi.json")).text


async def _attempt(client: Client, channel: str) -> str:
    """Send a message through a channel, if there is one; return what is said of it."""
    message = {"channel": channel, "description": "x", "format": "html"}
    accepted = await client.post("/v1/messages", message)
    if accepted.status != 202:
        return accepted.text
    return accepted.text + str(await _attempted(client, accepted.body["id"], channel))


async def _attempted(client: Client, message_id: str, channel: str) -> Any:
    """Wait for the first attempt of a message, and return its story."""

    async def look() -> Any:
        # What a wrong password has paused, now or with what waited before, goes on.
        await client.call("POST", f"/v1/channels/{channel}/resume")
        story = (await client.get(f"/v1/messages/{message_id}")).body
        return story if any(one["attempts"] for one in story["deliveries"]) else None

    return await until(look)


async def _dump(database: Database) -> str:
    """Return every row of every table."""
    tables = ["channel", "channel_state", "topic", "message", "delivery", "attempt", "audit"]
    return "".join([str(await database.fetch(f"SELECT * FROM {table}")) for table in tables])
