"""What a server uses that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench.fleet.cores import resident_bytes, used_seconds
from bench.speed.figure import Figure, Measured
from bench.speed.serving import NOWHERE, client_of, message_to, running
from bench.speed.size import Context

PROCESSOR = Figure("resting: of one processor", "", 0.5, "%", at_least=False)
MEMORY = Figure("resting: memory", "", 90.0, "MiB", at_least=False)

_MEBIBYTE = 1024 * 1024
#: By size: seconds until it rests, and of one look.
_SECONDS = {"test": (0.2, 0.5), "quick": (2.0, 10.0), "full": (5.0, 20.0), "long": (5.0, 20.0)}
_MESSAGES = 50


def measure(context: Context) -> Iterable[Measured]:
    """Let a server do a little of everything first, so that what it loads late is counted too."""
    settle, seconds = _SECONDS[context.size.name]
    with running(context.place("resting")) as server, client_of(server) as client:
        client.prepare(NOWHERE)
        client.prepare("noop", "Noop")
        for _ in range(_MESSAGES):
            client.ask("POST", "/v1/messages", message_to("noop"))
        client.wait_until_finished("noop")
        client.ask("GET", "/v1/messages")
        time.sleep(settle)
        before, began = used_seconds(server.pid), time.perf_counter()
        time.sleep(seconds)
        used = used_seconds(server.pid) - before
        share = used / (time.perf_counter() - began) * 100
        memory = resident_bytes(server.pid) / _MEBIBYTE
    yield Measured(PROCESSOR, values=[share], sides={}, remark=f"Over {seconds:g} s.")
    yield Measured(
        MEMORY,
        values=[memory],
        sides={},
        remark=f"Resident, after {_MESSAGES} messages were accepted, sent and listed.",
    )
