"""Fixtures of the contract tests."""

from tests.databases import client, settings

__all__ = ["client", "settings"]
