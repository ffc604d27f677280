"""Makes connections: look the name up, judge every address, connect, greet by TLS.

The address is judged three times: in the URL, in what the name resolves to (one private answer
refuses the name), and at the socket that is about to connect, which nothing can get past.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import cache, partial
from ipaddress import ip_address

from aiohappyeyeballs import start_connection

from almenara.egress.addresses import AddressRefusedError, Network, check_address
from almenara.egress.connection import Connection
from almenara.egress.failures import not_connected
from almenara.egress.resolver import AddressInfo, Resolver
from almenara.egress.target import Place
from almenara.egress.tls import usual_context

#: A connection must be made in so many seconds, its TLS included.
CONNECT_SECONDS = 5.0
#: The next address of a name is tried beside a silent one after so many seconds (RFC 8305).
_NEXT_ADDRESS_SECONDS = 0.25


class Dialer:
    """Makes connections to permitted addresses."""

    def __init__(self, resolver: Resolver, allow: Sequence[Network]) -> None:
        self._resolver = resolver
        self._allow = allow
        #: A name is looked up once at a time, however many connections wait for it.
        self._looking: dict[Place, asyncio.Task[list[AddressInfo]]] = {}

    async def dial(self, place: Place) -> Connection:
        """Connect.

        Raises:
            AddressRefusedError: an address of the name is not permitted.
            ExchangeError: no connection was made.
        """
        try:
            addresses = await self._addresses(place)
            context = place.tls or (await _tls() if place.secure else None)
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect(addresses, place, context)
        except AddressRefusedError:
            raise
        # RuntimeError: uvloop's for some failed connections.
        except (OSError, RuntimeError) as error:
            raise not_connected(error) from None

    def make_socket(self, address: AddressInfo) -> socket.socket:
        """Make the socket for a connection, after a last look at where it is going.

        Raises:
            AddressRefusedError: it may not.
        """
        family, kind, protocol, _, place = address
        check_address(str(place[0]), self._allow)
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    async def _addresses(self, place: Place) -> list[AddressInfo]:
        try:
            ip_address(place.host)
        except ValueError:
            addresses = await self._look_up(place)
        else:
            addresses = list(
                socket.getaddrinfo(
                    place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
                )
            )
        for *_, address in addresses:
            check_address(str(address[0]), self._allow)
        return addresses

    async def _look_up(self, place: Place) -> list[AddressInfo]:
        task = self._looking.get(place)
        if task is None:
            task = asyncio.create_task(self._resolver.resolve(place.host, place.port))
            self._looking[place] = task
            task.add_done_callback(partial(self._looked_up, place))
        # Others may wait for it too, and outlive this request.
        return await asyncio.shield(task)

    def _looked_up(self, place: Place, task: asyncio.Task[list[AddressInfo]]) -> None:
        del self._looking[place]
        if not task.cancelled():
            task.exception()  # nobody may be left to whom it would be told

    async def _connect(
        self, addresses: Sequence[AddressInfo], place: Place, context: ssl.SSLContext | None
    ) -> Connection:
        made = await start_connection(
            addresses,
            happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
            interleave=1,
            socket_factory=self.make_socket,
        )
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection,
            sock=made,
            ssl=context,
            server_hostname=place.host.removesuffix(".") if context else None,
        )
        return connection


async def _tls() -> ssl.SSLContext:
    """Return what TLS needs; reading the trusted certificates takes a while the first time."""
    return await asyncio.to_thread(_tls_context)


_tls_context = cache(usual_context)
