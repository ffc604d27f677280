"""The rest between two looks: as long as nothing can be due, and no longer."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest

from almenara.queues import rest
from almenara.queues.rest import Rest

#: Longer than a test may take.
FOR_EVER = 3_600.0


@pytest.fixture
def ledger() -> Any:
    return SimpleNamespace(committed_count=7)


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LONGEST", 0.01)
    monkeypatch.setattr(rest, "_LONGEST_QUIET", FOR_EVER)


async def begun(one: Rest, seconds: float = math.inf) -> asyncio.Task[None]:
    """Begin a rest, and give it the time of several short looks."""
    one.begin_look()
    task = asyncio.create_task(one.take(seconds))
    await asyncio.wait({task}, timeout=0.1)
    return task


async def test_a_process_alone_rests_while_nothing_is_committed(ledger: Any) -> None:
    task = await begun(Rest(ledger, alone=True))
    assert not task.done()
    ledger.committed_count += 1
    await task


async def test_a_process_with_others_looks_anyhow(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_LONGEST_QUIET", rest.LONGEST)
    await (await begun(Rest(ledger, alone=True)))
    monkeypatch.setattr(rest, "_LONGEST_QUIET", FOR_EVER)
    await (await begun(Rest(ledger, alone=False)))


async def test_what_was_seen_to_be_due_soon_ends_it(ledger: Any) -> None:
    await (await begun(Rest(ledger, alone=True), seconds=0.02))


async def test_who_is_told_looks_at_once(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LONGEST", FOR_EVER)
    one = Rest(ledger, alone=True)
    task = await begun(one)
    assert not task.done()
    one.end()
    await task


async def test_who_was_told_while_looking_does_not_rest(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "LONGEST", FOR_EVER)
    one = Rest(ledger, alone=True)
    one.begin_look()
    one.end()
    await one.take(math.inf)


async def test_what_was_committed_while_looking_ends_the_rest_too(ledger: Any) -> None:
    one = Rest(ledger, alone=True)
    one.begin_look()
    ledger.committed_count += 1
    await one.take(math.inf)
