"""Bytes that are no request, or one that was damaged: answered with a refusal, or hung up on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from urllib.parse import urlsplit

from bench.fuzz.outcome import Outcome

_AT_ONCE = 16
_PATIENCE_SECONDS = 20
_BODY = b'{"channel": "log", "description": "noise"}'
_REQUESTS = (
    b"GET /v1/messages?limit=2&q=x HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
    b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY),
    b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY),
)


def noise(chance: random.Random) -> bytes:
    """Return bytes of no meaning, or a request in which some are changed, lost or repeated."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(1, 2_000))
    raw = bytearray(chance.choice(_REQUESTS))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(raw))
        match chance.randrange(4):
            case 0:
                raw[at] = chance.randrange(256)
            case 1:
                del raw[at : at + chance.randrange(1, 20)]
            case 2:
                raw[at:at] = chance.choice([b"\0", b"\r\n", b"\n", b" ", b":", b"\xff", b"a" * 999])
            case _:
                raw[at:at] = raw[at : at + chance.randrange(1, 40)]
        if not raw:
            break
    return bytes(raw)


async def fuzz_socket(url: str, *, cases: int, seed: int) -> Outcome:
    """Send noise, each on a connection of its own.

    Args:
        url: where the server is.
        cases: how many connections.
        seed: what the noise is drawn from.
    """
    outcome = Outcome("noise to the socket")
    chance = random.Random(seed)
    address = urlsplit(url)

    async def work() -> None:
        while outcome.cases < cases:
            outcome.cases += 1
            raw = noise(chance)
            said = await _said(address.hostname, address.port, raw)
            if said is None:
                outcome.note(f"{raw!r}: neither answered nor hung up on")
            elif re.search(rb"HTTP/1\.1 5\d\d (?!Not Implemented|HTTP Version)", said):
                outcome.note(f"{raw!r}: {said[:80]!r}")

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return outcome


async def _said(host: str | None, port: int | None, raw: bytes) -> bytes | None:
    """Return all that the server says before it hangs up; ``None``: it does not."""
    reader, writer = await asyncio.open_connection(host, port)
    said = b""
    with contextlib.suppress(OSError):
        writer.write(raw)
        await writer.drain()
        writer.write_eof()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while part := await reader.read(65_536):
                said += part
    except TimeoutError:
        return None
    except OSError:
        pass
    finally:
        writer.close()
    return said
