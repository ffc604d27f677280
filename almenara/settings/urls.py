"""What the URLs in settings must be; what is wrong with one is said without repeating it."""

from __future__ import annotations

from urllib.parse import urlsplit


def check_keys_url(url: str) -> str:
    """Return the address of a key set, when nobody between can change what it answers.

    Raises:
        ValueError: it is no `https` URL, nor one of this machine's own.
    """
    return _check(
        url,
        example="https://id.example.org/jwks.json",
        why="whoever changes the keys makes the tokens",
    )


def check_issuer_url(url: str) -> str:
    """Return the address where people sign in, when a page can name it and nobody can listen.

    Raises:
        ValueError: it is no `https` URL, nor one of this machine's own.
    """
    if set(" \t\r\n;,'\"<>?#") & set(url) or not url.isascii():
        raise ValueError("is not a URL such as https://id.example.org")
    return _check(url, example="https://id.example.org", why="people sign in there")


def _check(url: str, *, example: str, why: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        usable = bool(host) and parts.port != 0 and parts.username is None
    except ValueError:
        usable = False
    if not usable or parts.scheme not in {"http", "https"}:
        raise ValueError(f"is not a URL such as {example}")
    if parts.scheme == "http" and host not in {"localhost", "127.0.0.1", "::1"}:
        raise ValueError(f"must begin with https://: {why}")
    return url


def has_port(url: str) -> bool:
    """Tell whether a URL can be read; what is wrong with it may be a piece of a password."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
