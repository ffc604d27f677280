"""Looks names up, each in a thread of its own.

The event loop has few threads for look-ups, and needs them to connect to addresses too: some names
whose server does not answer would hold up every connection of the process.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any, Protocol

#: One address as `getaddrinfo` gives it: family, kind, protocol, name, socket address.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
_Answers = list[AddressInfo]


class Resolver(Protocol):
    """Looks names up."""

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """Return the addresses of a name.

        Raises:
            OSError: it has none, or that cannot be found out.
        """
        ...


class SystemResolver:
    """The system's resolver; what hangs there holds up nobody, nor the end of the process."""

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
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
                        host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                    )
                )
            except OSError as error:
                failure = error
            except UnicodeError:
                failure = socket.gaierror(socket.EAI_NONAME, "no name that can be looked up")
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_settle, future, answers, failure)

        threading.Thread(target=look_up, name="almenara-look-up", daemon=True).start()
        return await future


def _settle(
    future: asyncio.Future[_Answers], answers: _Answers, failure: BaseException | None
) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(answers)
    else:
        future.set_exception(failure)
