"""What a failure of SMTP means for a delivery: never again, or later.

- a reply 5xx: never again, the same mail would be refused again;
- a refused login, or one that is wanted and not set: the channel cannot send, whatever the mail;
- a reply 4xx, no connection, no answer in time: later;
- no STARTTLS or a bad certificate: later, for nothing was sent, and a certificate is renewed and a
  setting mended while the message waits.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)
from aiosmtplib.response import SMTPResponse

from almenara import ChannelError, PermanentError, TemporaryError

_REPLY_LENGTH = 200
#: The server wants a login, a stronger one, other credentials, or encryption (RFC 4954).
_LOGIN_CODES = frozenset({530, 534, 535, 538})
_CHALLENGE = 334
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


class Known(Protocol):
    """What an error says of a mail server, and what it must not."""

    @property
    def place(self) -> str:
        """The server, as ``host:port``."""

    @property
    def advice(self) -> str:
        """What to do about a refused login."""

    def hidden(self) -> Sequence[str]:
        """What a server may echo: the user name, the password, access tokens."""


@contextmanager
def explained(server: Known) -> Iterator[None]:
    """Turn what SMTP raises into the errors of the plugin contract.

    Args:
        server: what is known of it, and which texts no error may show.

    Raises:
        ChannelError, PermanentError, TemporaryError: with no hidden text in them, nor in what
            caused them.
    """
    try:
        yield
    except (SMTPException, OSError) as error:  # time-outs and TLS failures are OSErrors
        if isinstance(error, SMTPAuthenticationError):
            raise _explain_login(error, server.place, server.advice) from _scrub(error, ())
        hidden = server.hidden()
        raise _explain(error, server.place, hidden) from _scrub(error, hidden)


def reply_text(code: int, text: str, hidden: Sequence[str]) -> str:
    """Return a server's reply as one short printable line without hidden texts."""
    for secret in hidden:
        text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
    line = _UNPRINTABLE.sub(" ", text.encode("utf-8", "replace").decode("utf-8")).strip()
    if len(line) > _REPLY_LENGTH:
        line = f"{line[: _REPLY_LENGTH - 1]}…"
    return f"{code} {line}".strip()


def describe_refused(refused: Mapping[str, SMTPResponse], hidden: Sequence[str]) -> str:
    """Return each refused recipient with the server's reply, in one line."""
    return "; ".join(
        f"{address} ({reply_text(reply.code, reply.message, hidden)})"
        for address, reply in refused.items()
    )


def is_refused_login(error: SMTPAuthenticationError) -> bool:
    """Tell whether other credentials are needed; a challenge (334) asks for none that we have."""
    return is_final(error.code) or error.code == _CHALLENGE


def is_final(code: int) -> bool:
    """Tell whether a reply says that the same command would be refused again."""
    return 500 <= code <= 599  # noqa: PLR2004 -- RFC 5321, 4.2.1: permanent negative


def _explain(
    error: Exception, place: str, hidden: Sequence[str]
) -> ChannelError | PermanentError | TemporaryError:
    if isinstance(error, SMTPRecipientsRefused):
        return _explain_recipients(error, place, hidden)
    if isinstance(error, SMTPResponseException):
        kind: type[ChannelError | PermanentError | TemporaryError] = (
            PermanentError if is_final(error.code) else TemporaryError
        )
        if error.code in _LOGIN_CODES:
            kind = ChannelError
        reply = reply_text(error.code, error.message, hidden)
        return kind(f"The mail server {place} refused: {reply}")
    return TemporaryError(_explain_connection(error, place, hidden))


def _explain_recipients(
    error: SMTPRecipientsRefused, place: str, hidden: Sequence[str]
) -> PermanentError | TemporaryError:
    final = all(is_final(each.code) for each in error.recipients)
    refused = {each.recipient: SMTPResponse(each.code, each.message) for each in error.recipients}
    return (PermanentError if final else TemporaryError)(
        f"The mail server {place} refused every recipient: {describe_refused(refused, hidden)}"
    )


def _explain_login(
    error: SMTPAuthenticationError, place: str, advice: str
) -> ChannelError | TemporaryError:
    """Explain by the code alone: what a server writes here may repeat the credentials."""
    if is_refused_login(error):
        return ChannelError(f"The mail server {place} refused the login ({error.code}): {advice}.")
    return TemporaryError(f"The mail server {place} cannot check the login now ({error.code}).")


def _explain_connection(error: Exception, place: str, hidden: Sequence[str]) -> str:
    for cause in (error, error.__cause__):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"The certificate of the mail server {place} cannot be trusted "
                f"({cause.verify_message}); nothing was sent. For a private authority, name its "
                "file in SSL_CERT_FILE."
            )
        if isinstance(cause, ssl.SSLError):
            return (
                f"TLS with the mail server {place} failed ({cause.reason}): check `port`, "
                "`ssl_tls` (usually 465) and `starttls` (usually 587)."
            )
    if isinstance(error, TimeoutError):
        return f"The mail server {place} did not answer in time."
    text = error.message if isinstance(error, SMTPException) else str(error)
    return f"The connection to the mail server {place} failed: {reply_text(0, text, hidden)[2:]}"


def _scrub(error: Exception, hidden: Sequence[str]) -> Exception:
    """Take hidden texts out of an error that stays in the chain of causes."""
    if isinstance(error, SMTPAuthenticationError):
        error.args = (error.code,)
    elif isinstance(error, SMTPResponseException):
        error.args = (error.code, reply_text(error.code, error.message, hidden))
    elif isinstance(error, SMTPRecipientsRefused):
        for each in error.recipients:
            each.args = (each.code, reply_text(each.code, each.message, hidden))
    return error
