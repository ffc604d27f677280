"""Send slots: never more than there are, and none starved."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from almenara.queues.slots import Slots
from tests.unit.test_verdict import CHANNEL


def test_a_channel_takes_no_more_than_its_concurrency() -> None:
    slots = Slots(10)
    team = replace(CHANNEL, name="team", concurrency=2)
    assert [slots.take(team) for _ in range(3)] == [True, True, False]
    slots.give_back("team")
    assert slots.take(team)


def test_all_channels_together_take_no_more_than_the_process_has() -> None:
    slots = Slots(3)
    one = replace(CHANNEL, name="one", concurrency=2)
    two = replace(CHANNEL, name="two", concurrency=2)
    assert [slots.take(each) for each in (one, one, two, two)] == [True, True, True, False]
    assert slots.give_back("one")
    assert slots.take(two)


def test_the_last_quarter_is_kept_for_channels_that_have_few() -> None:
    slots = Slots(64)
    dead, lively = (replace(CHANNEL, name=name, concurrency=64) for name in ("dead", "lively"))
    assert slots.share([dead]) == {"dead": 48}
    assert slots.share([dead, lively]) == {"lively": 1}
    slots.give_back("lively")
    assert [slots.take(one) for one in (dead, lively, lively)] == [False, True, False]
    slots.give_back("dead")
    assert slots.give_back("dead")
    assert slots.take(dead)


def test_a_channel_that_gives_its_slots_back_soon_may_have_all_that_are_left() -> None:
    slots = Slots(64, quick=lambda name: name == "lively")
    dead, lively = (replace(CHANNEL, name=name, concurrency=64) for name in ("dead", "lively"))
    assert slots.share([dead]) == {"dead": 48}
    assert slots.share([dead, lively]) == {"lively": 16}
    assert slots.give_back("lively")
    assert [slots.take(one) for one in (dead, lively, lively)] == [False, True, False]


def test_however_many_channels_hang_some_slots_are_left_for_quick_ones() -> None:
    slots = Slots(64, quick=lambda name: name == "lively")
    dead = [replace(CHANNEL, name=f"dead {number}", concurrency=16) for number in range(60)]
    lively = replace(CHANNEL, name="lively", concurrency=16)
    assert sum(slots.share(dead).values()) == 56
    assert slots.share([*dead, lively]) == {"lively": 8}


def test_a_single_slot_goes_to_a_quick_channel_first() -> None:
    slots = Slots(3, quick=lambda name: name == "lively")
    dead, lively = (replace(CHANNEL, name=name, concurrency=2) for name in ("dead", "lively"))
    assert slots.share([dead]) == {"dead": 2}
    assert slots.share([replace(dead, name="dead too"), lively]) == {"lively": 1}


def test_slots_are_shared_out_one_each_in_turn() -> None:
    slots = Slots(6)
    channels = [replace(CHANNEL, name=name, concurrency=4) for name in ("one", "two", "three")]
    assert slots.share(channels) == {"one": 2, "two": 2, "three": 1}
    assert slots.share(channels) == {}


@given(
    total=st.integers(1, 20),
    wishes=st.lists(st.integers(0, 8), min_size=1, max_size=6),
)
def test_sharing_never_takes_too_many(total: int, wishes: list[int]) -> None:
    slots = Slots(total)
    channels = [
        replace(CHANNEL, name=str(index), concurrency=wish) for index, wish in enumerate(wishes)
    ]
    shares = slots.share(channels)
    most, open_to_all = min(total, sum(wishes)), min(total - total // 4, sum(wishes))
    assert open_to_all <= sum(shares.values()) == slots.taken_count <= most
    assert all(shares.get(one.name, 0) <= one.concurrency for one in channels)
    for name, count in shares.items():
        for _ in range(count):
            slots.give_back(name)
    assert slots.taken_count == 0
