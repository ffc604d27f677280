"""A token for development, where a secret is shared; everywhere else, their issuer makes them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from almenara.auth.claims import TOPIC
from almenara.auth.issuers import Issuer, read_issuers
from almenara.auth.jose import sign
from almenara.auth.principal import Scope
from almenara.errors import ConfigurationError, InvalidInputError
from almenara.settings import Settings


def make_token(
    settings: Settings,
    *,
    subject: str,
    scopes: Sequence[Scope],
    topics: Sequence[str],
    lifetime: timedelta,
) -> str:
    """Return a token that this server takes.

    Args:
        topics: what it is narrowed to; none: nothing.

    Raises:
        ConfigurationError: the server shares no secret with an issuer.
        InvalidInputError: a topic is none, or the token would live longer than the server allows.
    """
    issuer = _sharing(read_issuers(settings))
    wrong = next((one for one in topics if not TOPIC.fullmatch(one.lower())), None)
    if wrong is not None:
        raise InvalidInputError("Write a topic's name, or the beginning of names and a *: sales.*")
    longest = timedelta(seconds=issuer.max_age_seconds)
    if lifetime > longest:
        raise InvalidInputError(
            f"This server refuses tokens that live longer than {longest}; raise "
            "ALMENARA_JWT_MAX_AGE_SECONDS, or take less."
        )
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": issuer.issuer,
        "aud": issuer.audience[0],
        "sub": subject,
        "iat": now,
        "exp": now + int(lifetime.total_seconds()),
        "jti": uuid4().hex,
        issuer.scope_claims[0]: " ".join(scopes),
    }
    if topics:
        claims[issuer.topics_claim] = list(topics)
    return sign(claims, issuer.shared_secret())


def _sharing(issuers: Sequence[Issuer]) -> Issuer:
    for one in issuers:
        if one.shares_a_secret:
            return one
    raise ConfigurationError(
        "No issuer shares a secret with this server, so tokens come from the issuer alone. For "
        "development, set ALMENARA_JWT_ISSUER=development and ALMENARA_JWT_SECRET to what "
        "`openssl rand -base64 48` prints, here and for `almenara serve`."
    )
