"""The small size of the breaking bench: it loses nothing, and repeats only what the log admits.

Figures of loss and repetition are asserted, times never.
"""

from __future__ import annotations

import pytest

from bench.chaos.__main__ import SCENARIOS, run
from bench.chaos.scenario import Row, Size

# One after another: each fills the machine with processes of its own, most of which are killed.
pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("processes"),
    pytest.mark.unmeasured,
]


async def small(scenario: str) -> Row:
    """Run a scenario in its small size; skip, in words, where this machine cannot."""
    row = await run(scenario, Size.PR)
    if row.skipped:
        pytest.skip(row.skipped)
    return row


# `kill-sqlite` and `kill-postgres` are left to `make chaos-quick`: test_crash.py kills as often.
@pytest.mark.parametrize("scenario", ["points-sqlite", "postgres-faults", "power-sqlite"])
async def test_nothing_is_lost_and_what_is_repeated_is_shown_as_unknown(scenario: str) -> None:
    row = await small(scenario)
    assert row.failures == []
    assert (row.lost, row.accepted_twice, row.phantom, row.unlogged) == (0, 0, 0, 0)
    assert row.fault_count > 0
    assert row.accepted > row.fault_count


async def test_a_fleet_loses_nothing_whatever_of_it_is_killed() -> None:
    # The broker's troubles take minutes in their small size as well: `make chaos-quick` has them,
    # and each of them has a test of its own in test_celery_worker.py and test_relay.py.
    row = await small("fleet-kill")
    assert row.failures == []
    assert (row.lost, row.accepted_twice, row.phantom, row.unlogged) == (0, 0, 0, 0)
    assert row.fault_count > 0
    assert row.accepted > row.fault_count


@pytest.mark.parametrize("scenario", ["restart-sqlite", "disk-full"])
async def test_where_no_process_dies_nothing_is_repeated_at_all(scenario: str) -> None:
    row = await small(scenario)
    assert row.failures == []
    assert (row.lost, row.accepted_twice, row.duplicated) == (0, 0, 0)
    assert row.accepted > row.fault_count


@pytest.mark.parametrize("scenario", ["hostile", "clock", "plugins", "disconnect-sqlite"])
async def test_what_others_do_to_it_costs_no_message_and_harms_no_neighbour(scenario: str) -> None:
    row = await small(scenario)
    assert row.failures == []
    assert (row.lost, row.accepted_twice, row.phantom, row.unlogged) == (0, 0, 0, 0)
    assert row.fault_count > 0
    assert row.accepted > 0


async def test_a_database_that_does_not_sync_is_seen_to_lose() -> None:
    row = await small("power-control")
    assert row.failures == []
    assert row.lost > 0


def test_every_scenario_says_in_a_sentence_what_it_does() -> None:
    for name, scenario in SCENARIOS.items():
        assert (scenario.__doc__ or "").splitlines()[0].endswith("."), name
