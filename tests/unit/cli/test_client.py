"""The command line as a client: what it asks, and what it makes of every kind of answer."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from almenara.cli.client import NoAnswerError, Server
from almenara.cli.exits import exit_code
from almenara.client.address import read_address
from almenara.errors import ConfigurationError
from almenara.testing import Answer
from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import a_topic
from tests.unit.cli.conftest import Cli


@pytest.fixture
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class RawServer:
    """Answers every connection with the same bytes, whatever it is asked."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(self._answer)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._socket.close()


def test_a_server_that_is_not_there_is_named_with_what_to_do(
    cli: Cli, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMENARA_URL", f"http://127.0.0.1:{free_port}/")
    ended = cli("topics")
    assert ended.code == 69
    assert ended.out == ""
    assert ended.err == (
        f"Error: Nothing answers at http://127.0.0.1:{free_port}. "
        "Start it with `almenara serve`, or set ALMENARA_URL.\n"
    )


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b"])
def test_a_host_that_does_not_exist_does_not_answer(
    cli: Cli, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMENARA_URL", f"http://{host}:8000")
    ended = cli("topics")
    assert ended.code == 69
    assert f"Nothing answers at http://{host}:8000." in ended.err


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 1),
        (401, 77),
        (403, 77),
        (404, 1),
        (409, 1),
        (413, 1),
        (422, 1),
        (429, 75),
        (500, 70),
        (502, 75),
        (503, 75),
        (504, 75),
    ],
)
def test_each_refusal_has_its_exit_code(
    cli: Cli, server: ScriptedServer, status: int, code: int
) -> None:
    server.refuse("GET", "/v1/topics", status, "It cannot be.")
    ended = cli("topics")
    assert (ended.code, ended.out, ended.err) == (code, "", "Error: It cannot be.\n")


def test_each_wrong_field_has_its_line(cli: Cli, server: ScriptedServer) -> None:
    errors = [("channels.0", "There is no such channel."), ("", "Write less.")]
    server.refuse("POST", "/v1/topics", 422, "The topic is not valid.", *errors)
    assert cli("topics", "create", "sales").err.splitlines() == [
        "Error: The topic is not valid.",
        "  channels.0: There is no such channel.",
        "  Write less.",
    ]


def test_a_field_that_the_sentence_names_is_not_named_twice(
    cli: Cli, server: ScriptedServer
) -> None:
    server.refuse("GET", "/v1/topics", 422, "limit: Write less.", ("limit", "Write less."))
    assert cli("topics").err == "Error: limit: Write less.\n"


def test_field_errors_of_another_shape_stop_nothing(cli: Cli, server: ScriptedServer) -> None:
    body = {"detail": "No.", "errors": ["x", {"field": "a"}]}
    server.answer("GET", "/v1/topics", Answer(422, body))
    assert cli("topics").code == 1
    server.answer("GET", "/v1/topics", Answer(422, {"detail": "No.", "errors": "x"}))
    assert cli("topics").err == "Error: No.\n"


def test_the_servers_advice_is_given_in_the_words_of_the_command_line(
    cli: Cli, server: ScriptedServer
) -> None:
    server.refuse("DELETE", "/v1/channels/mail", 409, "It is used by: sales; add ?force=true.")
    assert cli("channels", "delete", "mail").err == "Error: It is used by: sales; add --force.\n"


