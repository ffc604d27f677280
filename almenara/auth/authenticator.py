"""From a token to who it is about: verified once, then looked up."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from almenara.auth.claims import Parts, expires_at, read_parts, read_principal
from almenara.auth.issuers import Issuer, read_issuers
from almenara.auth.jose import check_signature, load
from almenara.auth.key_sets import KeySet, open_key_set
from almenara.auth.principal import Principal
from almenara.errors import TokenError, UnavailableError
from almenara.settings import Settings
from almenara.telemetry import get_logger

log = get_logger("auth")

#: So many verified tokens are remembered.
MOST_REMEMBERED = 10_000
#: A token is verified again after so long, in seconds: its key may have been withdrawn.
REMEMBERED_FOR = 300.0


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    keys: KeySet
    generation: int
    until: float


class Authenticator:
    """Says who tokens are about.

    Args:
        clock: seconds since 1970.
    """

    def __init__(
        self, issuers: Sequence[Issuer], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._issuers = {one.issuer: (one, open_key_set(one)) for one in issuers}
        self._clock = clock
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    @property
    def trouble(self) -> str | None:
        """What keeps tokens from being verified, as far as it is known."""
        found = (keys.trouble for _, keys in self._issuers.values())
        return next((one for one in found if one is not None), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Whose tokens are trusted."""
        return tuple(self._issuers)

    async def look(self) -> str | None:
        """Fetch what keys have to be fetched; return what is wrong with them."""
        for _, keys in self._issuers.values():
            with suppress(UnavailableError):
                await keys.find(None)
        return self.trouble

    async def authenticate(self, token: str) -> Principal:
        """Return who a token is about.

        Raises:
            TokenError: it is not one that is trusted here; which rule it breaks is only logged.
            ForbiddenError: its subject is denied.
            UnavailableError: the keys to check it with cannot be fetched.
        """
        # Not the token itself: what is kept here must be of no use to whoever reads the memory.
        mark = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(mark)
        if known is not None:
            if known.until > self._clock() and known.generation == known.keys.generation:
                return known.principal
            del self._verified[mark]
        parts = read_parts(token)
        issuer, keys = self._issuer_of(parts)
        principal = await self._verify(parts, issuer, keys)
        until = min(expires_at(parts), self._clock() + REMEMBERED_FOR)
        self._verified[mark] = _Verified(principal, keys, keys.generation, until)
        if len(self._verified) > MOST_REMEMBERED:
            self._verified.popitem(last=False)
        return principal

    def _issuer_of(self, parts: Parts) -> tuple[Issuer, KeySet]:
        name = parts.claims.get("iss")
        found = self._issuers.get(name) if isinstance(name, str) else None
        if found is None:
            raise TokenError
        return found

    async def _verify(self, parts: Parts, issuer: Issuer, keys: KeySet) -> Principal:
        key = await keys.find(parts.key_id)
        if key is None or parts.header.get("alg") != key.algorithm:
            raise TokenError
        check_signature(parts.text, key)
        return read_principal(parts, issuer, now=self._clock())


def trusting(settings: Settings) -> Authenticator:
    """Return what verifies the tokens of those issuers that the settings name.

    Raises:
        ConfigurationError: an issuer or its key cannot be used.
    """
    issuers = read_issuers(settings)
    load()
    return Authenticator(issuers)
