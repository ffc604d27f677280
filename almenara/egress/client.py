"""One pooled HTTP session for all plugins of a process, behind the guard.

The address is judged three times: in the URL, in what the name resolves to (one private answer
refuses the name), and at the socket that is about to connect, which nothing can get past.
"""

from __future__ import annotations

import asyncio
import json as json_
import socket
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from pydantic import SecretStr

from almenara import __version__
from almenara.egress.addresses import AddressRefusedError, Network, check_address
from almenara.egress.failures import describe
from almenara.egress.protocol import bound
from almenara.egress.resolver import SystemResolver
from almenara.egress.response import HttpResponse
from almenara.egress.target import Target, read_headers, read_target, refused
from almenara.errors import SendError, TemporaryError

#: How much of an answer is read; the rest is never taken off the wire.
MOST_BODY_BYTES = 65_536

_CONNECT_SECONDS = 5.0
_CONNECTIONS = 256
_CONNECTIONS_PER_HOST = 64


class Egress:
    """The HTTP client of one event loop: the pool of connections and the guard around it.

    The pool is made at the first request and closed with :meth:`close`, or at the latest when the
    event loop is shut down.

    Args:
        allow: networks that may be reached although they are not public.
        resolver: looks names up; the system's resolver when absent. Its answers are judged.
    """

    def __init__(
        self, allow: Sequence[str] = (), *, resolver: AbstractResolver | None = None
    ) -> None:
        self.allow = tuple(allow)
        self._networks: tuple[Network, ...] = tuple(ip_network(text) for text in self.allow)
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._loop: AbstractEventLoop | None = None
        self._closer: AsyncGenerator[None, None] | None = None

    def serves(self, loop: AbstractEventLoop) -> bool:
        """Tell whether this client belongs to the loop, or to none that is still there."""
        return self._loop is None or self._loop is loop or self._loop.is_closed()

    def bind(self, loop: AbstractEventLoop) -> None:
        """Keep this client for the loop, also before its first request."""
        self._loop = loop

    async def close(self) -> None:
        """Close every connection; requests under way end with a :class:`TemporaryError`."""
        closer, self._closer = self._closer, None
        if closer is not None:
            await closer.aclose()

    async def request(
        self,
        method: str,
        url: str | SecretStr,
        *,
        headers: Mapping[str, str | SecretStr] | None = None,
        json: Any = None,
        content: bytes | None = None,
        timeout_seconds: float = 20.0,
    ) -> HttpResponse:
        """Make one request; see :func:`request`."""
        target = read_target(url, self._networks)
        defaults = {"User-Agent": f"Almenara/{__version__}"}
        if json is not None:
            content = json_.dumps(json, separators=(",", ":")).encode()
            defaults["Content-Type"] = "application/json"
        sent_headers = read_headers(headers, defaults)
        sent_headers["Accept-Encoding"] = "identity"
        session = await self._opened()
        failure: SendError
        try:
            return await _exchange(
                session,
                target,
                method=method,
                headers=sent_headers,
                content=content,
                timeout_seconds=timeout_seconds,
            )
        except AddressRefusedError as error:
            failure = refused(target.origin, error)
        # RuntimeError: uvloop's for some failed connections, and that of a session just closed.
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            failure = TemporaryError(describe(error, target.origin, timeout_seconds))
        # Raised out here, so that the library's error, which holds the URL, is neither its cause
        # nor its context: whoever prints this error with its traceback prints no secret.
        raise failure

    async def _opened(self) -> aiohttp.ClientSession:
        """Return the session, made at the first call; it is bound to the loop of that call."""
        loop = asyncio.get_running_loop()
        if not self.serves(loop):
            raise RuntimeError("This Egress belongs to another event loop; make one for each.")
        if self._session is None or self._loop is not loop:
            self.bind(loop)
            self._session = self._new_session()
            self._closer = self._closing_with_the_loop(self._session)
            await anext(self._closer)
        return self._session

    async def _closing_with_the_loop(
        self, session: aiohttp.ClientSession
    ) -> AsyncGenerator[None, None]:
        """Close the session at the end of this generator, which the loop brings about at its own.

        A sync plugin may run a loop of its own for one request: nobody else would close that.
        """
        try:
            yield
        finally:
            self._session, self._loop = None, None
            await session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=_CONNECTIONS,
            limit_per_host=_CONNECTIONS_PER_HOST,
            resolver=_GuardedResolver(self._resolver or SystemResolver(), self._networks),
            socket_factory=self._guarded_socket,
        )
        bound(connector, asyncio.get_running_loop())
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    def _guarded_socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for a connection, after a last look at where it is going."""
        family, kind, protocol, _, address = address_info
        check_address(str(address[0]), self._networks)
        return socket.socket(family, kind, protocol)


class _GuardedResolver(AbstractResolver):
    """Looks names up in full or not at all: one answer that is not permitted refuses the name."""

    def __init__(self, resolver: AbstractResolver, allow: Sequence[Network]) -> None:
        self._resolver = resolver
        self._allow = allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answers = await self._resolver.resolve(host, port, family)
        for answer in answers:
            check_address(answer["host"], self._allow)
        return answers

    async def close(self) -> None:
        """Close nothing: the connector leaves a resolver that it was given to the giver."""


@dataclass
class _Process:
    """The clients of this process."""

    configured: Egress | None
    by_loop: WeakKeyDictionary[AbstractEventLoop, Egress]


_process = _Process(configured=None, by_loop=WeakKeyDictionary())


def configure(egress: Egress | None) -> None:
    """Make this the client of :func:`request` in the running loop; ``None`` takes it back.

    Outside a loop, it becomes the client of the first loop that makes a request.
    """
    with suppress(RuntimeError):
        loop = asyncio.get_running_loop()
        if egress is not None:
            egress.bind(loop)
    _process.configured = egress


def current() -> Egress:
    """Return the client for the running event loop.

    That is the configured one; in any other loop, one of that loop's own which permits the same
    networks, and public addresses only when none is configured.
    """
    loop = asyncio.get_running_loop()
    configured = _process.configured
    if configured is not None and configured.serves(loop):
        return configured
    allow = () if configured is None else configured.allow
    own = _process.by_loop.get(loop)
    if own is None or own.allow != allow:
        own = _process.by_loop[loop] = Egress(allow)
    return own


async def request(
    method: str,
    url: str | SecretStr,
    *,
    headers: Mapping[str, str | SecretStr] | None = None,
    json: Any = None,
    content: bytes | None = None,
    timeout_seconds: float = 20.0,
) -> HttpResponse:
    """Make one HTTP request and return the answer, whatever its status.

    Redirects are not followed, no cookie is kept, no proxy is taken from the environment, and no
    more than 64 KiB of the answer are read. Only public addresses are reached, and those that
    ``ALMENARA_EGRESS_ALLOW`` permits.

    Args:
        json: the body as something to write as JSON; ``content`` is ignored then.
        content: the body as it is.
        timeout_seconds: for the whole of it, from the look-up of the name to the end of the body.

    Raises:
        TemporaryError: there was no full answer. The text names scheme, host and port, no more.
        PermanentError: the URL or a header cannot be used, or the address is not permitted.
    """
    return await current().request(
        method, url, headers=headers, json=json, content=content, timeout_seconds=timeout_seconds
    )


async def _exchange(
    session: aiohttp.ClientSession,
    target: Target,
    *,
    method: str,
    headers: CIMultiDict[str],
    content: bytes | None,
    timeout_seconds: float,
) -> HttpResponse:
    async with session.request(
        method,
        target.url,
        headers=headers,
        data=content,
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(
            total=max(timeout_seconds, 0.001), sock_connect=_CONNECT_SECONDS
        ),
    ) as response:
        body = await _read_body(response)
        return HttpResponse(status=response.status, headers=response.headers, body=body)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read the body up to the limit; a connection with more to come is closed, not drained."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_BODY_BYTES:
            response.close()
            break
    return bytes(body[:MOST_BODY_BYTES])
