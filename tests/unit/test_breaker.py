"""The breaker: what a run of results makes of a channel's state."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from almenara.deliveries import Claim, Outcome, Result, Status
from almenara.limits.breaker import Policy, follow, probe_wait
from almenara.limits.rows import State
from almenara.models import new_id
from tests.stored import NOW, SECOND

POLICY = Policy(name="team", failures=3, wait=timedelta(seconds=30), updated_at=NOW - SECOND)
NEW = State(new_id())
PROBE_AT = NOW + 40 * SECOND


def result(outcome: Outcome, *, at: datetime = NOW, **fields: Any) -> Result:
    claim = Claim(new_id(), new_id(), "team", 1, 0, new_id(), at, at + 30 * SECOND)
    values = {"claim": claim, "outcome": outcome, "finished_at": at + SECOND}
    return Result(**values | {"status": Status.PENDING, "error": "It broke."} | fields)


def failures(count: int, **fields: Any) -> list[Result]:
    return [result(Outcome.TEMPORARY_ERROR, **fields) for _ in range(count)]


PAUSED = follow(NEW, POLICY, failures(3))
WRONG = result(Outcome.PERMANENT_ERROR, misconfigured=True)
MISCONFIGURED = follow(NEW, POLICY, [WRONG])
BY_OPERATOR = State(NEW.channel_id, state="paused", reason="operator", changed_at=NOW - SECOND)


def test_it_pauses_at_the_last_failure_of_a_run_and_says_when_it_is_tried_again() -> None:
    assert follow(NEW, POLICY, failures(2)).state == "active"
    assert (PAUSED.state, PAUSED.reason, PAUSED.failure_count) == ("paused", "failures", 3)
    assert PAUSED.changed_at == NOW + SECOND
    assert PAUSED.probe_at == NOW + 31 * SECOND


def test_a_timeout_counts_and_a_success_begins_anew() -> None:
    run = [result(Outcome.TIMEOUT), *failures(1), result(Outcome.SENT), *failures(2)]
    run = [result(one.outcome, at=NOW + number * SECOND) for number, one in enumerate(run)]
    after = follow(NEW, POLICY, run)
    assert (after.state, after.failure_count) == ("active", 2)


def test_results_count_in_the_order_in_which_they_ended() -> None:
    late_news = [*failures(3, at=NOW + 5 * SECOND), result(Outcome.SENT)]
    assert follow(NEW, POLICY, late_news).state == "paused"


def test_without_a_breaker_no_run_pauses_the_channel() -> None:
    never = Policy(name="team", failures=0, wait=SECOND, updated_at=NOW)
    assert follow(NEW, never, failures(5_000)).state == "active"


def test_a_channel_error_pauses_at_once_without_a_probe() -> None:
    assert (MISCONFIGURED.reason, MISCONFIGURED.detail) == ("misconfigured", "It broke.")
    assert MISCONFIGURED.probe_at is None


def test_a_probe_that_finds_it_misconfigured_ends_the_probes() -> None:
    wrong = result(Outcome.PERMANENT_ERROR, at=PROBE_AT, misconfigured=True)
    after = follow(PAUSED, POLICY, [wrong])
    assert (after.reason, after.probe_at) == ("misconfigured", None)


@pytest.mark.parametrize("state", [MISCONFIGURED, BY_OPERATOR], ids=["misconfigured", "operator"])
@pytest.mark.parametrize("outcome", [Outcome.SENT, Outcome.TEMPORARY_ERROR])
def test_only_people_resume_what_waits_for_people(state: State, outcome: Outcome) -> None:
    assert follow(state, POLICY, [result(outcome, at=PROBE_AT)]) == state
    assert follow(state, POLICY, [WRONG]) == state


def test_each_probe_that_fails_doubles_the_wait_up_to_sixteen_times() -> None:
    state, at = PAUSED, PROBE_AT
    waits = []
    for _ in range(6):
        state = follow(state, POLICY, failures(1, at=at))
        assert state.probe_at is not None
        waits.append((state.probe_at - at - SECOND).total_seconds())
        at = state.probe_at
    assert waits == [60, 120, 240, 480, 480, 480]
    assert probe_wait(timedelta(days=6), 5_000) == timedelta(days=7)


def test_a_probe_that_is_sent_resumes_and_forgets_the_failures() -> None:
    after = follow(PAUSED, POLICY, [result(Outcome.SENT, at=PROBE_AT)])
    assert after == State(NEW.channel_id, changed_at=PROBE_AT + SECOND)


def test_what_began_before_the_pause_is_no_probe() -> None:
    for outcome in (Outcome.SENT, Outcome.TEMPORARY_ERROR):
        assert follow(PAUSED, POLICY, [result(outcome, at=NOW + SECOND / 2)]) == PAUSED


def test_what_began_before_the_channel_was_changed_says_nothing_about_it() -> None:
    changed = Policy(name="team", failures=1, wait=SECOND, updated_at=NOW + SECOND / 2)
    assert follow(NEW, changed, [*failures(5), WRONG]) == NEW


def test_a_change_that_a_clock_ahead_of_time_has_written_stops_nothing() -> None:
    changed = Policy(name="team", failures=1, wait=SECOND, updated_at=NOW + timedelta(hours=1))
    assert follow(NEW, changed, failures(1)).state == "paused"
