"""Delivered messages a second: accepted, sent over HTTP, and recorded, beside other ways.

One server of each way is loaded at 64 connections with so many messages; the clock runs from the
first request until the receiver has counted all of them and the last is recorded.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.fleet.programs import get, served
from bench.fleet.stage import SERVE, Receiver
from bench.processes import at_once, load, put
from bench.references.environment import APPRISE_PROCESSES, DATABASE_VARIABLE, HOOK_VARIABLE
from bench.speed.figure import Figure, Measured, compare, take_turns
from bench.speed.size import Context

_OURS = "Almenara, one process"
_NAIVE = "FastAPI and Tortoise with their defaults, sent by background tasks"
_APPRISE = "the library Apprise, sent in the request"
_COUNTED = "delivered/s"
_WHAT = "delivered/s over HTTP, stored and recorded (SQLite)"
_BODY = (
    '{"topic": "hook", "title": "A question", "description": "I need help with my plan", '
    '"data": {"plan": "large", "seats": 12}}'
)
_CONNECTIONS = 64
_PATIENCE_SECONDS = 300
#: So many times fewer are delivered by a side that is so much slower.
_NAIVE_LESS, _APPRISE_LESS = 20, 10
_SERVING = ("-m", "bench.references.serving")
#: A delivery in one of these is not recorded as sent yet.
_OPEN = ("pending", "sending")


@dataclass(frozen=True)
class Side:
    """A server that delivers.

    Args:
        count: so many in one round.
        file: its SQLite database; absent: it records nothing.
    """

    url: str
    receiver: Receiver
    count: int
    file: Path | None = None

    def deliver(self) -> float:
        """Deliver a round's messages, and return how many were delivered in a second.

        Raises:
            RuntimeError: not each was accepted, or each arrived once.
        """
        expected = self.receiver.count + self.count
        answer = load(f"{self.url}/v1/messages", _BODY, connections=_CONNECTIONS, count=self.count)
        if answer["statuses"] != {"202": self.count}:
            raise RuntimeError(f"not all was accepted: {answer['statuses']}")
        while self.receiver.count < expected or self._any_open():
            if time.time() - answer["began_at"] > _PATIENCE_SECONDS:
                raise RuntimeError(f"{self.receiver.count} arrived, and not {expected}")
            time.sleep(0.01)
        seconds = time.time() - answer["began_at"]
        if self.receiver.count != expected:
            raise RuntimeError(f"{self.receiver.count} arrived, and not {expected}")
        return self.count / seconds

    def check(self, rounds: int) -> None:
        """Look whether each delivery of all rounds was recorded as sent, with one attempt.

        Raises:
            RuntimeError: it was not.
        """
        if self.file is None:
            return
        with closing(sqlite3.connect(self.file)) as connection:
            recorded = [
                connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]
                for rows in ("delivery WHERE status = 'sent'", "attempt WHERE outcome = 'sent'")
            ]
        if recorded != [self.count * rounds] * 2:
            raise RuntimeError(f"sent, attempts: {recorded}, and not {self.count * rounds} each")

    def _any_open(self) -> bool:
        return self.file is not None and any(
            get(f"{self.url}/v1/deliveries?limit=1&status={status}")["data"] for status in _OPEN
        )


def measure(context: Context) -> Iterator[Measured]:
    """Measure over HTTP, on SQLite."""
    place, rounds = context.place("delivering"), context.size.rounds
    with ExitStack() as stack:
        arguments = ("-m", "bench.fleet.receiver", "0")
        receiver = Receiver(*stack.enter_context(served(arguments, output=place / "receiver.log")))
        fastest = _fastest(receiver)
        sides = _sides(context.size.deliveries, receiver, place, stack)
        for side in sides.values():
            side.deliver()
        turns = take_turns({name: side.deliver for name, side in sides.items()}, rounds=rounds)
    for side in sides.values():
        side.check(rounds + 1)
    remarks = {
        _NAIVE: f"The receiver alone takes {fastest:,.0f} requests a second; Almenara's channel "
        "may use all 64 sends of the process.",
        _APPRISE: f"Apprise runs in {APPRISE_PROCESSES} processes, as Apprise API does here by its "
        "own choice, and stores and records nothing.",
    }
    for name, reach in ((_NAIVE, 25.0), (_APPRISE, 12.0)):
        yield compare(
            Figure(_WHAT, name, reach), turns, _OURS, name, counted=_COUNTED, remark=remarks[name]
        )


def _fastest(receiver: Receiver) -> float:
    """Measure how many requests a second the receiver takes."""
    answer = load(f"{receiver.url}/hook", _BODY, connections=_CONNECTIONS, warm_up=0.1, seconds=0.5)
    return float(answer["rate"])


def _sides(count: int, receiver: Receiver, place: Path, stack: ExitStack) -> dict[str, Side]:
    hook = f"{receiver.url}/hook"

    def serving(name: str, arguments: Sequence[str], environ: Mapping[str, str]) -> str:
        output = place / f"{name}.log"
        return stack.enter_context(served(arguments, output=output, environ=environ))[0]

    def ours() -> str:
        url = serving(
            "almenara",
            SERVE,
            {
                "ALMENARA_DATA_DIR": str(place / "data"),
                "ALMENARA_PLUGINS_DIR": str(place / "plugins"),
                "ALMENARA_EGRESS_ALLOW": "127.0.0.0/8",
                "ALMENARA_LOG_FORMAT": "json",
            },
        )
        channel = {"plugin": "Webhook", "settings": {"url": hook}, "concurrency": 64}
        put(f"{url}/v1/channels/hook", channel)
        put(f"{url}/v1/topics/hook", {"channel": "hook"})
        return url

    file = place / "naive.sqlite3"
    naive = {HOOK_VARIABLE: hook, DATABASE_VARIABLE: f"sqlite://{file}"}
    processes = (*_SERVING, "apprise_behind", str(APPRISE_PROCESSES))
    urls = at_once(
        {
            _OURS: ours,
            _NAIVE: partial(serving, "naive", (*_SERVING, "naive"), naive),
            _APPRISE: partial(serving, "apprise", processes, {HOOK_VARIABLE: hook}),
        }
    )
    less = max(1, count // _NAIVE_LESS), max(1, count // _APPRISE_LESS)
    return {
        _OURS: Side(urls[_OURS], receiver, count, place / "data" / "almenara.sqlite3"),
        _NAIVE: Side(urls[_NAIVE], receiver, less[0], file),
        _APPRISE: Side(urls[_APPRISE], receiver, less[1]),
    }
