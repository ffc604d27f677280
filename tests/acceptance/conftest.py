"""Fixtures of the acceptance tests."""

from tests.databases import client, settings

__all__ = ["client", "settings"]
