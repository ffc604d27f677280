"""Gates: what a process remembers of closed channels, and when it forgets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest

from almenara.queues import gates
from almenara.queues.gates import Gates
from almenara.routing import Table
from tests.stored import NOW, SECOND


@dataclass
class Routed:
    """A routing whose table tests replace."""

    table: Table = field(default_factory=Table)


@pytest.fixture
def routed() -> Routed:
    return Routed()


@pytest.fixture
def closed(routed: Routed) -> Gates:
    one = Gates(cast("Any", routed))
    one.close({"team": NOW + SECOND, "mail": None}, NOW)
    return one


def test_a_channel_is_closed_until_its_time(closed: Gates) -> None:
    assert not closed.is_open("team", NOW)
    assert closed.openings() == [NOW + SECOND]
    assert closed.is_open("team", NOW + SECOND)
    assert closed.openings() == []
    assert closed.is_open("other", NOW)


def test_a_channel_without_a_time_is_closed_until_the_configuration_moves(
    closed: Gates, routed: Routed
) -> None:
    assert not closed.is_open("mail", NOW + timedelta(days=1))
    routed.table = Table(revision=2)
    assert closed.is_open("mail", NOW)
    assert closed.is_open("team", NOW)


def test_a_clock_that_jumps_back_keeps_no_channel_closed(
    closed: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = gates.time.monotonic() + 1
    monkeypatch.setattr(gates.time, "monotonic", lambda: later)
    assert closed.is_open("team", NOW - timedelta(days=1))