def test_controls_in_an_error_do_not_reach_the_terminal(cli: Cli, server: ScriptedServer) -> None:
    server.refuse("GET", "/v1/topics", 422, "a\x1b[2Jb", ("f\x07", "c\u202ed"))
    err = cli("topics").err
    assert "a\\x1b[2Jb" in err
    assert "f\\x07: c\\u202ed" in err


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Answer(body="<html>"), 70),
        (Answer(body="<html>", status=404), 1),
        (Answer(body="<html>", status=502), 75),
        (Answer(500, {"error": "x"}), 70),
        (Answer(400, ["detail"]), 1),
        (Answer(301, headers={"Location": "/elsewhere"}), 70),
    ],
)
def test_what_is_not_almenara_is_called_so(
    cli: Cli, server: ScriptedServer, said: Answer, code: int
) -> None:
    server.answer("GET", "/v1/topics", said)
    ended = cli("topics")
    assert ended.code == code
    assert ended.err == (
        f"Error: What answers at {server.url} is not Almenara (it answered {said.status}); "
        "check ALMENARA_URL.\n"
    )


def test_what_does_not_speak_http_is_called_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(b"220 mail.example.org ESMTP\r\n") as raw:
        monkeypatch.setenv("ALMENARA_URL", raw.url)
        ended = cli("topics")
    assert ended.code == 70
    assert "does not speak HTTP" in ended.err


def test_a_connection_that_ends_without_an_answer_leaves_it_open_what_was_done(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(b"") as raw:
        monkeypatch.setenv("ALMENARA_URL", raw.url)
        ended = cli("send", "sales", "text")
    assert ended.code == 75
    assert "it may have done what was asked" in ended.err


def test_an_answer_that_takes_too_long_leaves_it_open_what_was_done(
    server: ScriptedServer,
) -> None:
    server.answer("GET", "/v1/topics", Answer(delay=0.5))
    with pytest.raises(NoAnswerError, match=r"did not answer within 0\.1 s") as caught:
        Server(server.url, timeout_seconds=0.1).get("/v1/topics")
    assert exit_code(caught.value) == 75


def test_the_token_is_shown_to_the_server(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer("GET", "/v1/topics", {"data": []})
    monkeypatch.setenv("ALMENARA_TOKEN", " abc.def\n")
    assert cli("topics").code == 0
    monkeypatch.setenv("ALMENARA_TOKEN", "")
    assert cli("topics").code == 0
    assert [one.headers.get("Authorization") for one in server.asked] == ["Bearer abc.def", None]


@pytest.mark.parametrize("token", ["hidden\r\nX-Evil: 1", "hidden\u20ac"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("ALMENARA_TOKEN", token)
    ended = cli("topics")
    assert ended.code == 78
    assert "ALMENARA_TOKEN" in ended.err
    assert "hidden" not in ended.err
    assert server.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://hidden:hidden@127.0.0.1:8000",
        "http://127.0.0.1:8000/?token=hidden",
        "http://127.0.0.1:8000/#hidden",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ALMENARA_URL", url)
    ended = cli("topics")
    assert ended.code == 78
    assert "ALMENARA_URL" in ended.err
    assert "hidden" not in ended.err


def test_a_server_below_a_path_is_found_there(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMENARA_URL", f"{server.url}/almenara/")
    server.answer("GET", "/almenara/v1/topics/a%2Fb%20c", a_topic(name="a/b c"))
    assert "a/b c" in cli("topics", "show", "a/b c").out


def test_an_address_without_a_port_means_that_of_its_scheme() -> None:
    assert read_address("http://example.org", None).port == 80
    assert read_address("https://example.org", None).port == 443
    with pytest.raises(ConfigurationError):
        Server("gopher://example.org")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ScriptedServer(tls=context) as one:
        yield one


def test_a_certificate_that_nobody_trusts_ends_it(
    cli: Cli, tls_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMENARA_URL", tls_server.url)
    monkeypatch.setenv("ALMENARA_TOKEN", "hidden")
    ended = cli("topics")
    assert ended.code == 69
    assert f"no trusted TLS connection to {tls_server.url}" in ended.err
    assert tls_server.asked == []


def test_a_trusted_certificate_is_taken(
    cli: Cli,
    tls_server: ScriptedServer,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("ALMENARA_URL", tls_server.url)
    tls_server.answer("GET", "/v1/topics", {"data": []})
    assert cli("topics").code == 0
