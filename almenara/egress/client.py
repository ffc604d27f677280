"""One pooled HTTP/1.1 client for all plugins of a process, behind the guard."""

from __future__ import annotations

import asyncio
import json as json_
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import SecretStr

from almenara import __version__
from almenara.egress.addresses import AddressRefusedError, Network
from almenara.egress.dialing import Dialer
from almenara.egress.failures import BROKEN_OFF, NO_ANSWER_IN_TIME, ExchangeError
from almenara.egress.pool import Pool
from almenara.egress.resolver import Resolver, SystemResolver
from almenara.egress.response import HttpResponse
from almenara.egress.target import Place, Target, check_method, read_target, refused, write_headers
from almenara.egress.tls import ClientTls
from almenara.errors import PermanentError, SendError, TemporaryError

_DEFAULTS = {
    "User-Agent": f"Almenara/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
#: To these nobody is told that there is no body.
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})
#: Made twice, they do what they do once (RFC 9110, section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})


class Egress:
    """The HTTP client of one event loop: the pool of connections and the guard around it.

    The pool is made at the first request and closed with :meth:`close`, or at the latest when the
    event loop is shut down.

    Args:
        allow: networks that may be reached although they are not public.
        resolver: looks names up; the system's resolver when absent. Its answers are judged.
    """

    def __init__(self, allow: Sequence[str] = (), *, resolver: Resolver | None = None) -> None:
        self.allow = tuple(allow)
        self._networks: tuple[Network, ...] = tuple(ip_network(text) for text in self.allow)
        self._resolver = resolver
        self._pool: Pool | None = None
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
        tls: ClientTls | None = None,
    ) -> HttpResponse:
        """Make one request; see :func:`request`."""
        target = read_target(url, self._networks)
        place = _place(target, tls)
        defaults = dict(_DEFAULTS)
        if json is not None:
            content = json_.dumps(json, separators=(",", ":")).encode()
            defaults["Content-Type"] = "application/json"
        method = check_method(method)
        lines = write_headers(headers, defaults)
        if content is not None or method not in _WITHOUT_BODY:
            lines += f"\r\nContent-Length: {len(content or b'')}"
        wire = f"{method} {target.head}{lines}\r\n\r\n".encode() + (content or b"")
        pool = await self._opened()
        failure: SendError
        try:
            async with asyncio.timeout(max(timeout_seconds, 0.001)):
                return await _exchange(pool, place, method, wire)
        except AddressRefusedError as error:
            failure = refused(target.origin, error)
        except ExchangeError as error:
            failure = TemporaryError(error.describe(target.origin, timeout_seconds))
        except TimeoutError:
            late = ExchangeError(NO_ANSWER_IN_TIME)
            failure = TemporaryError(late.describe(target.origin, timeout_seconds))
        # Raised out here, so that no other error is its cause or its context: whoever prints it
        # with its traceback prints no secret.
        raise failure

    async def _opened(self) -> Pool:
        """Return the pool, made at the first call; it is bound to the loop of that call."""
        loop = asyncio.get_running_loop()
        if self._pool is not None and self._loop is loop:
            return self._pool
        if not self.serves(loop):
            raise RuntimeError("This Egress belongs to another event loop; make one for each.")
        self.bind(loop)
        self._pool = Pool(Dialer(self._resolver or SystemResolver(), self._networks).dial)
        self._closer = self._closing_with_the_loop(self._pool)
        await anext(self._closer)
        return self._pool

    async def _closing_with_the_loop(self, pool: Pool) -> AsyncGenerator[None, None]:
        """Close the pool at the end of this generator, which the loop brings about at its own.

        A sync plugin may run a loop of its own for one request: nobody else would close that.
        """
        try:
            yield
        finally:
            self._pool, self._loop = None, None
            pool.close()


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
    tls: ClientTls | None = None,
) -> HttpResponse:
    """Make one HTTP request and return the answer, whatever its status.

    Redirects are not followed, no cookie is kept, no proxy is taken from the environment, and no
    more than 64 KiB of the answer are read. Only public addresses are reached, and those that
    ``ALMENARA_EGRESS_ALLOW`` permits.

    Args:
        json: the body as something to write as JSON; ``content`` is ignored then.
        content: the body as it is.
        timeout_seconds: for the whole of it, from the look-up of the name to the end of the body.
        tls: the client certificate to present, and whom to trust; absent: none, and the usual.

    Raises:
        TemporaryError: there was no full answer. The text names scheme, host and port, no more.
        PermanentError: the URL or a header cannot be used, or the address is not permitted.
    """
    return await current().request(
        method,
        url,
        headers=headers,
        json=json,
        content=content,
        timeout_seconds=timeout_seconds,
        tls=tls,
    )


def _place(target: Target, tls: ClientTls | None) -> Place:
    if tls is None:
        return target.place
    if not target.place.secure:
        raise PermanentError(f"{target.origin} has no TLS: write the URL with https.")
    return target.place._replace(tls=tls.context)


async def _exchange(pool: Pool, place: Place, method: str, wire: bytes) -> HttpResponse:
    borrowed = await pool.borrow(place)
    while True:
        try:
            return await borrowed.connection.exchange(method, wire)
        except ExchangeError as error:
            # The server had just hung up on an idle connection.
            stale = borrowed.used_before and error.sentence == BROKEN_OFF
            if not stale or method not in _IDEMPOTENT:
                raise
        except BaseException:
            borrowed.connection.close()
            raise
        finally:
            pool.give_back(place, borrowed.connection)
        borrowed = await pool.borrow(place, new=True)
