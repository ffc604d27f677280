"""Accepted messages per second on PostgreSQL: with the bell to workers, without, and broken.

Each is measured on a database of its own, with one channel behind the topic and nobody who sends:
the embedded queue is idle because the channel is paused; with a broker there is no worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.chaos.product import free_port
from bench.fleet.programs import served
from bench.fleet.stage import CHANNEL, SERVE, Stage
from bench.processes import load, post, put

#: By what is measured: what the address of the broker is.
WAYS = ("embedded, idle", "broker", "broker is down")

_BODY = '{"topic": "bench", "description": "I need help with my plan"}'
_CONNECTIONS = 64


@dataclass(frozen=True)
class Accepted:
    """How fast messages were accepted."""

    per_second: float
    p99_ms: float


def accept(stage: Stage, way: str, seconds: float) -> Accepted:
    """Measure one way.

    Raises:
        RuntimeError: something was refused.
    """
    with stage.receiver() as receiver, stage.place(receiver) as place:
        environ = dict(place.environ)
        if way == "broker":
            environ["ALMENARA_BROKER_URL"] = stage.broker_url
        elif way == "broker is down":
            environ["ALMENARA_BROKER_URL"] = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
        with served(SERVE, output=place.directory / "api.log", environ=environ) as (url, _):
            put(f"{url}/v1/topics/bench", {"channel": CHANNEL})
            if way == "embedded, idle":
                post(f"{url}/v1/channels/{CHANNEL}/pause")
            answer = load(
                f"{url}/v1/messages",
                _BODY,
                connections=_CONNECTIONS,
                warm_up=seconds / 3,
                seconds=seconds,
            )
    if set(answer["statuses"]) != {"202"}:
        raise RuntimeError(f"not all was accepted ({way}): {answer['statuses']}")
    return Accepted(answer["rate"], answer["p99_ms"])
