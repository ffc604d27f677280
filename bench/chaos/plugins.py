"""FI-14: plugins that raise, hang, leak, lie and kill their process, beside healthy deliveries."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.chaos.bad_plugins import broken_directories, write_plugins
from bench.chaos.client import Client
from bench.chaos.figures import latencies, percentile
from bench.chaos.journal import read_lines
from bench.chaos.log_reader import read, stories
from bench.chaos.memory import Memory
from bench.chaos.messages import hand_in
from bench.chaos.product import ROOT, Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage
from bench.chaos.supervisor import Supervisor

#: What their deliveries must come to: the outcomes of their attempts.
_FAILS = ("temporary_error",)
_SENT = ("sent",)
#: The deadline may be seen to have passed, or the call to have ended first.
_LATE = ("timeout", "sent")
_UNHARMFUL: dict[str, tuple[str, ...]] = {
    "Raises": _FAILS,
    "RaisesAll": _FAILS,
    "RaisesUnprintable": _FAILS,
    "Exits": _FAILS,
    "HoldsTheLock": _LATE,
    "Spins": _LATE,
    "BlocksTheLoop": _LATE,
    "Oversleeps": ("timeout",),
    "Leaks": _SENT,
    "LogsMuch": _SENT,
    "PrintsMuch": _SENT,
    "ChangesDirectory": _SENT,
    "ChangesSignals": _SENT,
    "ReturnsAnything": _SENT,
    "ReturnsMuch": _SENT,
    # Whether it may be waited for is asked before it is known to be an answer.
    "ReturnsALiar": ("sent", "temporary_error"),
    "ReturnsABadReceipt": _SENT,
}
#: These end the process; a delivery that did so three times is held.
_KILLERS = {
    Size.PR: ("ExitsAtOnce", "Segfaults"),
    Size.FULL: ("ExitsAtOnce", "Segfaults", "HangsForEver", "ClosesFiles"),
}
_DEATHS_UNTIL_HELD = 3
#: A server that says nothing for so long is killed, in seconds.
_PATIENCE = 12
#: The deadline of those that hold on, and of the others, in seconds.
_SHORT, _DEADLINE = 1.0, 15.0
#: How long one is waited for that was asked to end, though a plugin changed its signals.
_ENDING = 3


@dataclass(frozen=True)
class _Amount:
    #: How long those hold on that do, in seconds.
    hold_seconds: int
    leak_bytes: int
    line: int
    #: Healthy messages that must be accepted beside the harm, in each of two phases.
    healthy: int


_AMOUNTS = {
    Size.PR: _Amount(2, 20_000_000, 2_000_000, 30),
    Size.FULL: _Amount(5, 200_000_000, 100_000_000, 1_000),
}


async def bad_plugins(stage: Stage, size: Size) -> Row:
    """Send through plugins that harm their process in twenty ways, beside healthy deliveries."""
    amount, killers = _AMOUNTS[size], _KILLERS[size]
    # Relative, as they are unless told otherwise: a plugin that changes directory must not matter.
    place = os.path.relpath(stage.directory / "product", ROOT)  # noqa: ASYNC240 - names alone
    product = stage.product(
        environ={
            "ALMENARA_DATA_DIR": f"{place}/data",
            "ALMENARA_PLUGINS_DIR": f"{place}/plugins",
        }
    )
    write_plugins(
        product.directory / "plugins",
        hold_seconds=amount.hold_seconds,
        leak_bytes=amount.leak_bytes,
        line=amount.line,
    )
    await product.start()
    failures = await _unlisted(product)
    await stage.furnish(product)
    for name in (*_UNHARMFUL, *killers):
        await _furnish(stage, product, name)
    client = stage.client(product, senders=2, pause_seconds=0.05)
    supervisor = Supervisor(product, patience_seconds=_PATIENCE)
    async with client.sending():
        await client.accepts(20)
        memory = Memory(product.pid)
        async with supervisor.watching():
            await _do_harm(stage, product, client, list(_UNHARMFUL), amount)
            growth = memory.growth_mib()
        written = product.output.stat().st_size / 2**20
        os.truncate(product.output, 0)
        obeys = await _obeys(product)
        await product.start()
        survived, deaths = supervisor.deaths + supervisor.hangs, 0
        async with supervisor.watching():
            await _do_harm(stage, product, client, list(killers), amount)
            deaths = supervisor.deaths + supervisor.hangs - survived
    named = "segfaults/bad.py" in product.output.read_text(errors="replace")
    verdict = await stage.verdict(product, topic="chaos")
    messages = [one async for one in stories(product.url) if one["topic"] != "chaos"]
    row = Row.of(
        verdict,
        scenario="plugins",
        faults=f"{len(_UNHARMFUL) + len(killers)} bad plugins, {len(broken_directories())} broken",
        fault_count=len(_UNHARMFUL) + len(killers),
    )
    ledger, sink = (read_lines(stage.directory / f"{name}.jsonl") for name in ("ledger", "sink"))
    row.failures += failures + _misjudged(messages, killers)
    product.kill()
    row.failures += await asyncio.to_thread(_damage, product.database_file)
    if not named:
        row.failures.append("the log does not say which plugin crashed the server")
    row.figures |= {
        "unexpected_deaths": survived,
        "deaths_by_plugins": deaths,
        "of_these_killed_for_silence": supervisor.hangs,
        "memory_growth_mib": growth,
        "log_written_mib": round(written, 1),
        "ended_by_sigterm_after_signals_were_changed": obeys,
        "healthy_p95_ms": percentile([wait for _, wait in latencies(ledger, sink)], 95),
        "outcomes": {one["topic"]: "/".join(sorted(set(_outcomes(one)))) for one in messages},
    }
    if survived:
        row.failures.append(f"the server died {survived} times where it must not")
    if deaths > _DEATHS_UNTIL_HELD * len(killers):
        row.failures.append(f"{len(killers)} plugins killed the server {deaths} times")
    return row


async def _furnish(stage: Stage, product: Product, name: str) -> None:
    deadline = _SHORT if "timeout" in _UNHARMFUL.get(name, ()) else _DEADLINE
    channel = {"plugin": name, "timeout_seconds": deadline, "retry_schedule": []}
    await stage.put(product, f"/v1/channels/{name.lower()}", channel)
    await stage.put(product, f"/v1/topics/{name.lower()}", {"channel": name.lower()})


async def _unlisted(product: Product) -> list[str]:
    """Say which broken plugins the server does not list with a reason."""
    answer = await read(f"{product.url}/v1/plugins")
    reasons = {one["directory"].rpartition("/")[2]: one["reason"] for one in answer["broken"]}
    return [
        f"the broken plugin {name} is not listed"
        for name in broken_directories()
        if not reasons.get(name)
    ]


async def _do_harm(
    stage: Stage, product: Product, client: Client, names: Sequence[str], amount: _Amount
) -> None:
    """Hand in a message for each of these, and wait until each has come to its end."""
    topics = {name.lower() for name in names}
    wanted = client.accepted_count + amount.healthy
    stage.journal.write("harm", pid=product.pid, plugins=sorted(topics))
    await hand_in(product.url, sorted(topics))
    while True:
        await asyncio.sleep(0.3)
        try:
            messages = [one async for one in stories(product.url) if one["topic"] in topics]
        except OSError:
            continue
        done = sum(one["status"] in {"sent", "failed", "held"} for one in messages)
        stage.say(f"{done} of {len(topics)} did their harm, {client.accepted_count} accepted")
        if done == len(topics) and client.accepted_count >= wanted:
            return


async def _obeys(product: Product) -> bool:
    """Ask the server to end, kill it if it does not, and tell whether it did."""
    product.signal(signal.SIGTERM)
    for _ in range(_ENDING * 10):
        if not product.running:
            return True
        await asyncio.sleep(0.1)
    product.kill()
    return False


def _damage(file: Path) -> list[str]:
    """Say how the database is damaged: whoever closes its files may have it written elsewhere."""
    connection = sqlite3.connect(file)
    try:
        answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        answer = str(error)
    finally:
        connection.close()
    return [] if answer == "ok" else [f"the database is damaged: {answer}"]


def _misjudged(messages: Sequence[dict[str, Any]], killers: Sequence[str]) -> list[str]:
    """Say what came to something else than it must, and what the log does not explain."""
    wrong = []
    expected = {name.lower(): outcomes for name, outcomes in _UNHARMFUL.items()}
    held = {name.lower() for name in killers}
    for message in messages:
        name, [delivery] = message["topic"], message["deliveries"]
        outcomes = _outcomes(message)
        if name in held:
            if (delivery["status"], delivery["reason"]) != ("held", "poison"):
                wrong.append(f"{name} is {delivery['status']} ({delivery['reason']}), not held")
            if outcomes != ["unknown"] * _DEATHS_UNTIL_HELD:
                wrong.append(f"{name} was held after {outcomes}")
        elif set(outcomes) - set(expected[name]) or len(outcomes) != 1:
            errors = [one["error"] for one in delivery["attempts"]]
            wrong.append(f"{name} came to {outcomes} ({errors})")
        if any(one["outcome"] != "sent" and not one["error"] for one in delivery["attempts"]):
            wrong.append(f"the log does not say what {name} did")
    missing = {*expected, *held} - {message["topic"] for message in messages}
    return wrong + [f"the message for {name} is not in the log" for name in sorted(missing)]


def _outcomes(message: dict[str, Any]) -> list[str]:
    return [one["outcome"] for delivery in message["deliveries"] for one in delivery["attempts"]]
