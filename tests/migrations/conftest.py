"""Fixtures of the migration tests."""

from tests.databases import settings

__all__ = ["settings"]
