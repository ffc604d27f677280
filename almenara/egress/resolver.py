"""Looks names up, each in a thread of its own.

The event loop has few threads for look-ups, and needs them to connect to addresses too: some names
whose server does not answer would hold up every connection of the process.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

_Answers = list[tuple[Any, ...]]
_NUMBERS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class SystemResolver(AbstractResolver):
    """The system's resolver; what hangs there holds up nobody, nor the end of the process.

    The pool of connections looks a name up once at a time, so there are never more threads than
    different names.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look a name up.

        Raises:
            OSError: it has no address, or that cannot be found out.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Answers] = loop.create_future()

        def look_up() -> None:
            answers: _Answers = []
            failure: BaseException | None = None
            try:
                answers = list(
                    socket.getaddrinfo(
                        host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                    )
                )
            except OSError as error:
                failure = error
            except UnicodeError:
                failure = socket.gaierror(socket.EAI_NONAME, "no name that can be looked up")
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_settle, future, answers, failure)

        threading.Thread(target=look_up, name="almenara-look-up", daemon=True).start()
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=found_family,
                proto=protocol,
                flags=_NUMBERS,
            )
            for found_family, _, protocol, _, address in await future
        ]

    async def close(self) -> None:
        """Close nothing: a thread ends with its look-up."""


def _settle(
    future: asyncio.Future[_Answers], answers: _Answers, failure: BaseException | None
) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(answers)
    else:
        future.set_exception(failure)
