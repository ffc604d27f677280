"""The client against servers that answer well, badly, late or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

import almenara.client
from almenara.client import (
    Attachment,
    Client,
    ConfigurationError,
    FieldError,
    NoAnswerError,
    NotSettledError,
    RefusedError,
    StrangeAnswerError,
    UnreachableError,
)
from almenara.testing import Answer, Received
from tests.scripted_server import ScriptedServer, problem
from tests.unit.cli.answers import MESSAGE_ID, a_message, a_story, accepted, page
from tests.unit.client.conftest import New

LATER = Answer(503, {"detail": "Later.", "code": "unavailable"}, {"Retry-After": "0"})


def _hang_up(_: Received) -> Answer:
    """End the connection without an answer."""
    raise ConnectionError


async def test_a_message_is_sent_with_a_key_of_its_own(new: New, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/messages", accepted(), status=202)
    client = new(server.url)
    file = Attachment("a.csv", b"one,two", "text/csv")
    at = datetime(2027, 1, 2, tzinfo=UTC)
    one = await client.send("Hello", topic="sales", attachments=[file], send_at=at, title=None)
    two = await client.send("Hello", channel="mail")
    assert (one.id, one.deliveries[0].channel) == (MESSAGE_ID, "team-slack")
    assert one.created_at == datetime(2026, 11, 23, 22, tzinfo=UTC)
    assert two.duplicate is False
    assert server.asked[0].json() == {
        "description": "Hello",
        "topic": "sales",
        "attachments": [{"name": "a.csv", "content": "b25lLHR3bw==", "media_type": "text/csv"}],
        "send_at": "2027-01-02T00:00:00+00:00",
    }
    assert server.asked[1].json() == {"description": "Hello", "channel": "mail"}
    keys = [one.headers["Idempotency-Key"] for one in server.asked]
    assert all(re.fullmatch(r"[0-9a-f]{32}", key) for key in keys)
    assert keys[0] != keys[1]


async def test_a_message_is_tried_again_with_the_same_key(new: New, server: ScriptedServer) -> None:
    stored = Answer(409, {"detail": "Wait.", "code": "in_flight"}, {"Retry-After": "0"})
    server.answer("POST", "/v1/messages", _hang_up, LATER, stored, accepted(duplicate=True))
    assert (await new(server.url).send("Hello", topic="sales")).duplicate
    assert len(server.asked) == 4
    assert len({one.headers["Idempotency-Key"] for one in server.asked}) == 1
    assert len({one.body for one in server.asked}) == 1


async def test_your_own_key_is_taken(new: New, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/messages", accepted())
    await new(server.url).send("Hello", topic="sales", idempotency_key="order 4711")
    assert server.asked[0].headers["Idempotency-Key"] == "order 4711"


async def test_each_of_many_has_a_key_and_all_are_tried_again(
    new: New, server: ScriptedServer
) -> None:
    refused = {"status": 422, "problem": {"detail": "No.", "code": "invalid_input"}}
    done = {"data": [{"status": 202, "message": accepted()}, refused]}
    server.answer("POST", "/v1/messages/batch", LATER, done)
    many = [{"topic": "sales", "description": "x"}, {"description": "y", "idempotency_key": "k"}]
    one, two = await new(server.url).send_many(many)
    assert one.message is not None
    assert (one.message.id, two.message) == (MESSAGE_ID, None)
    assert two.problem["code"] == "invalid_input"
    assert server.asked[0].body == server.asked[1].body
    keys = [one["idempotency_key"] for one in server.asked[0].json()["messages"]]
    assert len(keys[0]) == 32
    assert keys[1] == "k"


async def test_what_may_have_been_done_is_not_done_again(new: New, server: ScriptedServer) -> None:
    server.answer("POST", f"/v1/messages/{MESSAGE_ID}/resend", _hang_up, a_story())
    with pytest.raises(NoAnswerError, match="it may have done what was asked"):
        await new(server.url).resend(MESSAGE_ID)
    assert len(server.asked) == 1


async def test_a_problem_comes_with_its_word_its_sentence_and_its_fields(
    new: New, server: ScriptedServer
) -> None:
    server.answer("POST", "/v1/topics", problem(422, "Not so.", ("channels.0", "No such one.")))
    with pytest.raises(RefusedError) as caught:
        await new(server.url).create_topic("sales", channels=["x"])
    error = caught.value
    assert (error.status, error.exact_code, error.message) == (422, "wrong", "Not so.")
    assert error.errors == (FieldError("channels.0", "wrong", "No such one."),)
    assert str(error) == "Not so."


async def test_lists_are_read_page_by_page_and_no_further_than_is_wanted(
    new: New, server: ScriptedServer
) -> None:
    first = page(a_message(), a_message(status="failed"), cursor="abc")
    server.answer("GET", "/v1/messages", first, page(a_message()), first, page())
    client = new(server.url)
    since = datetime(2026, 11, 1, tzinfo=UTC)
    all_of_them = await client.messages(topic="sales", status=None, since=since)
    assert [one.status for one in all_of_them] == ["sent", "failed", "sent"]
    queries = [one.target.partition("?")[2] for one in server.asked]
    begin = "topic=sales&since=2026-11-01T00%3A00%3A00%2B00%3A00&limit=250"
    assert queries == [begin, f"{begin}&cursor=abc"]
    assert len(await client.messages(limit=2)) == 2
    assert server.asked[-1].target == "/v1/messages?limit=2"
    assert await client.messages(limit=0) == []
    assert len(server.asked) == 3


@pytest.mark.parametrize("body", [[], {"data": 1}, {"data": [{}]}, {"data": [7]}, {"data": []}])
async def test_a_page_of_another_shape_is_called_so(
    new: New, server: ScriptedServer, body: Any
) -> None:
    server.answer("GET", "/v1/messages", body)
    with pytest.raises(StrangeAnswerError):
        await new(server.url).messages()


async def test_a_result_of_another_shape_is_called_so(new: New, server: ScriptedServer) -> None:
    server.answer("GET", f"/v1/messages/{MESSAGE_ID}", {"id": 1}, a_story(created_at="then"), [])
    for _ in range(3):
        with pytest.raises(StrangeAnswerError, match="no Story as this client knows it"):
            await new(server.url).message(MESSAGE_ID)


async def test_what_a_newer_server_adds_is_left_out(new: New, server: ScriptedServer) -> None:
    server.answer("GET", f"/v1/messages/{MESSAGE_ID}", a_story(colour="blue"))
    assert (await new(server.url).message(MESSAGE_ID)).id == MESSAGE_ID


async def test_waiting_ends_when_its_time_does(new: New, server: ScriptedServer) -> None:
    about = {"id": "x", "message_id": MESSAGE_ID, "channel": "mail", "status": "pending"}
    rest = dict.fromkeys(("reason", "reference", "resend_of", "finished_at"))
    rest |= {"priority": 3, "due_at": "2026-11-23T22:00:00Z", "attempt_number": 0, "attempts": []}
    delivery = about | rest | {"created_at": "2026-11-23T22:00:00Z"}
    server.answer("GET", f"/v1/messages/{MESSAGE_ID}", a_story(delivery, status="queued"))
    with pytest.raises(NotSettledError, match="is queued after 0 s"):
        await new(server.url).wait(MESSAGE_ID, seconds=0)
    assert len(server.asked) == 1
    waiting = a_story(delivery, status="queued")
    server.answer("GET", f"/v1/messages/{MESSAGE_ID}", waiting, waiting, a_story())
    assert (await new(server.url).wait(MESSAGE_ID)).is_settled
    assert len(server.asked) == 4


async def test_a_connection_is_used_again_unless_the_server_ended_it(
    new: New, server: ScriptedServer
) -> None:
    end = Answer(200, {"data": []}, {"Connection": "close"})
    server.answer("GET", "/v1/topics", {"data": []}, {"data": []}, end, {"data": []})
    client = new(server.url)
    for _ in range(4):
        await client.topics()
    assert [one.connection for one in server.asked] == [1, 1, 1, 2]


async def test_nobody_there_is_said_after_the_last_try(new: New) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{one.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="Nothing answers at"):
            await new(url, total_seconds=0.3).topics()


async def test_an_answer_that_is_late_is_not_waited_for(new: New) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NoAnswerError, match=r"did not answer within 0\.7 s"):
            await new(url, timeout_seconds=0.7, total_seconds=0).topics()


async def test_a_refusal_before_all_was_sent_is_read(new: New) -> None:
    # Like a proxy with a limit of its own: it answers at the head, and hangs up.
    answer = b'HTTP/1.1 413 X\r\nContent-Length: 18\r\n\r\n{"detail": "Less"}'
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1_000)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1_000_000):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    client = new(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with listener, pytest.raises(RefusedError, match="Less"):
        await client.send("x" * 5_000_000, topic="sales")
    await client.close()
    thread.join()


async def test_a_certificate_is_checked_and_another_trust_can_be_given(new: New) -> None:
    authority = trustme.CA()
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(mine)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with ScriptedServer(tls=mine) as server:
        server.answer("GET", "/v1/topics", {"data": []})
        with pytest.raises(UnreachableError, match="no trusted TLS connection"):
            await new(server.url, total_seconds=0).topics()
        assert await new(server.url, context=trust).topics() == []


async def test_a_token_is_shown_to_the_server_and_to_nobody_else(
    new: New, server: ScriptedServer
) -> None:
    server.refuse("GET", "/v1/topics", 401, "The token is not one that is trusted here.")
    client = new(server.url, "hidden-token")
    assert "hidden" not in repr(client.client)
    with pytest.raises(RefusedError) as caught:
        await client.topics()
    written = "".join(traceback.format_exception(caught.value))
    assert "hidden" not in written
    assert server.asked[0].headers["Authorization"] == "Bearer hidden-token"
    assert "hidden" not in str(vars(client.client))


def test_the_environment_says_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMENARA_URL", "http://tower.example:8123/x/")
    monkeypatch.setenv("ALMENARA_TOKEN", "abc")
    with Client() as client:
        assert client.url == "http://tower.example:8123/x"
        assert client._address.headers["Host"] == "tower.example:8123"
        assert client._address.headers["Authorization"] == "Bearer abc"
    assert "Authorization" not in Client(token="")._address.headers
    for url in ("ftp://x", f"http://{'ä' * 70}.example"):
        with pytest.raises(ConfigurationError):
            Client(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://[::1]:8000", "[::1]:8000"), ("https://añil.example", "xn--ail-7ma.example")],
)
def test_every_kind_of_host_is_named_to_the_server(url: str, host: str) -> None:
    assert Client(url)._address.headers["Host"] == host


def test_the_client_loads_one_small_library_and_nothing_of_the_server() -> None:
    code = """
