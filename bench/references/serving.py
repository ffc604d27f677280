"""Serves one reference by uvicorn, set up as Almenara sets it up: `python -m ... NAME`.

Once it serves, one line of JSON on standard error says where, as `almenara serve` does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module

import uvicorn
import uvloop


async def serve(name: str) -> None:
    """Serve the application `app` of one module beside this one, on any free port of loopback."""
    app = import_module(f"bench.references.{name}").app
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False)
    )
    announcing = asyncio.create_task(_announce(server))
    await server.serve()
    await announcing


async def _announce(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by nothing else
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    line = {"event": "serving", "url": f"http://127.0.0.1:{port}"}
    print(json.dumps(line), file=sys.stderr, flush=True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
