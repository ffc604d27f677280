"""The picture of a profile: each function as wide as its share, under what called it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.speed.flame import draw, read_stacks, without_its_start

STACKS = [
    "main (m.py:1);serve (s.py:9);accept (almenara/accept.py:7) 30\n",
    "main (m.py:1);serve (s.py:9);accept (almenara/accept.py:8) 30\n",
    "main (m.py:1);serve (s.py:9);<write> (x.py:1) 40\n",
    "main (m.py:1);serve (s.py:9);never (x.py:2) 0\n",
]
SPACE = "{http://www.w3.org/2000/svg}"


def test_lines_of_a_function_are_one_box_under_its_caller() -> None:
    top = without_its_start(read_stacks(STACKS))
    assert (top.name, top.samples) == ("serve (s.py)", 100)
    assert {name: one.samples for name, one in top.calls.items()} == {
        "accept (almenara/accept.py)": 60,
        "<write> (x.py)": 40,
        "never (x.py)": 0,
    }


def test_the_picture_has_a_box_for_each_as_wide_as_its_share() -> None:
    picture = ElementTree.fromstring(draw(without_its_start(read_stacks(STACKS))))
    boxes = {
        one.findtext(f"{SPACE}title"): one.find(f"{SPACE}rect").attrib  # type: ignore[union-attr]  # each has one
        for one in picture
    }
    assert list(boxes) == [
        "serve (s.py): 100.0%",
        "accept (almenara/accept.py): 60.0%",
        "<write> (x.py): 40.0%",
    ]
    wide = [float(one["width"]) for one in boxes.values()]
    assert wide == [1200.0, 720.0, 480.0]
    assert [float(one["x"]) for one in boxes.values()] == [0.0, 0.0, 720.0]


def test_what_is_no_stack_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        read_stacks(["no count here\n"])
