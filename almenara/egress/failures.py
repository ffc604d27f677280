"""What each failure of a connection is called, in a sentence that cannot hold a secret.

The HTTP library's own texts hold the whole URL and are never used: a sentence names the origin
(scheme, host, port), and what the system or the TLS library says where that is fixed text.
"""

from __future__ import annotations

import os

import aiohttp

#: The first that fits.
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "The name in {origin} could not be resolved"),
    (aiohttp.ClientConnectorCertificateError, "The certificate of {origin} is not to be trusted"),
    (aiohttp.ClientSSLError, "No TLS connection to {origin} could be made"),
    (aiohttp.ConnectionTimeoutError, "No connection to {origin} could be made in time"),
    (TimeoutError, "{origin} gave no full answer within {timeout:g} s"),
    (aiohttp.ClientConnectorError, "No connection to {origin} could be made"),
    (aiohttp.ClientPayloadError, "{origin} broke off in the middle of its answer"),
    (aiohttp.ClientResponseError, "{origin} did not answer in proper HTTP"),
)


def describe(error: Exception, origin: str, timeout_seconds: float) -> str:
    """Return the sentence for a failure of the HTTP library or the system."""
    template = next(
        (text for kind, text in _SENTENCES if isinstance(error, kind)),
        "The connection to {origin} broke off",
    )
    sentence = template.format(origin=origin, timeout=timeout_seconds)
    reason = _reason(error)
    return f"{sentence} ({reason})." if reason else f"{sentence}."


def _reason(error: Exception) -> str | None:
    """Return what the system or the TLS library says, where that cannot hold the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return getattr(error.certificate_error, "verify_message", None)
    if isinstance(error, aiohttp.ClientConnectorDNSError) or not isinstance(error, OSError):
        return None
    number = error.errno
    return os.strerror(number) if number and number > 0 else None
