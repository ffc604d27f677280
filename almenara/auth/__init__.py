"""Verifies tokens that a third system issued, and says what they allow; issues none."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from almenara.auth.principal import ANYBODY, Principal, Scope

if TYPE_CHECKING:
    from almenara.auth.authenticator import Authenticator
    from almenara.settings import Settings

__all__ = ["ANYBODY", "Authenticator", "Principal", "Scope", "open_authenticator"]


def open_authenticator(settings: Settings) -> Authenticator | None:
    """Return what verifies tokens; ``None`` where none are asked for, and nothing is imported then.

    Raises:
        ConfigurationError: an issuer or its key cannot be used.
    """
    if not settings.asks_for_tokens:
        return None
    from almenara.auth.authenticator import trusting

    return trusting(settings)


def __getattr__(name: str) -> Any:
    """Look a class up when it is used: the command line names scopes, and shall not wait for it."""
    if name != "Authenticator":
        raise AttributeError(f"module 'almenara.auth' has no attribute {name!r}")
    return getattr(import_module("almenara.auth.authenticator"), name)
