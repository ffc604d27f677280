"""A machine of its own, on which every address of the world leads to one sink: who gets there?

Run with a network and a mount namespace of its own (`unshare --net --mount`). The kernel takes
every address for a local one, so the sink hears whoever is let through; names come from a server
here, by the resolver of the system. Writes as JSON who reached what.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from itertools import count
from typing import Any

from fastapi import BackgroundTasks
from pydantic import SecretStr

from almenara.egress import Egress, configure
from almenara.errors import AlmenaraError
from tests.egress_table import ODD_FORMS, PERMITTED, REFUSED
from tests.plugins.shipped import a_message, load

PORT = 80
PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.1"
#: What each name leads to.
NAMES: dict[str, list[str]] = {
    "private.example": [PRIVATE],
    "loopback.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "six.example": ["fd00::1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "mixed.example": [PUBLIC, PRIVATE],
    "mixed-six.example": [PUBLIC, "::1"],
    "metadata.internal": ["169.254.169.254"],
    "alias.example": ["CNAME private.example"],
}
#: Names that a public address answers for.
PUBLIC_NAMES: dict[str, list[str]] = {
    "public.example": [PUBLIC],
    "public-six.example": ["2606:4700:4700::1111"],
    "public-alias.example": ["CNAME public.example"],
}
#: A name that leads elsewhere each time it is asked for.
REBINDING, TURNS = "rebinding.example", (PUBLIC, PRIVATE)


#: Every shipped channel that speaks HTTP, sending to an address.
CHANNELS: dict[str, Callable[[str], Any]] = {
    "Webhook": lambda url: _build("webhook", "Webhook", url=SecretStr(url)),
    "Slack": lambda url: _build("slack", "Slack", webhook_url=SecretStr(url)),
    "Slack bot": lambda url: _build(
        "slack", "Slack", bot_token=SecretStr("xoxb-1"), channel="C1", api_url=url
    ),
}


def _build(directory: str, name: str, **settings: Any) -> Any:
    plugin = getattr(load(directory, directory), name)
    return plugin(plugin.Settings(**settings))


def main() -> None:
    """Set the machine up, try every host with every channel, and write what came of it."""
    for command in (
        "ip link set lo up",
        "ip route add local 0.0.0.0/0 dev lo",
        "ip -6 route add local ::/0 dev lo",
    ):
        subprocess.run(command.split(), check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as resolv:
        resolv.write("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
        resolv.flush()
        subprocess.run(["mount", "--bind", resolv.name, "/etc/resolv.conf"], check=True)
        threading.Thread(target=serve_names, daemon=True).start()
        json.dump(asyncio.run(try_all()), sys.stdout)


class Sink:
    """Takes every connection, to whatever address, and redirects what asks for it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = ip_address(writer.get_extra_info("sockname")[0].partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        self.reached.append(str(mapped or address))
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            where = head.split()[1].partition(b"?to=")[2]
            lines = b"302 Found\r\nLocation: " + where if where else b"200 OK"
            writer.write(b"HTTP/1.1 " + lines + b"\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()


async def try_all() -> dict[str, Any]:
    """Send by every HTTP channel to every host of the tables."""
    sink = Sink()
    listener = socket.create_server(
        ("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512
    )
    async with await asyncio.start_server(sink.take, sock=listener):
        egress = Egress(())
        configure(egress)
        found: dict[str, Any] = {"refused": {}, "permitted": {}}
        for name, build in CHANNELS.items():

            async def send(host: str, path: str = "/x", build: Any = build) -> list[str]:
                sink.reached.clear()
                with suppress(AlmenaraError, ValueError):
                    sending = build(f"http://{host}{path}").send_message
                    await asyncio.wait_for(sending(a_message(), BackgroundTasks()), 20)
                return list(sink.reached)

            for host in [*REFUSED, *ODD_FORMS, *NAMES, "localhost", "a.localhost"]:
                found["refused"][f"{name} {host}"] = await send(_in_url(host))
            for host in [*REFUSED[:8], "localhost"]:
                where = f"/x?to=http://{_in_url(host)}/"
                found["refused"][f"{name} redirected to {host}"] = [
                    one for one in await send(PUBLIC, where) if one != PUBLIC
                ]
            for host in [*PERMITTED, *PUBLIC_NAMES]:
                found["permitted"][f"{name} {host}"] = await send(_in_url(host))
            reached = [one for _ in range(6) for one in await send(REBINDING)]
            found["permitted"][f"{name} rebinding"] = [one for one in reached if one == PUBLIC]
            found["refused"][f"{name} rebinding"] = [one for one in reached if one != PUBLIC]
        await egress.close()
    return found


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def serve_names() -> None:
    """Answer questions for addresses by RFC 1035, as a server without a cache does."""
    turns = count()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.53", 53))
        while True:
            question, asker = listening.recvfrom(512)
            listening.sendto(_answer(question, turns), asker)


def _answer(question: bytes, turns: count[int]) -> bytes:
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode())
        at += 1 + length
    (kind,) = struct.unpack_from("!H", question, at + 1)
    name = ".".join(labels).lower()
    records = list(_records(name, kind, turns))
    known = name == REBINDING or name in NAMES or name in PUBLIC_NAMES
    flags = 0x8180 if known else 0x8183
    head = question[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return head + question[12 : at + 5] + b"".join(records)


def _records(name: str, kind: int, turns: count[int]) -> Iterator[bytes]:
    """Give what a name has of a kind (1: A, 28: AAAA), following aliases as a resolver does."""
    values = NAMES.get(name) or PUBLIC_NAMES.get(name) or []
    if name == REBINDING and kind == 1:
        values = [TURNS[next(turns) % len(TURNS)]]
    for value in values:
        alias, _, target = value.partition(" ")
        if alias == "CNAME":
            yield _record(name, 5, _encoded(target))
            yield from _records(target, kind, turns)
        elif (ip_address(value).version == 6) is (kind == 28) and kind in {1, 28}:
            yield _record(name, kind, ip_address(value).packed)


def _record(name: str, kind: int, data: bytes) -> bytes:
    # No time to live: each question is asked anew.
    return _encoded(name) + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(one)]) + one.encode() for one in name.split(".")) + b"\0"


if __name__ == "__main__":
    main()
