"""FI-12: destinations that refuse, hang, drip, flood and lie, mixed with healthy ones."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bench.chaos.figures import latencies, percentile
from bench.chaos.hostile_server import HostileServer
from bench.chaos.journal import read_lines
from bench.chaos.log_reader import read, stories
from bench.chaos.memory import Memory
from bench.chaos.messages import cancel, hand_in
from bench.chaos.preload import preload
from bench.chaos.product import Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

#: Messages for each destination. A thousand each, as the plan has it, is more than two cores can
#: make good figures of: they are attempts alike, and fifty show what one more would.
_EACH = {Size.PR: 2, Size.FULL: 50}
#: The deadline at destinations that keep an attempt for ever, in seconds, and at the others.
_SHORT = {Size.PR: 1.0, Size.FULL: 3.0}
_DEADLINE = 15.0
#: How long the healthy destination is alone, in seconds.
_ALONE = {Size.PR: 1.0, Size.FULL: 20.0}
_MOST_GROWTH_MIB = 64
_LONGEST_TEXT = 4096
#: A busy machine may end an attempt late; far more than this is no deadline at all, in seconds.
_GENEROUS = 10
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Kind:
    """A way to be bad, and what an attempt there must come to."""

    outcomes: tuple[str, ...]
    #: It keeps each attempt until its deadline.
    slow: bool = False
    #: Where it is, when the server of the bench does not play it.
    url: str | None = None
    #: How long the next attempt must be put off at least; ``None``: there is no next one.
    later: timedelta | None = None
    #: Its first answer may end all traffic with it.
    final: bool = False


_TEMPORARY = Kind(("temporary_error",))
_PERMANENT = Kind(("permanent_error",))
_SENT = Kind(("sent",))
_TIMEOUT = Kind(("timeout",), slow=True)

KINDS: dict[str, Kind] = {
    "refuse": _TEMPORARY,
    "backlog-full": _TIMEOUT,
    "never-read": _TIMEOUT,
    "silent": _TIMEOUT,
    "slow-header": _TIMEOUT,
    "slow-body": _TIMEOUT,
    # What follows the first 64 KiB of a body is nobody's business: 2xx is taken.
    "endless-body": _SENT,
    "gzip-bomb": _SENT,
    # Where the garbage comes in one piece with the answer, the answer cannot be told from it.
    "garbage-after": Kind(("sent", "temporary_error")),
    "hints-for-ever": _TEMPORARY,
    "endless-header": _TEMPORARY,
    "many-headers": _TEMPORARY,
    "no-http": _TEMPORARY,
    "bad-chunks": _TEMPORARY,
    "reset": _TEMPORARY,
    "too-short": _TEMPORARY,
    "negative-length": _TEMPORARY,
    "redirect": _PERMANENT,
    "gone": Kind(("permanent_error",), final=True),
    "metadata": Kind(("permanent_error",), url="http://169.254.169.254/latest/meta-data/"),
    "later-0": Kind(("rate_limited",), later=timedelta(0)),
    "later-negative": Kind(("rate_limited",), later=timedelta(0)),
    "later-1e9": Kind(("rate_limited",), later=timedelta(0)),
    "later-1000000000": Kind(("rate_limited",), later=_DAY),
    "later-date": Kind(("rate_limited",), later=_DAY),
    "tls-good": _SENT,
    "tls-expired": _TEMPORARY,
    "tls-wrong-name": _TEMPORARY,
    "tls-self-signed": _TEMPORARY,
    # Look-ups that hang must not hold up those of others, such as the four above.
    **{
        f"slow-name-{number}": Kind(
            ("timeout", "temporary_error"), slow=True, url=f"http://name-{number}.slow.invalid/"
        )
        for number in range(8)
    },
    # How long a resolver takes to say no is this machine's affair.
    "no-such-name": Kind(("temporary_error", "timeout"), url="http://no-such-host.invalid/"),
}


async def hostile_destinations(stage: Stage, size: Size) -> Row:
    """Send to forty destinations that refuse, hang, flood and lie, beside a healthy one."""
    server = HostileServer(stage.directory)
    stage.exits.callback(server.close)
    trust = {"SSL_CERT_FILE": str(server.authority)}
    product = stage.product(environ=trust | preload("resolver.c", stage.directory))
    await product.start()
    await stage.furnish(product)
    await _furnish(stage, product, server, _SHORT[size])
    each = _EACH[size]
    client = stage.client(product, senders=2, pause_seconds=0.1)
    async with client.sending():
        await client.accepts(20)
        began = time.monotonic()
        await asyncio.sleep(_ALONE[size])
        memory, split = Memory(product.pid), time.monotonic()
        names = [name for _ in range(each) for name in KINDS]
        stage.journal.write("hostile", pid=product.pid, messages=len(names))
        await hand_in(product.url, names)
        ended = await _tried(stage, product, len(names))
        growth = memory.growth_mib()
    messages = [one async for one in stories(product.url) if one["topic"] in KINDS]
    failures = [*_missing(messages, each), *_misjudged(messages)]
    await cancel(product.url, [one for one in messages if one["status"] == "queued"])
    verdict = await stage.verdict(product, topic="chaos")
    ledger, sink = (read_lines(stage.directory / f"{name}.jsonl") for name in ("ledger", "sink"))
    waits = latencies(ledger, sink)
    alone = [wait for at, wait in waits if began <= at < split]
    beside = [wait for at, wait in waits if split <= at < ended]
    overruns = [_overrun(one, _SHORT[size]) for one in messages]
    longest = max((len(text.encode()) for one in messages for text in _texts(one)), default=0)
    row = Row.of(
        verdict,
        scenario="hostile",
        faults=f"{each} messages to each of {len(KINDS)} bad destinations",
        fault_count=len(names),
    )
    row.worst_recovery_seconds = None
    row.failures += failures
    row.figures |= {
        "healthy_deliveries_beside": len(beside),
        "healthy_p95_alone_ms": percentile(alone, 95),
        "healthy_p95_beside_ms": percentile(beside, 95),
        "worst_overrun_of_a_deadline_seconds": round(max(overruns), 2),
        "attempts_more_than_1_s_over": sum(one > 1 for one in overruns),
        "memory_growth_mib": growth,
        "longest_stored_text_bytes": longest,
        "outcomes": dict(Counter(one for message in messages for one in _outcomes(message))),
    }
    if growth > _MOST_GROWTH_MIB:
        row.failures.append(f"the server grew by {growth} MiB")
    if longest > _LONGEST_TEXT:
        row.failures.append(f"a text of {longest} bytes was stored")
    if max(overruns) > _GENEROUS:
        row.failures.append(f"an attempt ended {max(overruns):.0f} s after its deadline")
    return row


async def _furnish(stage: Stage, product: Product, server: HostileServer, short: float) -> None:
    """Give each destination a channel of its own and a topic, both of its name.

    No run of failures pauses a channel: every message is to meet its destination.
    """
    known = await read(f"{product.url}/v1/channels/sink")
    tireless = {"breaker_failures": 0} if "breaker_failures" in known else {}
    for name, kind in KINDS.items():
        channel = {
            "plugin": "Webhook",
            "settings": {"url": kind.url or server.urls[name]},
            "timeout_seconds": short if kind.slow else _DEADLINE,
            "retry_schedule": [] if kind.later is None else ["1s"],
            **tireless,
        }
        await stage.put(product, f"/v1/channels/{name}", channel)
        await stage.put(product, f"/v1/topics/{name}", {"channel": name})


async def _tried(stage: Stage, product: Product, count: int) -> float:
    """Wait until each of the messages was tried and nothing is under way; return when."""
    while True:
        messages = [one async for one in stories(product.url) if one["topic"] in KINDS]
        tried = {one["topic"] for one in messages if _outcomes(one)}
        done = sum(_is_done(one, tried) for one in messages)
        stage.say(f"{done} of {count} tried")
        if done >= count:
            return time.monotonic()
        await asyncio.sleep(0.5)


def _is_done(message: dict[str, Any], tried: Collection[str]) -> bool:
    """Tell whether it has come to its end, or waits for longer than the schedule has it.

    Args:
        tried: the destinations that were tried.
    """
    kind, [delivery] = KINDS[message["topic"]], message["deliveries"]
    if (kind.later and delivery["attempts"]) or (kind.final and message["topic"] in tried):
        return True
    return delivery["status"] in {"sent", "failed", "cancelled", "held"}


def _missing(messages: Sequence[dict[str, Any]], each: int) -> Iterable[str]:
    counts = Counter(one["topic"] for one in messages)
    return [
        f"{name}: {counts[name]} messages are stored instead of {each}"
        for name in KINDS
        if counts[name] != each
    ]


def _misjudged(messages: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Say what came to something else than it must."""
    wrong: Counter[str] = Counter()
    for message in messages:
        name, [delivery] = message["topic"], message["deliveries"]
        kind = KINDS[name]
        for outcome in set(_outcomes(message)) - set(kind.outcomes):
            errors = [one["error"] for one in delivery["attempts"] if one["outcome"] == outcome]
            wrong[f"{name} came to {outcome} ({errors[0]})"] += 1
        if not kind.final and delivery["status"] != _status(kind, _outcomes(message)):
            wrong[f"{name} is {delivery['status']} after {_outcomes(message)}"] += 1
        if kind.later and not _put_off(delivery, kind.later):
            wrong[f"{name} is due at {delivery['due_at']}"] += 1
    return [f"{sentence}, {count} times" for sentence, count in wrong.items()]


