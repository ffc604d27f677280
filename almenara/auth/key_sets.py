"""The keys of an issuer: one that was written down, or those that it publishes.

Published keys are fetched when they are needed, by one request at a time, and kept: for ten minutes
without asking again, for a day when the issuer does not answer. A token that names a key which is
not known is worth one new fetch in half a minute, so that a flood of them is none of the issuer's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from almenara.auth.issuers import DISCOVERY_PATH, Issuer
from almenara.auth.jose import Key, read_key_set
from almenara.egress import Egress
from almenara.errors import ConfigurationError, SendError, UnavailableError
from almenara.settings.urls import check_keys_url
from almenara.telemetry import get_logger

log = get_logger("auth")

#: Fetched keys are asked for again, beside the requests, when they are so old, in seconds.
RENEWED_AFTER = 300.0
#: Older ones are not used before it was tried to fetch new ones.
FRESH_FOR = 600.0
#: When the issuer does not answer, the last good ones serve so long.
STALE_FOR = 86_400.0
#: From one fetch to the next it takes so long at least; sooner while there are no keys at all.
PAUSE, FIRST_PAUSE = 30.0, 5.0
#: A fetch ends after so many seconds.
_FETCH_SECONDS = 5.0

#: The operator writes this address, so it may be a private one.
_ANYWHERE = ("0.0.0.0/0", "::/0")

_MEDIA_TYPES = frozenset({"application/json", "application/jwk-set+json"})


class KeySet(Protocol):
    """Where the keys of one issuer are."""

    @property
    def generation(self) -> int:
        """Moves when keys come or go: what was verified before may not be any more."""

    @property
    def trouble(self) -> str | None:
        """What is wrong with it; ``None``: nothing that is known."""

    async def find(self, key_id: str | None) -> Key | None:
        """Return the key of this name, or the only one for a token that names none.

        Raises:
            UnavailableError: no keys could be fetched yet.
        """


class WrittenKey:
    """One key that stands in the settings; whatever name a token gives it."""

    generation = 0
    trouble = None

    def __init__(self, key: Key) -> None:
        self._key = key

    async def find(self, key_id: str | None) -> Key | None:
        """Return it."""
        return self._key


class PublishedKeys:
    """The keys that an issuer publishes over HTTPS.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, issuer: Issuer, *, clock: Callable[[], float] = time.monotonic) -> None:
        assert issuer.jwks_url is not None  # noqa: S101 - made for such issuers alone
        self.generation = 0
        self.trouble: str | None = None
        self._issuer = issuer
        self._url = issuer.jwks_url
        self._clock = clock
        self._egress = Egress(_ANYWHERE)
        self._keys: dict[str | None, Key] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> Key | None:
        """Return the key of this name; fetch the keys before, where that is due."""
        age = self._clock() - self._fetched_at
        if age > FRESH_FOR:
            await self._refresh()
        elif age > RENEWED_AFTER:
            self._begin()
        if self._clock() - self._fetched_at > STALE_FOR:
            raise UnavailableError(
                "The keys of who issues the tokens cannot be fetched just now; try again in a "
                "moment.",
                retry_after_seconds=int(FIRST_PAUSE),
            )
        if self._named(key_id) is None and key_id is not None:
            await self._refresh()
        return self._named(key_id)

    def _named(self, key_id: str | None) -> Key | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        fetch = self._begin()
        if fetch is not None:
            # Whoever gives up waiting leaves the fetch to the others.
            await asyncio.shield(fetch)

    def _begin(self) -> asyncio.Task[None] | None:
        """Return the fetch that is under way, or a new one if it is not too soon."""
        if self._fetch is None or self._fetch.done():
            pause = PAUSE if self._keys else FIRST_PAUSE
            if self._clock() - self._tried_at < pause:
                return None
            self._tried_at = self._clock()
            self._fetch = asyncio.create_task(self._fetch_keys(), name="fetch keys")
        return self._fetch

    async def _fetch_keys(self) -> None:
        origin = urlsplit(self._url).netloc
        try:
            keys = read_key_set(await self._read(await self._address()))
        except (SendError, ValueError) as error:
            self.trouble = f"the keys of {origin} cannot be fetched: {error}"
            log.warning("keys_not_fetched", host=origin, error=str(error))
            return
        self._fetched_at, self.trouble = self._clock(), None
        if keys != self._keys:
            self.generation += 1
            log.info("keys_fetched", host=origin, key_count=len(keys))
        self._keys = keys

    async def _address(self) -> str:
        """Return where the keys are; a discovery document says so for its own issuer alone."""
        if not self._url.endswith(DISCOVERY_PATH):
            return self._url
        document = await self._read(self._url)
        if not isinstance(document, Mapping) or document.get("issuer") != self._issuer.issuer:
            raise ValueError("the discovery document is not this issuer's")
        return check_keys_url(str(document.get("jwks_uri")))

    async def _read(self, url: str) -> Any:
        answer = await self._egress.request("GET", url, timeout_seconds=_FETCH_SECONDS)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if answer.status != 200 or media_type not in _MEDIA_TYPES:  # noqa: PLR2004 - HTTP's OK
            raise ValueError(f"it answered {answer.status}, {media_type or 'of no type'}")
        return answer.json()


def open_key_set(issuer: Issuer) -> KeySet:
    """Return where the keys of an issuer are.

    Raises:
        ConfigurationError: its key cannot be used.
    """
    if issuer.jwks_url is not None:
        return PublishedKeys(issuer)
    try:
        return WrittenKey(issuer.key())
    except ValueError as error:
        raise ConfigurationError(
            f"The key of the issuer {issuer.issuer} cannot be used: {error}."
        ) from error
