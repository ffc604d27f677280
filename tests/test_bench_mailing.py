"""The bench of mail runs, and counts every mail on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fleet.stage import Stage
from bench.speed.mailing import LIST, TO, measure
from bench.speed.size import SIZES, Context

pytestmark = pytest.mark.unmeasured


def no_stage() -> Stage:
    raise AssertionError("Mail is measured on SQLite, with no other server.")


@pytest.mark.timeout(60)
def test_mail_to_many_is_measured_on_both_sides_and_every_mail_counted(tmp_path: Path) -> None:
    # What did not arrive once at each recipient is an error of the measurement itself.
    measured = list(measure(Context(SIZES["test"], tmp_path, no_stage)))
    assert [one.figure for one in measured] == [TO, LIST]
    for one in measured:
        ours, theirs = one.sides.values()
        assert one.values == [ours[0] / theirs[0]]
        assert min(*ours, *theirs) > 0
