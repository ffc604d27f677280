"""What TLS with one service needs beyond the usual: a certificate of our own, its own authority."""

from __future__ import annotations

import os
import secrets
import ssl
import tempfile
from pathlib import Path

from pydantic import SecretStr


class ClientTls:
    """How a channel presents itself to its service, and whom it trusts; for :func:`request`.

    Made once and used for every request: connections are shared only by those who present the same.
    Making it takes some milliseconds.

    Args:
        certificate: the client certificate in PEM, and those between it and its authority.
        key: its private key in PEM, without a password.
        authorities: certificates in PEM; the service's must be signed by one of them, and those
            that the system trusts count no more. Absent: the system's.

    Raises:
        ValueError: something cannot be read, or does not fit; no value is in the text.
    """

    def __init__(
        self,
        *,
        certificate: str | None = None,
        key: SecretStr | None = None,
        authorities: str | None = None,
    ) -> None:
        self.context = _trusting(authorities)
        if (certificate is None) is not (key is None):
            raise ValueError("a client certificate and its key are given together")
        if certificate is not None and key is not None:
            _present(self.context, certificate, key)


def usual_context() -> ssl.SSLContext:
    """Return what TLS needs where nothing else is said; reading what is trusted takes a while."""
    return _trusting(None)


def _trusting(authorities: str | None) -> ssl.SSLContext:
    try:
        # Files of authorities have names in any language between the certificates.
        trusted = None if authorities is None else _certificates(authorities)
        context = ssl.create_default_context(cadata=trusted)
    except (ValueError, ssl.SSLError):
        raise ValueError("the authorities must be certificates in PEM") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _certificates(text: str) -> bytes:
    """Return the certificates of a PEM file, one after the other in DER."""
    # Few need it, and it takes a while to import.
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    return b"".join(
        one.public_bytes(Encoding.DER) for one in load_pem_x509_certificates(text.encode())
    )


def _present(context: ssl.SSLContext, certificate: str, key: SecretStr) -> None:
    """Let the context present a certificate."""
    try:
        _certificates(certificate)
    except ValueError:
        raise ValueError("the client certificate must be written in PEM") from None
    # The library reads files alone. What it reads is sealed by a password of this moment, so that
    # no disk ever holds the key.
    password = secrets.token_bytes(32).hex()
    sealed = _sealed(key, password)
    descriptor, name = tempfile.mkstemp(prefix="almenara-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(sealed + certificate.encode())
        context.load_cert_chain(name, password=password)
    except ssl.SSLError:
        raise ValueError("the client certificate does not belong to its key") from None
    finally:
        Path(name).unlink()


def _sealed(key: SecretStr, password: str) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    try:
        read = load_pem_private_key(key.get_secret_value().encode(), None)
        return read.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the key must be a private key in PEM, without a password") from None
