"""Access tokens for a mailbox (OAuth 2.0, RFC 6749), fetched when they are wanted.

No error here has a part of an answer in it but the error codes that the standard names.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from almenara import (
    ChannelError,
    HttpResponse,
    PermanentError,
    SecretStr,
    TemporaryError,
    raise_for_status,
    request,
)

#: A token is fetched anew so many seconds before it expires; of a short life, half is used.
_MARGIN_SECONDS = 60.0
#: How long a token is good that does not say it.
_USUAL_SECONDS = 3600.0
#: What to do about the errors that trying again does not mend (RFC 6749, 5.2).
_ADVICE = {
    "invalid_grant": "the access was revoked or has expired: let the mailbox's owner grant it anew "
    "and set `oauth_refresh_token`",
    "invalid_client": "check `oauth_client_id` and `oauth_client_secret`",
    "unauthorized_client": "allow this application that kind of grant, or check `oauth_client_id`",
    "invalid_scope": "check `oauth_scope`",
    "invalid_request": "check `oauth_token_url` and the other settings that begin with `oauth_`",
    "unsupported_grant_type": "check `oauth_token_url`",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """Where tokens are fetched, and with what."""

    url: str
    #: The fields of the form that is posted.
    form: Mapping[str, str] = field(repr=False)

    @property
    def place(self) -> str:
        """The token endpoint in error texts."""
        return f"The token endpoint {urlsplit(self.url).hostname}"


class Tokens:
    """The access token of one account, for one event loop: kept while it is good.

    Args:
        grant: how one is fetched; absent: ``given`` is all there is.
        given: a token that an operator has set.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        grant: Grant | None,
        *,
        given: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grant = grant
        self._clock = clock
        self._token = given
        self._good_until = float("inf") if given else 0.0
        self._fetching = asyncio.Lock()
        #: The last ones, which a server may echo and no error may show.
        self.recent: deque[str] = deque([given] if given else [], maxlen=4)

    async def current(self) -> str:
        """Return a token that is good for a while; of many who ask at once, one fetches.

        Raises:
            ChannelError: the endpoint refuses whatever is asked.
            TemporaryError: it cannot be reached, or is in trouble.
        """
        async with self._fetching:
            if self._grant is not None and self._clock() >= self._good_until:
                self._token, seconds = await _fetch(self._grant)
                self._good_until = self._clock() + max(seconds - _MARGIN_SECONDS, seconds / 2)
                self.recent.append(self._token)
            return self._token

    def refused(self, token: str) -> bool:
        """Note that the mail server takes a token no longer; tell whether another can be had."""
        if token == self._token and self._grant is not None:
            self._good_until = 0.0
        return self._grant is not None


async def _fetch(grant: Grant) -> tuple[str, float]:
    """Return a new token, and for how many seconds it is good."""
    try:
        response = await request(
            "POST",
            grant.url,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            content=urlencode(grant.form).encode(),
        )
    except PermanentError as error:  # the address may not be reached from here
        raise ChannelError(error.message) from error
    _check(response, grant.place)
    answer = response.object()
    token, seconds = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise TemporaryError(f"{grant.place} answered without an access token.")
    try:
        return token, float(seconds)  # type: ignore[arg-type]  # what is no number is caught
    except (TypeError, ValueError):
        return token, _USUAL_SECONDS


def _check(response: HttpResponse, place: str) -> None:
    code = response.object().get("error")
    if isinstance(code, str) and code in _ADVICE:
        raise ChannelError(f"{place} gives no access token ({code}): {_ADVICE[code]}.")
    try:
        raise_for_status(response, service=place)
    except PermanentError as error:
        raise ChannelError(f"{error.message} Check `oauth_token_url`.") from error


def grant_of(
    *,
    url: str | None,
    client_id: str,
    client_secret: SecretStr | None,
    refresh_token: SecretStr | None,
    scope: str,
) -> Grant | None:
    """Return how tokens are fetched by a channel's settings: by its owner's grant, or its own."""
    if not url:
        return None
    form = {
        "grant_type": "refresh_token" if refresh_token else "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret.get_secret_value() if client_secret else "",
        "refresh_token": refresh_token.get_secret_value() if refresh_token else "",
        "scope": scope,
    }
    return Grant(url, {name: value for name, value in form.items() if value})