def _status(kind: Kind, outcomes: Sequence[str]) -> str:
    """Say what a delivery must come to by these attempts."""
    if kind.later:
        return "pending"
    return "sent" if "sent" in outcomes else "failed"


def _put_off(delivery: dict[str, Any], later: timedelta) -> bool:
    """Tell whether the next attempt is put off as long as the service asks, and a day at most."""
    ended = max(datetime.fromisoformat(one["finished_at"]) for one in delivery["attempts"])
    wait = datetime.fromisoformat(delivery["due_at"]) - ended
    return later <= wait <= _DAY


def _overrun(message: dict[str, Any], short: float) -> float:
    """Return by how much the attempts of a message passed their deadline at the most."""
    deadline = short if KINDS[message["topic"]].slow else _DEADLINE
    [delivery] = message["deliveries"]
    return max((one["duration_ms"] / 1000 - deadline for one in delivery["attempts"]), default=0)


def _outcomes(message: dict[str, Any]) -> list[str]:
    return [one["outcome"] for delivery in message["deliveries"] for one in delivery["attempts"]]


def _texts(message: dict[str, Any]) -> Iterable[str]:
    for delivery in message["deliveries"]:
        for attempt in delivery["attempts"]:
            for name in ("error", "reference", "detail"):
                yield attempt[name] or ""
