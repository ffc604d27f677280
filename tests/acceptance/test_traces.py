"""Traces: one from the sender's request to the last attempt, seen by a collector over HTTP."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from almenara.check import check_set_up
from almenara.dispatch.traced import tell_result
from almenara.errors import ConfigurationError
from almenara.sending import check_database, prepare, sending
from almenara.testing import Answer
from almenara.tracing import require_traces, tracing
from tests.acceptance.test_docs_run import Reader
from tests.collector import Collector
from tests.pages import blocks, read
from tests.plugins.author import Author
from tests.processes import ServerProcess
from tests.serving import Client, make_settings, served
from tests.tokens import ISSUER, SECRET, bearer, token

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"
PLAIN = {"topic": "hello", "description": "x"}
JSON = ("Content-Type", "application/json")
#: The short way, the documented route, a form of it for webhooks.
WAYS = ("/v1/messages", "/v1/messages?other", "/v1/topics/hello/messages")
BODY = dict.fromkeys(WAYS, json.dumps(PLAIN)) | {WAYS[2]: '{"description": "x"}'}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as one:
        for name, value in one.environ.items():
            monkeypatch.setenv(name, value)
        yield one


@asynccontextmanager
async def traced(tmp_path: Path, **values: str) -> AsyncIterator[Client]:
    """Serve with traces; when it has ended, the collector has every span."""
    async with served(make_settings(tmp_path, traces="on", **values)) as client:
        yield client


async def send(client: Client, path: str = WAYS[0], *, sent: str | None = SENT, **body: Any) -> Any:
    """Send a message, wait until nothing of it waits, and return its story."""
    content = {"description": "x"} | ({"topic": "hello"} if "topics" not in path else {}) | body
    headers = {} if sent is None else {"traceparent": sent}
    answer = await client.post(path, content, headers=headers)
    assert answer.status == 202, answer.text
    return await client.final(answer.body["id"])


@pytest.mark.parametrize("path", WAYS)
async def test_a_request_and_its_attempt_are_of_the_senders_trace(
    tmp_path: Path, collector: Collector, path: str
) -> None:
    async with traced(tmp_path) as client:
        story = await send(client, path)
    [accept], [attempt] = collector.named("accept"), collector.named("attempt")
    assert (accept.trace, accept.parent, accept.kind) == (TRACE, SPAN, "server")
    assert (attempt.trace, attempt.parent, attempt.kind) == (TRACE, accept.id, "client")
    assert story["traceparent"].startswith(accept.traceparent)
    assert accept.attributes == {
        "http.request.method": "POST",
        "http.route": path.partition("?")[0].replace("/hello/", "/{name}/"),
        "http.response.status_code": 202,
        "almenara.message.id": story["id"],
    }
    assert attempt.attributes == {
        "almenara.message.id": story["id"],
        "almenara.delivery.id": story["deliveries"][0]["id"],
        "almenara.channel": "log",
        "almenara.plugin": "Log",
        "almenara.attempt.number": 1,
        "almenara.outcome": "sent",
    }
    assert {(one.failed, one.service) for one in collector.spans} == {(False, "almenara")}


async def test_retries_are_siblings_and_say_how_each_ended_without_saying_what(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "notify")
    Author(tmp_path / "plugins")
    async with traced(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET) as client:
        headers = bearer(token(scope="messages:send messages:read config:write"))
        channel = {"plugin": "Told", "retry_schedule": ["0s"], "settings": {"token": "c4nary"}}
        assert (
            await client.call("PUT", "/v1/channels/told", channel, headers=headers)
        ).status == 201
        body = {"channel": "told", "description": "surprise", "title": "c4nary", "to": ["c4nary"]}
        refused = await client.post("/v1/messages", body, headers={"traceparent": SENT})
        answer = await client.post("/v1/messages", body, headers=headers)
        assert (refused.status, answer.status) == (401, 202)
        read = await client.get(f"/v1/messages/{answer.body['id']}", headers=headers)
        while read.body["status"] not in {"failed", "sent"}:
            read = await client.get(f"/v1/messages/{answer.body['id']}", headers=headers)
    # Strangers make no spans.
    [accept] = collector.named("accept")
    assert (accept.parent, accept.service) == ("", "notify")
    attempts = collector.named("attempt")
    assert [one.attributes["almenara.attempt.number"] for one in attempts] == [1, 2]
    assert {(one.trace, one.parent, one.failed) for one in attempts} == {
        (accept.trace, accept.id, True)
    }
    ends = [
        (one.attributes["error.type"], one.attributes.get("almenara.reason")) for one in attempts
    ]
    assert ends == [("temporary_error", None), ("temporary_error", "exhausted")]
    for secret in ("c4nary", "surprise", headers["Authorization"].split()[1], "messages/"):
        text = collector.raw.replace(b"/v1/messages", b"").replace(b"{name}/messages", b"")
        assert secret.encode() not in text


async def test_a_batch_is_one_request(tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path) as client:
        batch = {"messages": [PLAIN, PLAIN, {"description": "nowhere"}]}
        answer = await client.post("/v1/messages/batch", batch, headers={"traceparent": SENT})
        for one in answer.body["data"][:2]:
            await client.final(one["message"]["id"])
        await client.get("/v1/messages")
    [accept] = collector.named("accept")
    assert (accept.trace, accept.attributes["http.route"]) == (TRACE, "/v1/messages/batch")
    assert [one.parent for one in collector.named("attempt")] == [accept.id] * 2


@pytest.mark.parametrize(
    ("sent", "sampler"), [(UNSAMPLED, "parentbased_always_on"), (None, "always_off")]
)
async def test_what_is_not_sampled_makes_no_spans_and_keeps_its_trace(
    tmp_path: Path,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    sent: str | None,
    sampler: str,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    async with traced(tmp_path) as client:
        story = await send(client, sent=sent)
    assert collector.spans == []
    assert story["status"] == "sent"
    # Its attempts, hours later perhaps, are of the same mind.
    assert not int(story["traceparent"][-2:], 16) & 1
    assert sent is None or story["traceparent"] == sent


@pytest.mark.parametrize("traces", ["off", "on"])
async def test_an_invalid_context_is_passed_over(
    tmp_path: Path, collector: Collector, traces: str
) -> None:
    async with served(make_settings(tmp_path, traces=traces)) as client:
        stories = [await send(client, path, sent="00-nonsense") for path in WAYS]
    if traces == "off":
        assert [one["traceparent"] for one in stories] == [None] * 3
        assert collector.received == []
    else:
        assert {one.parent for one in collector.named("accept")} == {""}
        assert len({one.trace for one in collector.spans}) == 3


async def test_off_the_senders_context_is_kept_and_nothing_is_exported(
    client: Client, collector: Collector
) -> None:
    for path in WAYS:
        assert (await send(client, path))["traceparent"] == SENT
        assert (await send(client, path, sent=None))["traceparent"] is None
        twice: Any = [("traceparent", SENT), ("traceparent", SENT)]
        answer = await client.call("POST", path, None, headers=[*twice, JSON], data=BODY[path])
        assert (await client.final(answer.body["id"]))["traceparent"] is None
    batch = {"messages": [PLAIN]}
    answer = await client.post("/v1/messages/batch", batch, headers={"traceparent": SENT})
    story = await client.final(answer.body["data"][0]["message"]["id"])
    listed = (await client.get("/v1/messages?limit=1")).body["data"]
    assert (story["traceparent"], listed[0]["traceparent"]) == (SENT, SENT)
    assert client.parts.spans is None
    assert collector.received == []


async def test_a_collector_that_is_away_costs_spans_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=c4nary;;,broken c4nary")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with capture_logs() as lines:
        async with traced(tmp_path) as client:
            for _ in range(3):
                assert (await send(client))["status"] == "sent"
    told = [one for one in lines if one["event"] == "traces_dropped"]
    assert [one["log_level"] for one in told] == ["warning"]
    assert "c4nary" not in str(lines)


async def test_a_collector_that_does_not_answer_holds_up_no_end(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its retries would last ten seconds.
    collector.answer = Answer(503)
    monkeypatch.setattr("almenara.tracing.otlp._LAST_SECONDS", 0.05)
    with capture_logs() as lines:
        async with traced(tmp_path) as client:
            await send(client)
    assert collector.received
    assert "ready" in {one["event"] for one in lines}


async def test_without_the_extra_nothing_starts_and_the_sentence_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "almenara.tracing.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    on, off = (make_settings(tmp_path / one, traces=one) for one in ("on", "off"))

    async def serve() -> None:
        async with sending(on):
            pass

    for start in (serve(), prepare(on), check_database(on)):
        with pytest.raises(ConfigurationError) as caught:
            await start
        assert caught.value.message == (
            "ALMENARA_TRACES=on needs OpenTelemetry, which is not installed: "
            "pip install 'almenara[otel]'."
        )
    assert not on.database_file.exists()
    require_traces(off)
    async with tracing(off) as spans:
        assert spans is None


async def test_a_variable_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(ConfigurationError, match="OpenTelemetry's variables"):
        async with tracing(make_settings(tmp_path, traces="on")):
            pass


async def test_what_breaks_in_a_span_fails_it(tmp_path: Path, collector: Collector) -> None:
    async with tracing(make_settings(tmp_path, traces="on")) as spans:
        assert spans is not None
        with pytest.raises(KeyError), spans.begin("attempt", None, {}):
            raise KeyError("c4nary")
        with spans.begin("attempt", SENT, {}) as span:
            tell_result(span, None)
    broken, returned = collector.spans
    assert (broken.failed, broken.attributes) == (True, {})
    assert (returned.failed, returned.attributes) == (False, {"almenara.outcome": "given_back"})
    assert b"c4nary" not in collector.raw


async def test_a_check_says_whether_the_collector_takes_them(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> tuple[str, str]:
        findings = await check_set_up(make_settings(tmp_path, traces="on"))
        [found] = [one for one in findings if one.subject == "traces"]
        return found.level, found.message

    assert await look() == ("ok", "The collector takes them.")
    collector.answer = Answer(401)
    level, sentence = await look()
    assert (level, "OTEL_EXPORTER_OTLP_ENDPOINT" in sentence) == ("warning", True)
    monkeypatch.delitem(sys.modules, "almenara.tracing.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    level, sentence = await look()
    assert (level, "pip install" in sentence) == ("error", True)


@pytest.mark.unmeasured
@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
async def test_the_page_on_traces_shows_one(tmp_path: Path, collector: Collector) -> None:
    turn_on, see = blocks(read("docs/howto/trace-it.md"), "sh")
    assert {"ALMENARA_TRACES=on", "OTEL_EXPORTER_OTLP_ENDPOINT"} <= set(
        re.findall(r"export (ALMENARA_TRACES=on|\w+)", turn_on.text)
    )
    with ServerProcess(tmp_path, environ={"ALMENARA_TRACES": "on"}) as server:
        seen = await Reader(server, tmp_path).type(see)
    # Handed in at the end of the process.
    [accept], [attempt] = collector.named("accept"), collector.named("attempt")
    assert f'"traceparent":"{accept.traceparent}' in seen
    assert (accept.trace[:8], attempt.parent) == ("4bf92f35", accept.id)
