"""Verifies tokens that a third system issued, and says what they allow; issues none."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from almenara.auth.principal import ANYBODY, Principal, Scope

if TYPE_CHECKING:
    from almenara.auth.authenticator import Authenticator, open_authenticator

__all__ = ["ANYBODY", "Authenticator", "Principal", "Scope", "open_authenticator"]

#: Looked up when they are used: the command line names scopes, and shall not wait for these.
_AUTHENTICATOR = frozenset({"Authenticator", "open_authenticator"})


def __getattr__(name: str) -> Any:
    if name not in _AUTHENTICATOR:
        raise AttributeError(f"module 'almenara.auth' has no attribute {name!r}")
    return getattr(import_module("almenara.auth.authenticator"), name)
