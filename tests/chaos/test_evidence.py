"""The page of evidence is written from the figures, and keeps what people wrote around them."""

from __future__ import annotations

import pytest

from bench.chaos.evidence import PAGE, write
from bench.chaos.scenario import Row
from tests.pages import ROOT

MACHINE = {"date": "2026-11-25", "almenara": "1 (abc)", "versions": "V", "machine": "2 cores"}


def result(*rows: Row) -> dict[str, object]:
    return {"size": "full", "machine": MACHINE, "rows": [row.as_dict() for row in rows]}


def test_the_figures_are_replaced_and_the_words_around_them_kept() -> None:
    page = (ROOT / PAGE).read_text()
    row = Row(scenario="kill-x", faults="7 kills", fault_count=7, accepted=12345, lost=3)
    row.failures.append("3 accepted messages are lost")
    once = write(page, result(row))
    again = write(once, result(row))
    assert again == once
    assert "| `kill-x` |" in once
    assert "12,345 | 3 |" in once
    assert "3 accepted messages are lost" in once
    assert once.splitlines()[0] == page.splitlines()[0]
    assert once.splitlines()[-1] == page.splitlines()[-1]


def test_what_was_not_run_is_not_called_passed() -> None:
    row = Row(scenario="power-x", faults="none", fault_count=0, skipped="only root may mount")
    once = write((ROOT / PAGE).read_text(), result(row))
    [line] = [line for line in once.splitlines() if "`power-x`" in line]
    assert "not run: only root may mount" in line
    assert "passed" not in line


def test_a_page_without_its_marks_is_refused() -> None:
    row = Row(scenario="kill-x", faults="none", fault_count=0)
    with pytest.raises(ValueError, match="has lost its marks"):
        write("# A page\n", result(row))


def test_the_fleet_has_a_part_of_its_own_and_leaves_the_other() -> None:
    page = (ROOT / PAGE).read_text()
    once = write(page, result(Row(scenario="fleet-x", faults="7 kills", fault_count=7)))
    assert "| `fleet-x` |" in once
    assert once.count("| `kill-sqlite` |") == page.count("| `kill-sqlite` |")
