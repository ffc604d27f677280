"""Serves one reference by uvicorn, set up as Almenara sets it up: `python -m ... NAME [PROCESSES]`.

Once it serves, one line of JSON on standard error says where, as `almenara serve` does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib import import_module

import uvicorn
import uvloop


async def serve(name: str) -> None:
    """Serve the application `app` of one module beside this one, on any free port of loopback."""
    server = uvicorn.Server(_config(name))
    announcing = asyncio.create_task(_announce_started(server))
    await server.serve()
    await announcing


def serve_by_processes(name: str, count: int) -> None:
    """Serve it by so many processes, which share a port and end with this one's group."""
    config = _config(name)
    listener = config.bind_socket()
    listener.listen(config.backlog)
    for _ in range(count):
        # The application is loaded once, before, as gunicorn does when it is told to preload.
        if os.fork() == 0:
            uvloop.run(uvicorn.Server(config).serve(sockets=[listener]))
            os._exit(0)
    _announce(listener.getsockname()[1])
    os.wait()


def _config(name: str) -> uvicorn.Config:
    app = import_module(f"bench.references.{name}").app
    return uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False)


async def _announce_started(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by nothing else
        await asyncio.sleep(0.01)
    _announce(server.servers[0].sockets[0].getsockname()[1])


def _announce(port: int) -> None:
    line = {"event": "serving", "url": f"http://127.0.0.1:{port}"}
    print(json.dumps(line), file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        serve_by_processes(sys.argv[1], int(sys.argv[2]))
    else:
        uvloop.run(serve(sys.argv[1]))
