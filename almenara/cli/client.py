"""The command line as a client of the running server: each request is made once, and bounded.

Where the server is stands in ``ALMENARA_URL``, the token in ``ALMENARA_TOKEN``. Neither a token nor
anything else that was sent is in the text of an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from almenara.client.address import path_to
from almenara.client.answers import Answer
from almenara.client.calling import Caller
from almenara.client.failures import (
    NoAnswerError,
    RefusedError,
    StrangeAnswerError,
    UnreachableError,
)
from almenara.client.steps import TIMEOUT_SECONDS, new_key

__all__ = [
    "Answer",
    "NoAnswerError",
    "RefusedError",
    "Server",
    "StrangeAnswerError",
    "UnreachableError",
    "connect",
    "new_key",
    "path_to",
]


class Server(Caller):
    """A running server, as commands ask it: what fails is told at once, not tried again."""

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        total_seconds: float = 0,
    ) -> None:
        # Most commands ask once: a connection that was kept would only have to be closed.
        super().__init__(
            url, timeout_seconds=timeout_seconds, total_seconds=total_seconds, keep=False
        )

    def get(self, path: str, **query: str | int | bool | None) -> Answer:
        """Read."""
        return self.call("GET", path, query=query)

    def post(
        self,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **query: str | int | bool | None,
    ) -> Answer:
        """Write."""
        return self.call("POST", path, body, query=query, headers=headers)


def connect(timeout_seconds: float = TIMEOUT_SECONDS, *, total_seconds: float = 0) -> Server:
    """Return the server that the environment names; nothing is sent yet.

    Args:
        total_seconds: how long requests are tried again; 0: not at all.

    Raises:
        ConfigurationError: ``ALMENARA_URL`` or ``ALMENARA_TOKEN`` cannot be used.
    """
    return Server(timeout_seconds=timeout_seconds, total_seconds=total_seconds)
