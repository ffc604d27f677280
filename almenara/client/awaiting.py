"""The asynchronous client: every operation as a method that is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from almenara.client import message_operations, set_up_operations
from almenara.client.address import read_address
from almenara.client.answers import Answer, read_answer, read_file
from almenara.client.pages import Pages
from almenara.client.steps import (
    TIMEOUT_SECONDS,
    TOTAL_SECONDS,
    Patience,
    Pause,
    Steps,
    Timed,
    trying,
)
from almenara.client.streams import Streams
from almenara.client.wire import Query, Request
from almenara.errors import AlmenaraError

if TYPE_CHECKING:
    from ssl import SSLContext

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


class AsyncCaller:
    """A running server, as ``almenara.client.Client`` has it, for an event loop.

    Args:
        url: its address, with the path that it is mounted at, if any; else ``ALMENARA_URL``, else
            ``http://127.0.0.1:8000``.
        token: shown to it with every request; else ``ALMENARA_TOKEN``; an empty one is none.
        timeout_seconds: how long one answer may take.
        total_seconds: how long all tries of one request may take; 0: it is tried once.
        context: whom to trust, and what to show; else whom the system trusts.

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
    ) -> None:
        self._address = read_address(url, token)
        self._patience = Patience(timeout_seconds, total_seconds)
        self._streams = Streams(self._address, context)

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._address.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._streams.close()

    async def call(
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
        answer: Answer = await self._ask(Request(method, path, query, body, headers, repeatable))
        return answer

    async def run(self, steps: Steps[T]) -> T:
        """Carry out an operation."""
        return await _drive(steps, self._ask)

    async def _ask(self, step: Request | Pause) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        return await _drive(trying(step, self._patience), self._try)

    async def _try(self, step: Timed | Pause) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        response = await self._streams.exchange(step.request, step.timeout_seconds)
        read = read_answer if step.request.take is None else read_file
        return read(self.url, response)


async def _drive(steps: Generator[S, Any, T], do: Callable[[S], Awaitable[Any]]) -> T:
    """Do each step, and tell the generator what came of it."""
    try:
        step = next(steps)
        while True:
            try:
                came = await do(step)
            except AlmenaraError as error:
                step = steps.throw(error)
            else:
                step = steps.send(came)
    except StopIteration as end:
        result: T = end.value
        return result


def _method(
    operation: Callable[P, Steps[T]],
) -> Callable[Concatenate[AsyncCaller, P], Coroutine[Any, Any, T]]:
    @wraps(operation)
    async def method(self: AsyncCaller, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(operation(*args, **kwargs))

    return method


def _listing(
    operation: Callable[P, Pages[T]],
) -> Callable[Concatenate[AsyncCaller, P], AsyncIterator[T]]:
    @wraps(operation)
    async def method(self: AsyncCaller, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        pages = operation(*args, **kwargs)
        while not pages.at_end:
            for one in await self.run(pages.step()):
                yield one

    return method


class AsyncClient(AsyncCaller):
    """A running server: ``async with AsyncClient("https://almenara.example.org") as client``.

    It belongs to one event loop. Lists are read by ``async for``. Each method raises what ``call``
    does.
    """

    send = _method(message_operations.send)
    send_many = _method(message_operations.send_many)
    send_webhook = _method(message_operations.send_webhook)
    explain = _method(message_operations.explain)
    explain_webhook = _method(message_operations.explain_webhook)
    message = _method(message_operations.message)
    messages = _listing(message_operations.messages)
    wait = _method(message_operations.wait)
    cancel = _method(message_operations.cancel)
    resend = _method(message_operations.resend)
    attachment = _method(message_operations.attachment)
    delivery = _method(message_operations.delivery)
    deliveries = _listing(message_operations.deliveries)
    cancel_delivery = _method(message_operations.cancel_delivery)
    release = _method(message_operations.release)
    resend_delivery = _method(message_operations.resend_delivery)

    topics = _method(set_up_operations.topics)
    topic = _method(set_up_operations.topic)
    create_topic = _method(set_up_operations.create_topic)
    put_topic = _method(set_up_operations.put_topic)
    change_topic = _method(set_up_operations.change_topic)
    delete_topic = _method(set_up_operations.delete_topic)
    channels = _method(set_up_operations.channels)
    channel = _method(set_up_operations.channel)
    create_channel = _method(set_up_operations.create_channel)
    put_channel = _method(set_up_operations.put_channel)
    change_channel = _method(set_up_operations.change_channel)
    delete_channel = _method(set_up_operations.delete_channel)
    pause_channel = _method(set_up_operations.pause_channel)
    resume_channel = _method(set_up_operations.resume_channel)
    test_channel = _method(set_up_operations.test_channel)
    verify_channel = _method(set_up_operations.verify_channel)
    plugins = _method(set_up_operations.plugins)
    audit = _listing(set_up_operations.audit)
    create_replay = _method(set_up_operations.create_replay)
    try_replay = _method(set_up_operations.try_replay)
    replays = _listing(set_up_operations.replays)
    replay = _method(set_up_operations.replay)
    cancel_replay = _method(set_up_operations.cancel_replay)
    workers = _method(set_up_operations.workers)
    stats = _method(set_up_operations.stats)
    readiness = _method(set_up_operations.readiness)
