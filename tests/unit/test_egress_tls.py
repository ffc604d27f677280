"""TLS with one service: a certificate of our own, its own authority, and connections of its own."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from almenara import ClientTls, PermanentError, SecretStr, TemporaryError
from almenara.egress import Egress
from almenara.testing import FakeService

AUTHORITY = trustme.CA()
CLIENTS = trustme.CA()


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def presented(authority: trustme.CA, name: str = "tower@example.org") -> dict[str, object]:
    """The certificate of a client and its key, as settings have them."""
    issued = authority.issue_cert(name)
    chain = "".join(one.bytes().decode() for one in issued.cert_chain_pems)
    return {
        "certificate": chain,
        "key": SecretStr(issued.private_key_pem.bytes().decode()),
    }


def asking() -> ssl.SSLContext:
    """A server's side: it speaks only with clients whose certificate `CLIENTS` has signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    CLIENTS.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService(tls=asking()) as receiver:
        yield receiver


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(["127.0.0.0/8"])
    yield egress
    await egress.close()


async def test_a_server_that_asks_for_a_certificate_gets_it(
    egress: Egress, receiver: FakeService
) -> None:
    tls = ClientTls(authorities=pem(AUTHORITY), **presented(CLIENTS))  # type: ignore[arg-type]  # of one dict
    for _ in range(2):
        assert (await egress.request("POST", receiver.url, tls=tls)).status == 200


async def test_one_that_it_does_not_know_is_not_let_in(
    egress: Egress, receiver: FakeService
) -> None:
    stranger = ClientTls(authorities=pem(AUTHORITY), **presented(trustme.CA()))  # type: ignore[arg-type]  # of one dict
    nobody = ClientTls(authorities=pem(AUTHORITY))
    for tls in (stranger, nobody):
        with pytest.raises(TemporaryError, match=f"127.0.0.1:{receiver.port}"):
            await egress.request("POST", receiver.url, tls=tls)
    assert receiver.received == []


async def test_a_connection_is_not_lent_to_who_presents_something_else(
    egress: Egress, receiver: FakeService
) -> None:
    known = ClientTls(authorities=pem(AUTHORITY), **presented(CLIENTS))  # type: ignore[arg-type]  # of one dict
    await egress.request("GET", receiver.url, tls=known)
    with pytest.raises(TemporaryError):
        await egress.request("GET", receiver.url, tls=ClientTls(authorities=pem(AUTHORITY)))
    with pytest.raises(TemporaryError, match="not to be trusted"):
        await egress.request("GET", receiver.url)
    assert len(receiver.received) == 1


async def test_own_authorities_stand_in_for_the_systems(
    egress: Egress, receiver: FakeService
) -> None:
    other = ClientTls(authorities=pem(trustme.CA()), **presented(CLIENTS))  # type: ignore[arg-type]  # of one dict
    with pytest.raises(TemporaryError, match="not to be trusted"):
        await egress.request("POST", receiver.url, tls=other)
    both = ClientTls(authorities=f"Señal\n{pem(AUTHORITY)}{pem(CLIENTS)}")
    assert {one["issuer"] for one in both.context.get_ca_certs()} == {
        one["subject"] for one in both.context.get_ca_certs()
    }
    assert len(both.context.get_ca_certs()) == 2


async def test_without_tls_nothing_is_presented_and_nothing_sent(egress: Egress) -> None:
    with FakeService() as plain, pytest.raises(PermanentError, match="https"):
        await egress.request("POST", plain.url, tls=ClientTls())
    assert plain.received == []


def test_no_disk_ever_holds_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    load = ssl.SSLContext.load_cert_chain

    def read(self: ssl.SSLContext, name: str, *, password: str) -> None:
        written.append(Path(name).read_bytes())
        assert Path(name).stat().st_mode & 0o777 == 0o600
        load(self, name, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", read)
    ClientTls(**presented(CLIENTS))  # type: ignore[arg-type]  # of one dict
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in written[0]
    assert written[0].count(b"PRIVATE KEY") == 2
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_used_is_told_without_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own, other = presented(CLIENTS), presented(CLIENTS)
    sealed = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    for wrong, says in (
        ({"certificate": own["certificate"]}, "together"),
        ({"key": own["key"]}, "together"),
        (own | {"certificate": "hush-hush"}, "certificate must be written in PEM"),
        (own | {"key": SecretStr("hush-hush")}, "private key in PEM"),
        (own | {"key": SecretStr(sealed.decode())}, "without a password"),
        (own | {"key": other["key"]}, "does not belong"),
        ({"authorities": "hush-hush"}, "authorities must be"),
        ({"authorities": ""}, "authorities must be"),
        ({"authorities": pem(CLIENTS).replace("MII", "MIJ", 1)}, "authorities must be"),
    ):
        with pytest.raises(ValueError, match=says) as caught:
            ClientTls(**wrong)  # type: ignore[arg-type]  # some are wrong on purpose
        assert "hush" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert list(tmp_path.iterdir()) == []
