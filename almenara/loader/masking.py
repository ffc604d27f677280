"""Keeps secrets out of texts: which values are secret, and how they are replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from dotenv import dotenv_values
from pydantic import BaseModel, SecretBytes, SecretStr

MASK = "********"
#: Shorter values are left alone: they would blot out half of each text and are no secrets.
SHORTEST_SECRET = 4


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in a text, also where it stands quoted for a URL or escaped.

    The longest is replaced first, so that nothing remains of one that contains another.
    """
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    if not forms:
        return text
    longest_first = sorted(forms, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), MASK, text)


def long_enough(texts: Iterable[str]) -> frozenset[str]:
    """Return the values that are worth masking."""
    return frozenset(text for text in texts if len(text) >= SHORTEST_SECRET)


def env_file_values(env_file: Path | None) -> frozenset[str]:
    """Return every value of a ``.env`` that is worth masking; none when it cannot be read."""
    if env_file is None:
        return frozenset()
    try:
        values = dotenv_values(env_file, encoding="utf-8")
    except (OSError, ValueError):
        return frozenset()
    return long_enough(value for value in values.values() if value)


def secret_values(value: object) -> Iterator[str]:
    """Give the text of each ``SecretStr`` and ``SecretBytes`` in a value, at any depth."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode("utf-8", "replace")
    else:
        for part in _parts(value):
            yield from secret_values(part)


def written_values(value: object) -> Iterator[str]:
    """Give the text of everything in a value, secret or not: what an error must not repeat."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, (SecretStr, SecretBytes)):
        yield from secret_values(value)
    else:
        for part in _parts(value):
            yield from written_values(part)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, BaseModel):
        return list(value.__dict__.values())
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, (list, tuple, set, frozenset)) else ()


def _forms(secret: str) -> set[str]:
    """Return how a secret may stand in a text: plain, in a URL, in JSON, in a ``repr``."""
    plain = secret.encode("utf-8", "replace").decode()
    return {
        secret,
        quote(plain, safe=""),
        quote(plain),
        quote_plus(plain),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }
