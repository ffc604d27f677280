"""Paces: which channels give their slots back soon."""

from __future__ import annotations

from almenara.queues.paces import Paces


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def an_attempt(paces: Paces, clock: Clock, seconds: float) -> None:
    key = paces.begin("team")
    clock.now += seconds
    paces.end("team", key)


def test_a_channel_of_which_nothing_has_ended_yet_is_not_quick() -> None:
    clock = Clock()
    paces = Paces(clock)
    assert not paces.quick("team")
    paces.begin("team")
    assert not paces.quick("team")


def test_a_channel_whose_attempts_end_soon_is_quick() -> None:
    clock = Clock()
    paces = Paces(clock)
    an_attempt(paces, clock, 0.01)
    assert paces.quick("team")
    assert not paces.quick("mail")


def test_a_channel_whose_attempt_hangs_is_quick_no_more_until_it_ends() -> None:
    clock = Clock()
    paces = Paces(clock)
    an_attempt(paces, clock, 0.01)
    hanging = paces.begin("team")
    assert paces.quick("team")
    clock.now += 1
    an_attempt(paces, clock, 0.01)
    assert not paces.quick("team")
    paces.end("team", hanging)
    assert paces.quick("team")


def test_a_channel_that_became_slow_is_not_quick_and_may_become_so_again() -> None:
    clock = Clock()
    paces = Paces(clock)
    an_attempt(paces, clock, 0.01)
    an_attempt(paces, clock, 15)
    assert not paces.quick("team")
    for _ in range(20):
        an_attempt(paces, clock, 0.01)
    assert paces.quick("team")
