"""Accepted messages a second on SQLite: Almenara beside other ways to write the endpoint.

All sides of one table stand at once, each a process of its own, and take turns at 64 keep-alive
connections; a message goes to a topic without channels, so it is one row. At last the server is
killed while it accepts, and the rows on the disk are counted against its answers.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.fleet.programs import get
from bench.fleet.stage import SERVE
from bench.load import UNIQUE
from bench.processes import at_once, load, post, put, server
from bench.references.environment import DATABASE_VARIABLE
from bench.speed.figure import Figure, Measured, compare, take_turns
from bench.speed.size import Context, Size
from bench.speed.tokens import Issuer

OURS = "Almenara"
COUNTED = "accepted/s"
_CONNECTIONS = 64
_WHAT = "accepted/s, each synced to disk before its 202 (SQLite)"
_BARE = "parse the JSON and drop it, without a framework"
_BARE_DURABLE = "parse the JSON and store it, without a framework or a product"
_WITHOUT_STORAGE = "the same server, storing nothing"
_FASTAPI = "FastAPI that checks a message and drops it"
_NAIVE = "FastAPI and Tortoise with their defaults, an insert in each request"
INSERT = "FastAPI and Tortoise, an insert in each request, as durable"
_ALL = "Almenara: with a token, a key for each message and two channels"
_CHANNELS = ("first", "second")
#: The server is killed when it has accepted under load for so long.
_UNDER_WAY_SECONDS, _PATIENCE_SECONDS = 0.3, 30.0
_REFERENCES = "bench.references"
SERVING = f"{_REFERENCES}.serving"

#: What ours is held against on SQLite, beside what is promised.
_REACHES = {
    _BARE: 0.0,
    _BARE_DURABLE: 0.0,
    _WITHOUT_STORAGE: 0.6,
    _FASTAPI: 2.0,
    _NAIVE: 15.0,
    INSERT: 15.0,
}


@dataclass(frozen=True)
class Side:
    """A server that accepts."""

    url: str
    topic: str = "nowhere"
    headers: Mapping[str, str] = field(default_factory=dict)

    def load(self, *, warm_up: float, seconds: float) -> Any:
        """Send it messages for so long, and return what the generator tells."""
        return load(
            f"{self.url}/v1/messages",
            f'{{"topic": "{self.topic}", "description": "I need help with my plan"}}',
            connections=_CONNECTIONS,
            warm_up=warm_up,
            seconds=seconds,
            headers=self.headers,
        )


class Generated:
    """Lets sides be loaded, and remembers what the generator says besides the rate."""

    def __init__(self, size: Size) -> None:
        self._size = size
        #: Answers with 202, by the side.
        self.accepted: dict[str, int] = {}
        self._shares: list[float] = []

    def rate(self, name: str, side: Side) -> float:
        """Load a side once.

        Raises:
            RuntimeError: something was refused.
        """
        answer = side.load(warm_up=self._size.seconds / 4, seconds=self._size.seconds)
        if set(answer["statuses"]) != {"202"}:
            raise RuntimeError(f"not all was accepted ({name}): {answer['statuses']}")
        self.accepted[name] = self.accepted.get(name, 0) + answer["accepted_count"]
        self._shares.append(answer["processor_share"])
        return float(answer["rate"])

    @property
    def remark(self) -> str:
        """How busy the generator was at the most."""
        return f"The load generator used at most {max(self._shares):.0%} of one processor."


def measure(context: Context) -> Iterator[Measured]:
    """Measure on SQLite."""
    generated = Generated(context.size)
    place = context.place("almenara")
    with ExitStack() as stack:
        sides = _sides(context, place, stack)
        turns = take_turns(
            {name: partial(generated.rate, name, side) for name, side in sides.items()},
            rounds=context.size.rounds,
        )
        accepted = generated.accepted[OURS] + _killed_meanwhile(sides[OURS], stack)
    remarks = {
        _WITHOUT_STORAGE: _check_kept(place, accepted),
        _BARE: generated.remark,
        _BARE_DURABLE: _what_is_possible(turns),
    }
    for name, reach in _REACHES.items():
        figure, remark = Figure(_WHAT, name, reach), remarks.get(name, "")
        yield compare(figure, turns, OURS, name, counted=COUNTED, remark=remark)
    yield compare(
        Figure("accepted/s with a token, a key for each message and two channels", OURS, 0.6),
        turns,
        _ALL,
        OURS,
        counted=COUNTED,
        remark="A JWT signed by RS256, another Idempotency-Key in each request, and two deliveries "
        "for each message; the channels are paused, so that no sending is measured.",
    )


def _sides(context: Context, place: Path, stack: ExitStack) -> dict[str, Side]:
    """Start all that is held against each other, each in a directory of its own."""

    def serving(
        arguments: Sequence[str], place: Path, environ: Mapping[str, str] | None = None
    ) -> Side:
        return Side(stack.enter_context(server(arguments, place, environ)))

    def reference(name: str, place: Path) -> Side:
        environ = {DATABASE_VARIABLE: f"sqlite://{place}/naive.sqlite3"}
        return serving(("-m", SERVING, name), place, environ)

    def durable(place: Path) -> Side:
        return serving(("-m", SERVING, "bare_durable"), place)

    def without_storage(place: Path) -> Side:
        return prepared(serving(("-m", f"{_REFERENCES}.without_storage", *SERVE[2:]), place))

    def with_everything(place: Path) -> Side:
        issuer = Issuer()
        return _with_everything(serving(SERVE, place, issuer.settings).url, issuer)

    # The places first: threads would take the same number.
    return at_once(
        {
            OURS: lambda: prepared(serving(SERVE, place)),
            _BARE: partial(reference, "bare", context.place("bare")),
            _BARE_DURABLE: partial(durable, context.place("bare-durable")),
            _WITHOUT_STORAGE: partial(without_storage, context.place("without-storage")),
            _FASTAPI: partial(reference, "fastapi_drop", context.place("fastapi")),
            _NAIVE: partial(reference, "naive", context.place("naive")),
            INSERT: partial(reference, "insert_per_request", context.place("insert")),
            _ALL: partial(with_everything, context.place("everything")),
        }
    )


def prepared(side: Side) -> Side:
    """Make the topic that goes nowhere, and return the side."""
    put(f"{side.url}/v1/topics/{side.topic}", {"channels": []}, side.headers)
    return side


def _with_everything(url: str, issuer: Issuer) -> Side:
    """Let each message have a token, a key of its own, and two deliveries."""
    headers = {"Authorization": f"Bearer {issuer.token}"}
    for name in _CHANNELS:
        put(f"{url}/v1/channels/{name}", {"plugin": "Log"}, headers)
        post(f"{url}/v1/channels/{name}/pause", headers)
    put(f"{url}/v1/topics/both", {"channels": list(_CHANNELS)}, headers)
    return Side(url, "both", headers | {"Idempotency-Key": f"bench-{UNIQUE}"})


def _killed_meanwhile(side: Side, stack: ExitStack) -> int:
    """Kill the servers while one of them accepts, and return how many it has accepted by then."""
    messages = f"{side.url}/v1/messages?limit=1"
    newest = get(messages)["data"][0]["id"]
    with ThreadPoolExecutor(1) as pool:
        # It ends with its last connection.
        last = pool.submit(side.load, warm_up=0.0, seconds=_PATIENCE_SECONDS)
        while not last.done() and get(messages)["data"][0]["id"] == newest:
            time.sleep(0.02)
        time.sleep(_UNDER_WAY_SECONDS)
        stack.close()
        return int(last.result()["accepted_count"])


def _what_is_possible(turns: Mapping[str, Sequence[float]]) -> str:
    """Say what the least that stores comes to, beside what Almenara is held against."""
    most = statistics.median(turns[_BARE_DURABLE])
    held = {"that drops": _FASTAPI, "that inserts": INSERT}
    ratios = " and ".join(
        f"{most / statistics.median(turns[name]):.1f} times FastAPI {what}"
        for what, name in held.items()
    )
    return f"Nothing behind this server in Python could store much faster: it is {ratios}."


def _check_kept(place: Path, accepted: int) -> str:
    """Count the rows of a server that was killed against its answers; say how many there were.

    Raises:
        RuntimeError: some are missing.
    """
    with closing(sqlite3.connect(place / "data" / "almenara.sqlite3")) as connection:
        [stored] = connection.execute("SELECT count(*) FROM message").fetchone()
    if stored < accepted:
        raise RuntimeError(f"{accepted - stored} of {accepted} accepted messages are lost")
    return (
        f"Killed by SIGKILL while it accepted, with {accepted:,} answers given, it had "
        f"{stored:,} messages on the disk; none was lost."
    )
