"""Whether anything takes longer because the log is long.

Two databases are asked in turn, request by request, so that what else the machine does meets both.
What goes over HTTP is asked of two servers; a claim, a record and a purge are made on the opened
databases, by the operations that the server uses.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from almenara.database import Database, open_database
from almenara.deliveries import Outcome, Result, Status
from almenara.ledger import ClaimRequest, claim, record_results
from almenara.ledger.purge import BATCH_MESSAGES, find_old, purge_messages
from almenara.log import write_cursor
from almenara.settings import read_settings
from bench.speed.figure import Figure, Measured
from bench.speed.long_log import LongLog
from bench.speed.serving import (
    NOWHERE,
    Client,
    client_of,
    database_file,
    environ_of,
    message_to,
    running,
)
from bench.speed.size import Context

#: How many times as long it may take.
REACH = 1.5

_DEEP = 1_000
_LIMIT = 20
#: A short log: as many messages as a deep page and a search look at, and no more.
SHORT = _DEEP * _LIMIT
#: By size: how often each thing is asked in one alternation.
_ASKED = {"test": 3, "quick": 12, "full": 40, "long": 40}
_CHANNEL = "due"
#: Deliveries of one claim, and of one record.
_CLAIMED = 8
_BEFORE_ALL = UUID(int=0)


@dataclass
class Side:
    """One of the two databases, and what it keeps."""

    place: Path
    log: LongLog
    count: int = 0

    def fill(self, count: int) -> None:
        """Bring its log to so many messages."""
        self.log.fill(count)
        self.count = count

    @property
    def old_before(self) -> datetime:
        """What came before this moment is to be purged; it is half of the log."""
        return self.log.moment_of(self.count // 2)


#: How long one thing took, in milliseconds: a median for each alternation.
Medians = list[float]
#: Asks a server once, and returns how long it took, in seconds.
Asking = Callable[[Client, Side], float]
#: Works on an opened database so many times, and returns the seconds of each thing that it did.
Work = Callable[[Side, int], Coroutine[None, None, tuple[list[float], ...]]]


def measure(context: Context) -> Iterable[Measured]:
    """Measure with each of the long logs; the long one grows, the short one is made anew."""
    long = _side(context, "long", max(context.size.long_log))
    for count in sorted(context.size.long_log):
        long.fill(count)
        yield from _compare(context, long, min(SHORT, count))


def _side(context: Context, name: str, whole: int) -> Side:
    """Make a database with its tables, its topics and its channel, and an empty log."""
    place = context.place(f"growth-{name}")
    with running(place) as server, client_of(server) as client:
        client.prepare(NOWHERE)
        client.prepare(_CHANNEL, "Noop")
    return Side(place, LongLog(database_file(place), whole))


def _compare(context: Context, long: Side, short_count: int) -> Iterable[Measured]:
    """Compare a long log with none, and what needs rows with as many as it looks at."""
    short = _side(context, "short", short_count)
    turns = _Turns(context.size.rounds, _ASKED[context.size.name], (short, long))

    def row(what: str, pair: tuple[Medians, Medians]) -> Measured:
        beside = f"{short.count:,} messages" if short.count else "an empty log"
        figure = Figure(f"growth: {what}, {long.count:,} messages", beside, REACH, at_least=False)
        sides = {"long log": pair[1], "short log" if short.count else "empty log": pair[0]}
        ratios = [mine / other for other, mine in zip(*pair, strict=True)]
        return Measured(figure, ratios, sides, counted="ms, p50")

    with turns.served() as clients:
        yield row("accept", turns.asked_of(clients, _accept))
    for side in (short, long):
        side.log.add_due(_CHANNEL, _CLAIMED * (turns.count + 1))
    claims, records = turns.worked_on(_claim_and_record)
    yield row("claim", claims)
    yield row("record", records)
    short.fill(short_count)
    deep = short_count // _LIMIT
    with turns.served() as clients:
        yield row("list, page 1", turns.asked_of(clients, _list_from_the_start))
        yield row(f"list, page {deep:,}", turns.asked_of(clients, _listing(turns.sides, deep)))
        yield row("search", turns.asked_of(clients, _search))
    # Of the short log too there must be something old left for the last batch.
    batches = short.count // 2 // BATCH_MESSAGES - 1
    [purges] = turns.worked_on(_purge, at_most=batches // turns.rounds)
    yield row("purge", purges)


@dataclass(frozen=True)
class _Turns:
    """How often two sides are asked, in turn."""

    rounds: int
    asked: int
    sides: tuple[Side, Side]

    @property
    def count(self) -> int:
        """How often each side is asked in all."""
        return self.rounds * self.asked

    @contextmanager
    def served(self) -> Iterator[list[Client]]:
        """Run a server on each side."""
        with ExitStack() as stack:
            servers = [stack.enter_context(running(side.place)) for side in self.sides]
            yield [stack.enter_context(client_of(server)) for server in servers]

    def asked_of(self, clients: Sequence[Client], ask: Asking) -> tuple[Medians, Medians]:
        """Ask both servers in turn."""
        pairs = list(zip(clients, self.sides, strict=True))
        for pair in pairs:
            ask(*pair)
        taken = [[ask(*pair) for pair in pairs] for _ in range(self.count)]
        of_short, of_long = zip(*taken, strict=True)
        return _medians(of_short, self.asked), _medians(of_long, self.asked)

    def worked_on(self, work: Work, *, at_most: int | None = None) -> list[tuple[Medians, Medians]]:
        """Work on both databases in turn; return a pair for each thing that the work measures.

        Args:
            at_most: so often in one alternation, where it uses something up.
        """
        asked = self.asked if at_most is None else min(self.asked, at_most)
        # The first time, what it needs is read and compiled.
        of_sides = [[[] for _ in asyncio.run(work(side, 1))] for side in self.sides]
        for _ in range(self.rounds):
            for side, taken in zip(self.sides, of_sides, strict=True):
                for things, seconds in zip(taken, asyncio.run(work(side, asked)), strict=True):
                    things.extend(seconds)
        return [
            (_medians(one, asked), _medians(other, asked))
            for one, other in zip(*of_sides, strict=True)
        ]


def _medians(seconds: Sequence[float], asked: int) -> Medians:
    """Return the median of each alternation of so many, in milliseconds."""
    return [
        statistics.median(seconds[first : first + asked]) * 1000
        for first in range(0, len(seconds), asked)
    ]


def _accept(client: Client, side: Side) -> float:
    return client.timed("POST", "/v1/messages", message_to(NOWHERE))[0]


def _list_from_the_start(client: Client, side: Side) -> float:
    return client.timed("GET", f"/v1/messages?limit={_LIMIT}")[0]


def _search(client: Client, side: Side) -> float:
    # It stands nowhere: all that a search looks at is looked at.
    return client.timed("GET", f"/v1/messages?limit={_LIMIT}&q=nowhere-to-be-found")[0]


def _listing(sides: Sequence[Side], number: int) -> Asking:
    """Return what asks for a page of a number, by the cursor that the page before would give."""
    cursors = {
        side.place: write_cursor(UUID(side.log.last_before_page(number, _LIMIT))) for side in sides
    }

    def ask(client: Client, side: Side) -> float:
        path = f"/v1/messages?limit={_LIMIT}&cursor={cursors[side.place]}"
        took, page = client.timed("GET", path)
        if len(page["data"]) != _LIMIT:
            raise RuntimeError(f"page {number} has {len(page['data'])} rows")
        return took

    return ask


@asynccontextmanager
async def _opened(side: Side) -> AsyncIterator[Database]:
    """Open a database, as a server does; a process has one at a time."""
    database = await open_database(read_settings(environ_of(side.place)))
    try:
        yield database
    finally:
        await database.close()


async def _claim_and_record(side: Side, count: int) -> tuple[list[float], list[float]]:
    """Claim what is due, and record that it was sent."""
    async with _opened(side) as database:
        taken = [await _claim_once(database) for _ in range(count)]
    return [claimed for claimed, _ in taken], [recorded for _, recorded in taken]


async def _claim_once(database: Database) -> tuple[float, float]:
    """Return how long a claim took, and the record of its results, both committed, in seconds."""
    request = ClaimRequest([(_CHANNEL, _CLAIMED)], datetime.now(UTC))
    began = time.perf_counter()
    async with database.transaction() as transaction:
        [claimed] = await claim(transaction, [request])
    took = time.perf_counter() - began
    if len(claimed.claims) != _CLAIMED:
        raise RuntimeError(f"{len(claimed.claims)} of {_CLAIMED} deliveries were claimed")
    now = datetime.now(UTC)
    results = [Result(one, Outcome.SENT, now, Status.SENT) for one in claimed.claims]
    began = time.perf_counter()
    async with database.transaction() as transaction:
        await record_results(transaction, results)
    return took, time.perf_counter() - began


async def _purge(side: Side, count: int) -> tuple[list[float]]:
    """Find and delete what is oldest, a batch at a time."""
    async with _opened(side) as database:
        return ([await _purge_once(database, side) for _ in range(count)],)


async def _purge_once(database: Database, side: Side) -> float:
    """Return how long a batch took, in seconds."""
    before = side.old_before
    began = time.perf_counter()
    stretch = await find_old(database, before=before, after=_BEFORE_ALL)
    async with database.transaction() as transaction:
        count = await purge_messages(transaction, stretch.ids, before=before)
    if not count:
        raise RuntimeError("nothing was purged")
    return time.perf_counter() - began
