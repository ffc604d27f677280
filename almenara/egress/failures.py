"""What each failure of a connection is called, in a sentence that cannot hold a secret.

A sentence names the origin (scheme, host, port), and what the system or the TLS library says where
that is fixed text; never a path, a header or a body.
"""

from __future__ import annotations

import os
import socket
import ssl

NO_NAME = "The name in {origin} could not be resolved"
NO_TRUST = "The certificate of {origin} is not to be trusted"
NO_TLS = "No TLS connection to {origin} could be made"
NO_CONNECTION = "No connection to {origin} could be made"
NO_CONNECTION_IN_TIME = "No connection to {origin} could be made in time"
NO_ANSWER_IN_TIME = "{origin} gave no full answer within {timeout:g} s"
NOT_HTTP = "{origin} did not answer in proper HTTP"
HALF_AN_ANSWER = "{origin} broke off in the middle of its answer"
BROKEN_OFF = "The connection to {origin} broke off"


class ExchangeError(Exception):
    """There was no full answer.

    Args:
        sentence: one of this module's, still without the origin.
        reason: what the system or the TLS library says about it.
    """

    def __init__(self, sentence: str, reason: str | None = None) -> None:
        super().__init__(sentence, reason)
        self.sentence = sentence
        self.reason = reason

    def describe(self, origin: str, timeout_seconds: float) -> str:
        """Return the whole sentence."""
        text = self.sentence.format(origin=origin, timeout=timeout_seconds)
        return f"{text} ({self.reason})." if self.reason else f"{text}."


def not_connected(error: Exception) -> ExchangeError:
    """Return what a failure to connect is called."""
    if isinstance(error, TimeoutError):
        return ExchangeError(NO_CONNECTION_IN_TIME)
    if isinstance(error, socket.gaierror):
        return ExchangeError(NO_NAME)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ExchangeError(NO_TRUST, error.verify_message)
    if isinstance(error, ssl.SSLError):
        return ExchangeError(NO_TLS)
    return ExchangeError(NO_CONNECTION, reason_of(error))


def reason_of(error: BaseException | None) -> str | None:
    """Return what the system says, if it was the system."""
    if not isinstance(error, OSError) or isinstance(error, ssl.SSLError):
        return None  # the TLS library has numbers of its own
    return os.strerror(error.errno) if error.errno and error.errno > 0 else None
