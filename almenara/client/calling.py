"""The synchronous client's engine: it drives an operation, and waits by blocking."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from almenara.client.address import read_address
from almenara.client.answers import Answer, read_answer, read_file
from almenara.client.sockets import Sockets
from almenara.client.steps import (
    TIMEOUT_SECONDS,
    TOTAL_SECONDS,
    Patience,
    Pause,
    Steps,
    Timed,
    trying,
)
from almenara.client.wire import Query, Request, Take
from almenara.errors import AlmenaraError

if TYPE_CHECKING:
    from ssl import SSLContext

T = TypeVar("T")


class Caller:
    """A running server, to which any request of its API can be made.

    Args:
        url: its address, with the path that it is mounted at, if any; else ``ALMENARA_URL``, else
            ``http://127.0.0.1:8000``.
        token: shown to it with every request; else ``ALMENARA_TOKEN``; an empty one is none.
        timeout_seconds: how long one answer may take.
        total_seconds: how long all tries of one request may take; 0: it is tried once.
        context: whom to trust, and what to show; else whom the system trusts.
        keep: whether a connection is kept for the next request.

    Raises:
        ConfigurationError: the address or the token cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        context: SSLContext | None = None,
        keep: bool = True,
    ) -> None:
        self._address = read_address(url, token)
        self._patience = Patience(timeout_seconds, total_seconds)
        self._sockets = Sockets(self._address, context, keep=keep)

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._address.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._sockets.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Answer:
        """Make any request and return the answer.

        Args:
            path: from the root, quoted: ``/v1/topics/sales``.
            repeatable: whether it may be sent again when nobody knows what became of it; left
                out: as its method.

        Raises:
            UnreachableError: there is no connection; nothing was done.
            NoAnswerError: it may have been done, or not.
            StrangeAnswerError: the answer is not Almenara's.
            RefusedError: it was not done, and why.
        """
        answer: Answer = self._ask(Request(method, path, query, body, headers, repeatable))
        return answer

    def download(self, path: str, take: Take) -> Mapping[str, str]:
        """Ask for a file by POST, hand over its pieces, and return the header in lower case.

        Args:
            take: called with a piece, and how many bytes there are in all.

        Raises:
            UnreachableError: there is no connection; nothing was done.
            NoAnswerError: the file did not come, or not to its end.
            StrangeAnswerError: the answer is not Almenara's.
            RefusedError: there is no file, and why.
        """
        header: Mapping[str, str] = self._ask(Request("POST", path, take=take))
        return header

    def run(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        return _drive(steps, self._ask)

    def _ask(self, step: Request | Pause) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return _drive(trying(step, self._patience), self._try)

    def _try(self, step: Timed | Pause) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        response = self._sockets.exchange(step.request, step.timeout_seconds)
        read = read_answer if step.request.take is None else read_file
        return read(self.url, response)


S = TypeVar("S")


def _drive(steps: Generator[S, Any, T], do: Callable[[S], Any]) -> T:
    """Do each step, and tell the generator what came of it."""
    try:
        step = next(steps)
        while True:
            try:
                came = do(step)
            except AlmenaraError as error:
                step = steps.throw(error)
            else:
                step = steps.send(came)
    except StopIteration as end:
        result: T = end.value
        return result
