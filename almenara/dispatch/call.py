"""One call of a plugin under a deadline; nothing that it raises or does escapes from here.

An async method runs as a task, a sync one in a thread of its own that does not keep the process
alive. Work that the plugin adds to ``background_tasks`` runs afterwards, as part of the attempt.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from almenara.plugin import Message

if TYPE_CHECKING:
    from fastapi import BackgroundTasks

#: A task that was told to stop gets so long to do so, in seconds, before its result is recorded.
_STOPPING_SECONDS = 0.5

#: What asyncio says to a constructor that needs the event loop and runs in a thread.
_WANTS_LOOP = ("no running event loop", "no current event loop")


@dataclass(slots=True)
class Ended:
    """How a call ended."""

    #: What the plugin returned, if nothing went wrong.
    value: Any = None
    error: BaseException | None = None
    #: The deadline passed.
    timed_out: bool = False
    #: The process is stopping and waits no longer.
    abandoned: bool = False
    #: What still runs in spite of its deadline, and keeps its slot until it ends.
    lingering: asyncio.Future[Any] | None = None


@dataclass(slots=True)
class _Threads:
    """The threads of one call that still run."""

    running: set[asyncio.Future[Any]] = field(default_factory=set)

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        future = in_thread(function, *args, **kwargs)
        self.running.add(future)
        future.add_done_callback(self.running.discard)
        return await asyncio.shield(future)


@cache
def _background_tasks() -> type[BackgroundTasks]:
    """Import FastAPI, which a server starts without."""
    from fastapi import BackgroundTasks

    return BackgroundTasks


async def call_plugin(
    target: Any,
    build: Callable[[], Any],
    message: Message,
    *,
    timeout_seconds: float,
    abandon: asyncio.Future[None],
) -> Ended:
    """Let a plugin's instance send one message.

    Args:
        target: the instance; ``None``: it must be built first.
        build: makes the instance; it may block, and so runs in a thread.
        abandon: done when the process waits no longer for attempts under way.
    """

    async def send(built: Any, threads: _Threads) -> Any:
        return await _send(built, message, threads)

    if not _background_tasks.cache_info().currsize:
        # Before the deadline begins, and not on the event loop: the first call may take a second.
        await _unwrap(in_thread(_background_tasks))
    return await _within(target, build, send, timeout_seconds, abandon)


async def ask_plugin(
    build: Callable[[], Any],
    method: Callable[[Any], Any],
    *,
    timeout_seconds: float,
    abandon: asyncio.Future[None],
) -> Ended:
    """Let a plugin's instance do something else than send, as strictly guarded.

    Args:
        build: returns the instance, made if need be; it may block, and so runs in a thread.
        method: calls the instance, in a thread; what it returns is awaited if it can be.
        abandon: done when the process waits no longer.
    """

    async def ask(built: Any, threads: _Threads) -> Any:
        value = await _unwrap(threads.run(method, built))
        return await value if inspect.isawaitable(value) else value

    return await _within(None, build, ask, timeout_seconds, abandon)


async def _within(
    target: Any,
    build: Callable[[], Any],
    use: Callable[[Any, _Threads], Awaitable[Any]],
    timeout_seconds: float,
    abandon: asyncio.Future[None],
) -> Ended:
    threads = _Threads()
    task = asyncio.ensure_future(_guarded(target, build, use, threads))
    await _first_of(task, abandon, timeout_seconds)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait({task}, timeout=_STOPPING_SECONDS)
    still = [one for one in (task, *threads.running) if not one.done()]
    return Ended(
        timed_out=not abandon.done(),
        abandoned=abandon.done(),
        lingering=asyncio.gather(*still, return_exceptions=True) if still else None,
    )


async def _first_of(
    task: asyncio.Future[Any], abandon: asyncio.Future[None], timeout_seconds: float
) -> None:
    """Wait for one of the two, but no longer; `asyncio.wait` takes twice as long for it."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    task.add_done_callback(end)
    abandon.add_done_callback(end)
    deadline = loop.call_later(timeout_seconds, end)
    try:
        await over
    finally:
        deadline.cancel()
        task.remove_done_callback(end)
        abandon.remove_done_callback(end)


def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
    """Run a blocking function in a daemon thread: one that hangs cannot stop the process's end.

    Whatever it raises becomes the future's exception, ``SystemExit`` included.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def finish(value: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result((value, None))
        else:
            future.set_result((None, error))

    def work() -> None:
        value, error = None, None
        try:
            value = context.run(function, *args, **kwargs)
        except BaseException as raised:  # noqa: BLE001 - a plugin may raise anything
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, value, error)

    threading.Thread(target=work, name="almenara-plugin", daemon=True).start()
    return future


async def _guarded(
    target: Any,
    build: Callable[[], Any],
    use: Callable[[Any, _Threads], Awaitable[Any]],
    threads: _Threads,
) -> Ended:
    """Run the whole attempt; whatever is raised is returned, so that it never reaches the loop."""
    try:
        if target is None:
            target = await _build(build, threads)
        return Ended(value=await use(target, threads))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Ended(error=error)
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
        return Ended(error=error)


async def _build(build: Callable[[], Any], threads: _Threads) -> Any:
    try:
        return await _unwrap(threads.run(build))
    except Exception as error:
        if not any(words in str(error) for words in _WANTS_LOOP):
            raise
        # A constructor that opens a session wants the loop; one that blocks would rather not.
        return build()


async def _send(target: Any, message: Message, threads: _Threads) -> Any:
    background_tasks = _background_tasks()()
    if inspect.iscoroutinefunction(target.send_message):
        value = await target.send_message(message, background_tasks)
    else:
        value = await _unwrap(threads.run(target.send_message, message, background_tasks))
        if inspect.isawaitable(value):
            value = await value
    # Starlette's own loop would run sync work in a pool whose threads keep the process alive.
    for job in background_tasks.tasks:
        if job.is_async:
            await job.func(*job.args, **job.kwargs)
        else:
            await _unwrap(threads.run(job.func, *job.args, **job.kwargs))
    return value


async def _unwrap(pending: Any) -> Any:
    value, error = await pending
    if error is not None:
        raise error
    return value