import sys
before = set(sys.modules)
from almenara.client import AsyncClient, Client
new = {one.partition(".")[0] for one in set(sys.modules) - before} - sys.stdlib_module_names
ours = {".".join(one.split(".")[:2]) for one in sys.modules if one.startswith("almenara.")}
print(sorted(new), sorted(ours))
"""
    root = Path(__file__).parents[3]
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == "['almenara', 'h11'] ['almenara.client', 'almenara.errors']\n"


def test_the_names_of_the_client_are_all_there() -> None:
    for name in almenara.client.__all__:
        assert getattr(almenara.client, name).__name__ == name
    assert dir(almenara.client) == sorted(almenara.client.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        _ = almenara.client.Server


def test_a_file_is_read_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(1))
    assert Attachment.of(tmp_path / "a.json") == Attachment("a.json", b"1")


async def test_a_file_comes_whole_or_not_at_all(new: New, server: ScriptedServer) -> None:
    path = f"/v1/messages/{MESSAGE_ID}/attachments/1"
    client = new(server.url, total_seconds=0)
    server.answer("GET", path, Answer(200, b"x" * 600_000))
    assert await client.attachment(MESSAGE_ID, 1) == b"x" * 600_000
    server.answer("GET", path, problem(404, "There is no attachment '1'."))
    with pytest.raises(RefusedError, match="no attachment"):
        await client.attachment(MESSAGE_ID, 1)
    server.answer("GET", path, Answer(204))
    with pytest.raises(StrangeAnswerError, match="not Almenara"):
        await client.attachment(MESSAGE_ID, 1)
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with _Once(half) as cut, pytest.raises(NoAnswerError, match="sent 4 of 10 bytes"):
        await new(cut.url, total_seconds=0).attachment(MESSAGE_ID, 1)


async def test_a_kept_connection_that_the_server_closed_is_not_used(new: New) -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"data": []}'
    with _Once(answer, times=2) as one:
        client = new(one.url, total_seconds=0)
        assert await client.topics() == []
        await asyncio.sleep(0.05)
        assert (await client.call("GET", "/v1/topics")).body == {"data": []}


async def test_half_an_answer_is_none(new: New) -> None:
    said = "ended the connection without an answer"
    with _Once(b"HTTP/1.1 200 OK\r\nConte") as cut, pytest.raises(NoAnswerError, match=said):
        await new(cut.url, total_seconds=0).topics()


@pytest.mark.parametrize("said", [b"220 mail.example.org ESMTP\r\n", b"\x16\x03\x01\r\n\r\n"])
async def test_what_speaks_another_language_is_called_so(new: New, said: bytes) -> None:
    with _Once(said) as other, pytest.raises(StrangeAnswerError, match="does not speak HTTP"):
        await new(other.url, total_seconds=0).topics()


class _Once:
    """Answers each of so many connections with the same bytes, and ends it."""

    def __init__(self, answer: bytes, times: int = 1) -> None:
        self._answer = answer
        self._times = times
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        for _ in range(self._times):
            connection, _ = self._socket.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(self._answer)

    def __enter__(self) -> _Once:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._socket.close()
