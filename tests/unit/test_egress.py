"""The HTTP client for plugins: what it sends, what it hands back, whose connections it uses."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

import almenara
from almenara import HttpResponse, PermanentError, TemporaryError, request
from almenara.egress import Egress, configure, current
from almenara.egress.addresses import AddressRefusedError
from almenara.egress.dialing import Dialer
from almenara.egress.resolver import AddressInfo, SystemResolver
from almenara.testing import Answer, FakeService

LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService() as receiver:
        yield receiver


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(LOOPBACK)
    yield egress
    await egress.close()


async def test_an_answer_comes_back_whatever_its_status(
    egress: Egress, receiver: FakeService
) -> None:
    receiver.answer = Answer(status=418, body=b'{"a": 1}', headers={"X-Kind": "teapot"})
    response = await egress.request("get", f"{receiver.url}/a?b=c")
    assert (response.status, response.json()) == (418, {"a": 1})
    assert response.headers["x-kind"] == "teapot"
    [arrived] = receiver.received
    assert (arrived.method, arrived.target) == ("GET", "/a?b=c")


async def test_json_is_sent_as_json(egress: Egress, receiver: FakeService) -> None:
    await egress.request("POST", receiver.url, json={"text": "señal \udc00"})
    [arrived] = receiver.received
    assert arrived.json() == {"text": "señal \udc00"}
    assert arrived.headers["Content-Type"] == "application/json"


async def test_content_is_sent_byte_for_byte(egress: Egress, receiver: FakeService) -> None:
    await egress.request("PUT", receiver.url, content=b"\x00\xff")
    assert receiver.received[0].body == b"\x00\xff"


async def test_secrets_are_sent_in_clear(egress: Egress, receiver: FakeService) -> None:
    url = SecretStr(f" {receiver.url}/path\n")
    await egress.request("POST", url, headers={"Authorization": SecretStr("Bearer t")})
    [arrived] = receiver.received
    assert arrived.target == "/path"
    assert arrived.headers["Authorization"] == "Bearer t"


async def test_the_client_names_itself_and_takes_no_compression(
    egress: Egress, receiver: FakeService
) -> None:
    await egress.request("POST", receiver.url)
    await egress.request("POST", receiver.url, headers={"user-agent": "Mine"})
    first, second = receiver.received
    assert first.headers["User-Agent"] == f"Almenara/{almenara.__version__}"
    assert second.headers.getall("User-Agent") == ["Mine"]
    assert first.headers["Accept-Encoding"] == "identity"


async def test_a_compressed_answer_is_not_unpacked(egress: Egress, receiver: FakeService) -> None:
    receiver.answer = Answer(body=b"\x1f\x8bnot gzip", headers={"Content-Encoding": "gzip"})
    response = await egress.request("GET", receiver.url)
    assert response.body == b"\x1f\x8bnot gzip"


async def test_a_redirect_is_handed_back_and_not_followed(
    egress: Egress, receiver: FakeService
) -> None:
    receiver.answer = Answer(status=307, headers={"Location": f"{receiver.url}/elsewhere"})
    response = await egress.request("POST", f"{receiver.url}/here")
    assert response.status == 307
    assert [arrived.target for arrived in receiver.received] == ["/here"]


async def test_no_cookie_is_kept(egress: Egress, receiver: FakeService) -> None:
    receiver.answer = Answer(headers={"Set-Cookie": "a=b; Path=/"})
    await egress.request("GET", receiver.url)
    await egress.request("GET", receiver.url)
    assert "Cookie" not in receiver.received[1].headers


async def test_a_proxy_in_the_environment_is_not_used(
    egress: Egress, receiver: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert (await egress.request("GET", receiver.url)).status == 200


async def test_an_oversized_answer_is_cut_and_the_next_request_is_whole(
    egress: Egress, receiver: FakeService
) -> None:
    receiver.queue.append(Answer(body=b"x" * 5_000_000))
    response = await egress.request("GET", receiver.url)
    assert (response.status, len(response.body)) == (200, 65_536)
    assert (await egress.request("GET", receiver.url)).body == b""


async def test_an_answer_of_just_the_limit_is_whole(egress: Egress, receiver: FakeService) -> None:
    receiver.answer = Answer(body=b"x" * 65_536)
    assert len((await egress.request("GET", receiver.url)).body) == 65_536


async def test_an_endless_answer_is_cut(egress: Egress) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await writer.drain()
        writer.close()

    listening = await asyncio.start_server(endless, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        assert len((await egress.request("GET", f"http://127.0.0.1:{port}")).body) == 65_536


async def test_connections_are_kept_between_requests(egress: Egress, receiver: FakeService) -> None:
    for _ in range(3):
        await egress.request("POST", receiver.url)
    assert {one.connection for one in receiver.received} == {1}


async def test_the_configured_client_serves_every_request(receiver: FakeService) -> None:
    egress = Egress(LOOPBACK)
    configure(egress)
    try:
        assert current() is egress
        assert (await request("GET", receiver.url)).status == 200
    finally:
        configure(None)
        await egress.close()


async def test_without_configuration_public_addresses_only_are_reached(
    receiver: FakeService,
) -> None:
    with pytest.raises(PermanentError, match="ALMENARA_EGRESS_ALLOW"):
        await request("GET", receiver.url)
    assert receiver.received == []
    assert current() is current()


async def test_a_plugin_with_a_loop_of_its_own_gets_the_same_permissions(
    receiver: FakeService,
) -> None:
    async def twice() -> list[HttpResponse]:
        return [await request("GET", receiver.url), await request("GET", receiver.url)]

    egress = Egress(LOOPBACK)
    configure(egress)
    try:
        await request("GET", receiver.url)
        # In the other thread the loop ends and closes the client; a leak would be a warning.
        answers = await asyncio.to_thread(asyncio.run, twice())
    finally:
        configure(None)
        await egress.close()
        gc.collect()
    assert [answer.status for answer in answers] == [200, 200]


async def test_a_plugin_s_own_loop_does_not_take_the_configured_client_away(
    receiver: FakeService,
) -> None:
    egress = Egress(LOOPBACK)
    configure(egress)
    try:
        await asyncio.to_thread(asyncio.run, request("GET", receiver.url))
        assert current() is egress
    finally:
        configure(None)
        await egress.close()


def test_a_client_configured_outside_a_loop_serves_each_loop_in_turn() -> None:
    egress = Egress(LOOPBACK)
    configure(egress)

    async def served() -> bool:
        configure(egress)  # inside: kept for this loop, though no request is made
        return current() is egress

    async def once() -> tuple[bool, int]:
        with FakeService() as receiver:
            return current() is egress, (await request("GET", receiver.url)).status

    try:
        assert asyncio.run(served())
        assert asyncio.run(once()) == (True, 200)
    finally:
        configure(None)


async def test_a_client_refuses_to_serve_a_second_loop(
    egress: Egress, receiver: FakeService
) -> None:
    await egress.request("GET", receiver.url)
    other = asyncio.to_thread(asyncio.run, egress.request("GET", receiver.url))
    with pytest.raises(RuntimeError, match="another event loop"):
        await other


def test_a_client_serves_the_next_loop_after_one_has_ended() -> None:
    egress = Egress(LOOPBACK)

    async def once() -> int:
        with FakeService() as receiver:
            return (await egress.request("GET", receiver.url)).status

    assert [asyncio.run(once()), asyncio.run(once())] == [200, 200]


async def test_closing_ends_what_is_under_way_and_may_be_repeated(
    egress: Egress, receiver: FakeService
) -> None:
    receiver.answer = Answer(delay=30)
    under_way = asyncio.create_task(egress.request("GET", receiver.url))
    while not receiver.received:
        await asyncio.sleep(0.01)
    await egress.close()
    await egress.close()
    with pytest.raises(TemporaryError):
        await under_way


class Names:
    """Stands for the DNS: each look-up of any name gets the next answer."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        self.asked.append(host)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 0, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))
            for address in self.answers.pop(0)
        ]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "8.8.8.8", "fd00::1"], ["::1"]],
)
async def test_a_name_with_one_address_that_is_not_permitted_is_refused(
    addresses: list[str], receiver: FakeService
) -> None:
    allow = () if len(addresses) == 1 else LOOPBACK
    egress = Egress(allow, resolver=Names(addresses))
    with pytest.raises(PermanentError, match="ALMENARA_EGRESS_ALLOW") as caught:
        await egress.request("GET", f"http://intern.example:{receiver.port}/hidden")
    await egress.close()
    assert f"http://intern.example:{receiver.port}" in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert receiver.received == []


