"""Verifies tokens that a third system issued, and says what they allow; issues none."""

from __future__ import annotations

from almenara.auth.authenticator import Authenticator, open_authenticator
from almenara.auth.principal import ANYBODY, Principal, Scope

__all__ = ["ANYBODY", "Authenticator", "Principal", "Scope", "open_authenticator"]
