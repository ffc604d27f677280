"""What stands in a token, and whether it holds; pure.

The parts are read before the signature is checked, because they say which key to check it with; no
more than that is taken from them before (RFC 8725, section 3.10).
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from almenara.auth.issuers import Issuer
from almenara.auth.jose import decode_segment
from almenara.auth.principal import Principal, Scope, narrowed
from almenara.errors import ExpiredTokenError, ForbiddenError, TokenError

#: A longer token is not looked at, in bytes.
LARGEST_TOKEN = 8_192
#: Clocks may differ by so much, in seconds.
LEEWAY = 30

#: Header, claims, signature.
_SEGMENTS = 3
_LONGEST_KEY_ID = 256
#: Names and issuer together fill a column of so many characters.
_LONGEST_SUBJECT = 255
_MOST_TOPICS = 100
#: What a token may be narrowed to: a name, the beginning of names, or all.
TOPIC = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\*?|\*")

#: What asks a reader to behave in another way than the plain one: it is not followed but refused.
_UNWELCOME = frozenset({"crit", "b64", "zip", "enc"})


@dataclass(frozen=True, slots=True)
class Parts:
    """A token that is well-formed; nothing of it is proven yet."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def key_id(self) -> str | None:
        """The name of the key that it says it was signed with."""
        name: str | None = self.header.get("kid")
        return name


def read_parts(token: str) -> Parts:
    """Take a token apart.

    Raises:
        TokenError: it is no signed token in the compact form (RFC 7515, section 7.1).
    """
    segments = token.split(".")
    if len(token) > LARGEST_TOKEN or len(segments) != _SEGMENTS or not all(segments):
        raise TokenError
    header, claims, _ = (decode_segment(segment) for segment in segments)
    parts = Parts(token, _read_object(header), _read_object(claims))
    name = parts.header.get("kid")
    if name is not None and not (isinstance(name, str) and len(name) <= _LONGEST_KEY_ID):
        raise TokenError
    if _UNWELCOME.intersection(parts.header):
        raise TokenError
    return parts


def read_principal(parts: Parts, issuer: Issuer, *, now: float) -> Principal:
    """Say who a token is about, once its signature was found right.

    Args:
        now: seconds since 1970.

    Raises:
        ExpiredTokenError: it was good once.
        TokenError: something in it does not hold.
        ForbiddenError: the issuer's entry denies its subject.
    """
    claims = parts.claims
    _check_type(parts.header.get("typ"), issuer)
    _check_audience(claims.get("aud"), issuer)
    _check_times(claims, issuer, now)
    token_id = claims.get("jti")
    if isinstance(token_id, str) and token_id in issuer.denied_token_ids:
        raise TokenError
    subject = _read_subject(claims.get("sub"), issuer)
    topics = _read_topics(_find(claims, issuer.topics_claim))
    if claims["sub"] in issuer.denied_subjects:
        raise ForbiddenError("This subject may do nothing here any more.", scope="")
    return Principal(subject, narrowed(_read_scopes(claims, issuer), topics), topics)


def expires_at(parts: Parts) -> float:
    """Return when a token that was found right ends to be, leeway included."""
    return float(parts.claims["exp"]) + LEEWAY


def _read_object(raw: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise TokenError from error
    if not isinstance(value, dict):
        raise TokenError
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name stands in it twice")
    return values


def _check_type(kind: Any, issuer: Issuer) -> None:
    if kind is None:
        return
    if not isinstance(kind, str):
        raise TokenError
    # "application/" may be left out (RFC 7515, section 4.1.9).
    known = {one.lower() for one in issuer.types}
    if kind.lower().removeprefix("application/") not in known:
        raise TokenError


def _check_audience(audience: Any, issuer: Issuer) -> None:
    named = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(one, str) and one in issuer.audience for one in named):
        raise TokenError


def _check_times(claims: Mapping[str, Any], issuer: Issuer, now: float) -> None:
    """RFC 7519, sections 4.1.4 to 4.1.6."""
    expires, issued = _read_time(claims.get("exp")), _read_time(claims.get("iat"))
    begins = _read_time(claims["nbf"]) if "nbf" in claims else issued
    if issued > now + LEEWAY or begins > now + LEEWAY:
        raise TokenError
    if expires - issued > issuer.max_age_seconds:
        raise TokenError
    if expires <= now - LEEWAY:
        raise ExpiredTokenError


def _read_time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TokenError
    try:
        seconds = float(value)
    except OverflowError as error:
        raise TokenError from error
    if not math.isfinite(seconds):
        raise TokenError
    return seconds


def _read_subject(value: Any, issuer: Issuer) -> str:
    if not isinstance(value, str) or not value:
        raise TokenError
    subject = f"{issuer.name}:{value}" if issuer.name else value
    # Controls and surrogates would break whatever writes the name: a log line, a row, a header.
    if len(subject) > _LONGEST_SUBJECT or any(
        unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} for one in subject
    ):
        raise TokenError
    return subject


def _read_scopes(claims: Mapping[str, Any], issuer: Issuer) -> set[Scope]:
    found = next(
        (value for name in issuer.scope_claims if (value := _find(claims, name)) is not None), ""
    )
    words = found.split(" ") if isinstance(found, str) else found
    if not isinstance(words, list):
        raise TokenError
    scopes: set[Scope] = set()
    for word in words:
        if isinstance(word, str):
            scopes.update(issuer.roles.get(word, ()))
            scopes.update(one for one in Scope if one == word)
    return scopes


def _read_topics(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    # A narrowing that is not understood must not widen: the token is refused.
    if not isinstance(value, list) or len(value) > _MOST_TOPICS:
        raise TokenError
    topics = tuple(one.lower() for one in value if isinstance(one, str))
    if len(topics) < len(value) or not all(TOPIC.fullmatch(one) for one in topics):
        raise TokenError
    return topics


def _find(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim by its name, or by the dots that lead into it: ``realm_access.roles``."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