async def test_a_name_is_reached_at_its_address_under_its_own_name(
    receiver: FakeService,
) -> None:
    egress = Egress(LOOPBACK, resolver=Names(["127.0.0.1"]))
    await egress.request("GET", f"http://intern.example:{receiver.port}/")
    await egress.close()
    assert receiver.received[0].headers["Host"] == f"intern.example:{receiver.port}"


async def test_the_socket_itself_goes_nowhere_that_is_not_permitted() -> None:
    with pytest.raises(AddressRefusedError):
        Dialer(SystemResolver(), ()).make_socket((2, 1, 6, "", ("127.0.0.1", 80)))


async def test_a_certificate_of_a_trusted_authority_is_accepted(tmp_path: Path) -> None:
    """In a process of its own: what is trusted is read once, when the HTTP library is imported."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    program = (
        "import asyncio, sys; from almenara.egress import Egress\n"
        "print(asyncio.run(Egress(['127.0.0.0/8', '::1']).request('GET', sys.argv[1])).status)"
    )
    with FakeService(tls=context) as receiver:
        url = f"https://localhost:{receiver.port}/"
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program, url],
            env=os.environ | {"SSL_CERT_FILE": str(tmp_path / "authority.pem")},
            cwd=Path(almenara.__file__).parent.parent,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.stdout, done.stderr) == ("200\n", "")
