"""The gate before every route: who asks, and how often; plain ASGI.

What is not named open needs a token, whether there is anything at the address or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almenara.api.errors import describe_error, problem, refusal_headers
from almenara.api.metering import Meter
from almenara.auth import ANYBODY, Principal
from almenara.errors import AlmenaraError, MissingTokenError, RepeatedTokenError, TokenError
from almenara.rates import Rate
from almenara.telemetry import get_logger

if TYPE_CHECKING:
    from almenara.auth import Authenticator

log = get_logger("auth")

#: Where the gate leaves whom it let in, in the ASGI scope of a request.
PRINCIPAL = "almenara.principal"

#: What answers whoever asks: a probe has no token, and a page for people loads before they sign in.
OPEN: Final = frozenset({"/healthz", "/readyz"})

#: From one address, so many tokens may be wrong before the answer is only "not so fast".
WRONG_TOKENS = Rate(600, "m")
_WRONG_BURST = 300

_SCHEME = b"bearer "


class Gate:
    """Lets in whoever has a good token, and leaves the principal in the ASGI scope.

    Args:
        authenticator: verifies tokens; ``None``: none are asked for, and everybody may everything.
        rate: how many requests one subject may make; ``None``: any number.
        open_to_all: the addresses that need no token.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator | None,
        rate: Rate | None,
        open_to_all: frozenset[str] = OPEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._open = open_to_all
        self._meter = None if rate is None else Meter(rate, clock=clock)
        self._wrong = Meter(WRONG_TOKENS, burst=_WRONG_BURST, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in self._open:
            scope[PRINCIPAL] = ANYBODY
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._principal(scope)
        except AlmenaraError as error:
            await self._refusal(error, scope)(scope, receive, send)
            return
        scope[PRINCIPAL] = principal
        if self._meter is None:
            await self._app(scope, receive, send)
        else:
            await self._metered(self._meter, principal, scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        if self._authenticator is None:
            return ANYBODY
        return await self._authenticator.authenticate(read_token(scope))

    def _refusal(self, error: AlmenaraError, scope: Scope) -> Response:
        address = (scope.get("client") or ("",))[0]
        if isinstance(error, TokenError) and not isinstance(error, MissingTokenError):
            log.info("token_refused", code=error.code, client=address)
            taken = self._wrong.take(address)
            if taken.wait_seconds:
                return too_many(taken.wait_seconds, "Too many wrong tokens come from here.")
        content = describe_error(error)
        return problem(
            content["status"], content["code"], error.message, headers=refusal_headers(error)
        )

    async def _metered(
        self, meter: Meter, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Count it; every answer says what is left (draft-ietf-httpapi-ratelimit-headers)."""
        taken = meter.take(principal.subject or "")
        said = [
            (b"ratelimit-policy", meter.policy.encode()),
            (b"ratelimit", f'"sender";r={taken.left};t={taken.reset_seconds}'.encode()),
        ]

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *said]
            await send(message)

        if taken.wait_seconds:
            sentence = "You asked more often than this server allows."
            await too_many(taken.wait_seconds, sentence)(scope, receive, telling)
        else:
            await self._app(scope, receive, telling)


def read_token(scope: Scope) -> str:
    """Return the token of a request: from the header alone (RFC 6750, section 2.1).

    Raises:
        MissingTokenError: there is none.
        TokenError: what is there is none.
        RepeatedTokenError: there are several, so that readers may differ in which counts.
    """
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) > 1 or b"access_token=" in scope["query_string"]:
        raise RepeatedTokenError
    if not found or found[0][: len(_SCHEME)].lower() != _SCHEME:
        raise MissingTokenError
    token = found[0][len(_SCHEME) :].strip()
    if not token:
        raise MissingTokenError
    if b" " in token or b"," in token:
        raise RepeatedTokenError
    try:
        return str(token, "ascii")
    except UnicodeDecodeError as error:
        raise TokenError from error


def too_many(wait_seconds: int, sentence: str) -> Response:
    """Answer that something came too often."""
    return problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_requests",
        f"{sentence} Try again in {wait_seconds} s.",
        headers={"Retry-After": str(wait_seconds)},
    )
