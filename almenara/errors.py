"""The error tree: every failure that Almenara raises on purpose.

A class's docstring is its default message. ``code`` is the stable machine word that the HTTP API
puts into problem documents; which HTTP status or exit code belongs to a class is decided at the
edges (``api/errors.py``, ``cli/``), never here.

    AlmenaraError
      ConfigurationError         the set-up is wrong; nothing was started
      InvalidInputError          a caller's input is wrong; names each field
      NotFoundError              no such topic, channel, message, delivery
      ConflictError              right in itself, but not in the present state
        InFlightError
      TokenError                 who asks is not known
        MissingTokenError
        ExpiredTokenError
        RepeatedTokenError
      ForbiddenError             who asks may not do this
      UnavailableError           cannot be done now; try again
      TemplateError              a template cannot be read, or not be filled with these values
      PluginError                a plugin cannot be found or built
        AmbiguousPluginError
        BrokenPluginError
      SendError                  what a plugin raises
        PermanentError
        ChannelError             the channel itself cannot send; it is paused
        TemporaryError
          RateLimitedError
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field of the input."""

    #: Where: the path of the field with dots, such as ``settings.port``; empty for the whole body.
    field: str
    #: A stable word for the kind of mistake, such as ``missing`` or ``string_too_long``.
    code: str
    #: What is wrong and what is allowed, in one sentence; never the offending value.
    message: str


class AlmenaraError(Exception):
    """Something went wrong in Almenara."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().split("\n", maxsplit=1)[0])

    @property
    def message(self) -> str:
        """The sentence for people: what happened, to which thing, and what to do about it."""
        return str(self.args[0])


class ConfigurationError(AlmenaraError):
    """The settings cannot be used; nothing was started."""

    code = "configuration_error"


class InvalidInputError(AlmenaraError):
    """The input is not valid."""

    code = "invalid_input"

    def __init__(
        self,
        message: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        #: A more exact word than the class's, such as ``topic_not_found``.
        self.exact_code = code or self.code


class NotFoundError(AlmenaraError):
    """There is no such thing."""

    code = "not_found"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"There is no {kind} {name!r}.")
        self.kind = kind
        self.name = name


class ConflictError(AlmenaraError):
    """This cannot be done in the present state."""

    code = "conflict"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        super().__init__(message)
        self.exact_code = code or self.code


class TokenError(AlmenaraError):
    """The token is not one that is trusted here."""

    code = "invalid_token"


class MissingTokenError(TokenError):
    """Send a token, in the header Authorization: Bearer."""

    code = "token_missing"


class ExpiredTokenError(TokenError):
    """The token has expired; get a new one from who issues them."""

    code = "token_expired"


class RepeatedTokenError(TokenError):
    """Send one token, once, in the header Authorization: Bearer, and nowhere else."""

    code = "invalid_request"


class ForbiddenError(AlmenaraError):
    """The token does not allow this.

    Args:
        scope: what it would have to allow (RFC 6750, section 3); empty: nothing would help.
    """

    code = "insufficient_scope"

    def __init__(self, message: str | None = None, *, scope: str = "") -> None:
        super().__init__(message)
        self.scope = scope


class UnavailableError(AlmenaraError):
    """This cannot be done just now; try again in a moment."""

    code = "unavailable"

    def __init__(self, message: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class InFlightError(ConflictError):
    """An equal request is still being stored; ask again in a moment."""

    code = "in_flight"
    retry_after_seconds = 1


class TemplateError(AlmenaraError):
    """The template cannot be used.

    Its message is the rest of a sentence that names the template: ``line 3: ...``.
    """

    code = "template_invalid"


class PluginError(AlmenaraError):
    """No plugin of this name was found."""

    code = "plugin_not_found"


class AmbiguousPluginError(PluginError):
    """Several plugins have this name; write it with its directory."""

    code = "plugin_ambiguous"


class BrokenPluginError(PluginError):
    """The plugin was found but cannot be used."""

    code = "plugin_broken"


class SendError(AlmenaraError):
    """The plugin could not send the message."""

    code = "send_failed"


class PermanentError(SendError):
    """Trying again would not help: the delivery fails at once and is never tried again."""

    code = "permanent_error"


class ChannelError(SendError):
    """The channel itself cannot send: a wrong password, a revoked token.

    Not the message is at fault: the channel is paused at once, and what waits for it stays pending
    until somebody has mended it.
    """

    code = "channel_error"


class TemporaryError(SendError):
    """Trying again later may help.

    Args:
        message: what happened, in one sentence, without secrets.
        retry_after: seconds to wait at least before the next attempt, when the service said so.
    """

    code = "temporary_error"

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimitedError(TemporaryError):
    """The service takes no more just now (HTTP 429 and its like)."""

    code = "rate_limited"
