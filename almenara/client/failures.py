"""What a request can come to that did not end well: one class for each thing a caller may do."""

from __future__ import annotations

from collections.abc import Sequence

from almenara.errors import AlmenaraError, FieldError, UnavailableError


class UnreachableError(UnavailableError):
    """Nothing answers at the server's address."""

    code = "unreachable"


class NoAnswerError(UnavailableError):
    """The server took the request, but no answer came; it may have been carried out."""

    code = "no_answer"


class StrangeAnswerError(AlmenaraError):
    """What answers at the server's address is not Almenara."""

    code = "strange_answer"


class RefusedError(AlmenaraError):
    """The server refused the request.

    Args:
        status: the HTTP status.
        errors: what is wrong with which field, when the server said so.
        code: the stable word of the problem document, such as ``topic_not_found``.
        retry_after: how many seconds the server wants to be left alone, when it said so.
    """

    code = "refused"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        errors: Sequence[FieldError] = (),
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = tuple(errors)
        self.exact_code = code or self.code
        self.retry_after = retry_after


class NotSettledError(UnavailableError):
    """The message was not settled in the time that was given."""

    code = "not_settled"
