"""The HTTP service of the testing kit, asked with Python's own client."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme

from almenara.testing import Answer, FakeService, Received
from tests.plugins.shipped import server_certificate


def ask(service: FakeService, method: str = "GET", path: str = "/", body: str = "") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    try:
        connection.request(method, path, body, {"X-Name": "Ñandú".encode()})
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_request_is_kept_as_it_came() -> None:
    with FakeService(Answer(200, {"id": 7})) as service:
        assert json.loads(ask(service, "POST", "/a?b=c", '{"d": 1}')) == {"id": 7}
        ask(service)
    first, second = service.received
    assert (first.method, first.target, first.json(), first.connection) == (
        *("POST", "/a?b=c", {"d": 1}, 1),
    )
    assert first.headers["x-name"] == first.headers["X-Name"] == "Ñandú"
    assert (second.json(), second.connection) == (None, 2)


def test_what_is_queued_is_answered_first_and_a_function_answers_what_was_asked() -> None:
    def echo(request: Received) -> Answer:
        return Answer(body=request.target)

    with FakeService(echo) as service:
        service.queue.append(Answer(body="queued"))
        assert [ask(service, path="/one"), ask(service, path="/two")] == [b"queued", b"/two"]


def test_a_connection_is_kept_over_an_answer_without_a_body() -> None:
    with FakeService(Answer(204, "never sent")) as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        for _ in range(2):
            connection.request("DELETE", "/")
            answer = connection.getresponse()
            assert (answer.status, answer.read(), answer.headers["Content-Length"]) == (
                *(204, b"", None),
            )
        connection.close()
    assert [one.connection for one in service.received] == [1, 1]


def test_the_end_waits_for_no_answer_and_hangs_up() -> None:
    asked = threading.Event()

    def slow(_: Received) -> Answer:
        asked.set()
        return Answer(delay=3600)

    with ThreadPoolExecutor() as pool:
        with FakeService(slow) as service:
            waiting = pool.submit(ask, service)
            assert asked.wait(10)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            waiting.result(10)
    with pytest.raises(ConnectionRefusedError):
        ask(service)


def test_it_speaks_tls_and_a_client_that_says_nothing_is_in_nobody_s_way() -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with FakeService(Answer(body="secret"), tls=server_certificate(authority)) as service:
        mute = http.client.HTTPConnection("127.0.0.1", service.port)
        mute.connect()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", service.port, timeout=10, context=trusting
        )
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"secret"
        connection.close()
        mute.close()
    assert service.url.startswith("https://")
