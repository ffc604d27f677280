"""What the server does with connections that clients keep."""

from __future__ import annotations

import asyncio
import http.client
from pathlib import Path
from urllib.parse import urlsplit

from tests.processes import ServerProcess

#: Longer than uvicorn keeps an idle connection unless told otherwise (5 s).
_IDLE_SECONDS = 5.5


async def test_a_connection_that_was_idle_takes_the_next_request(tmp_path: Path) -> None:
    """A server that hangs up first breaks the request that a client or a proxy just sends."""
    with ServerProcess(tmp_path) as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        connection.auto_open = 0
        connection.connect()
        for pause in (0, _IDLE_SECONDS):
            await asyncio.sleep(pause)
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()
