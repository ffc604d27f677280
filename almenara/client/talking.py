"""What can go wrong on a connection, in the sentences of the client; the same for both kinds."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from almenara.client.failures import NoAnswerError, StrangeAnswerError, UnreachableError
from almenara.client.wire import Exchange, GarbledError


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Connect inside.

    Raises:
        UnreachableError: there is no connection; nothing was done.
    """
    try:
        yield
    except ssl.SSLError as error:
        raise UnreachableError(
            f"There is no trusted TLS connection to {url}: {error.reason}."
        ) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA refuses
        raise UnreachableError(
            f"Nothing answers at {url}. Start it with `almenara serve`, or set ALMENARA_URL."
        ) from error


@contextmanager
def explained(url: str, timeout_seconds: float, exchange: Exchange) -> Iterator[None]:
    """Send and read inside.

    Raises:
        NoAnswerError: it may have been done, or not.
        StrangeAnswerError: what answers does not speak HTTP.
    """
    try:
        yield
    except TimeoutError as error:
        raise NoAnswerError(
            f"The server at {url} did not answer within {timeout_seconds:g} s; "
            "it may have done what was asked."
        ) from error
    except (OSError, EOFError) as error:
        came, size = exchange.progress
        if came:
            raise NoAnswerError(f"The server at {url} sent {came:,} of {size:,} bytes.") from error
        raise NoAnswerError(
            f"The server at {url} ended the connection without an answer; "
            "it may have done what was asked."
        ) from error
    except GarbledError as error:
        raise StrangeAnswerError(
            f"What answers at {url} does not speak HTTP; check ALMENARA_URL."
        ) from error


def tls_context() -> ssl.SSLContext:
    """Return what trusts whom the system trusts."""
    return ssl.create_default_context()
