"""Figures of one process, and of the one that takes its place."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from almenara import figures
from almenara.figures import sharing
from almenara.figures.described import ACCEPTED, ATTEMPTS, BATCHES, DURATIONS, RESCUED
from tests.scraped import forget_figures


@pytest.fixture(autouse=True)
def _as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Count from 0, alone, and leave nothing behind."""
    monkeypatch.setattr(sharing._Share, "path", None)
    forget_figures()
    yield
    forget_figures()


def only() -> figures.Counted:
    [one] = figures.everyone()
    return one


def test_what_is_counted_is_told() -> None:
    figures.count_batch(7, [None] * 5, 0.003)
    figures.count_attempt("team", "sent", 0.02)
    figures.count_attempt("team", "sent", 30)
    # A clock that was set back meanwhile.
    figures.count_attempt("team", "timeout", -5)
    figures.count_rescued("team", "unknown")
    told = only()
    assert told.counters[ACCEPTED,] == 5
    assert told.counters[RESCUED,] == 1
    assert told.counters[ATTEMPTS, "team", "sent"] == 2
    assert told.counters[ATTEMPTS, "team", "unknown"] == 1
    assert told.histograms[BATCHES,] == ([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], 7)
    counts, total = told.histograms[DURATIONS, "team"]
    assert (sum(counts), counts[0], counts[-1], total) == (3, 1, 1, 30.02)


def test_a_value_on_the_edge_of_a_bucket_is_in_it() -> None:
    figures.count_batch(500, [None] * 0, 1)
    figures.count_batch(501, [None] * 0, 1)
    assert only().histograms[BATCHES,][0][-2:] == [1, 1]


def test_channels_begin_at_0_and_those_that_are_gone_are_forgotten() -> None:
    figures.count_attempt("old", "sent", 1)
    figures.keep_channels(["new"], ["sent", "timeout"])
    told = only()
    assert {key for key in told.counters if len(key) > 1} == {
        (ATTEMPTS, "new", "sent"),
        (ATTEMPTS, "new", "timeout"),
    }
    assert {key for key in told.histograms if len(key) > 1} == {(DURATIONS, "new")}
    figures.count_attempt("new", "sent", 1)
    figures.keep_channels(["new"], ["sent", "timeout"])
    assert only().counters[ATTEMPTS, "new", "sent"] == 1


def test_whoever_takes_the_place_of_another_goes_on_from_there(tmp_path: Path) -> None:
    place = tmp_path / "0.json"
    figures.take_place(place)
    figures.count_batch(2, [None] * 2, 0.1)
    figures.count_attempt("team", "sent", 0.1)
    figures.publish()
    # As if it had died just now.
    forget_figures()
    figures.count_batch(1, [None] * 1, 0.1)
    figures.take_place(place)
    told = only()
    assert told.counters[ACCEPTED,] == 3
    assert told.counters[ATTEMPTS, "team", "sent"] == 1
    assert told.histograms[BATCHES,][1] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["0.json"]


def test_the_others_are_told_too_but_of_the_dead_only_what_they_counted(tmp_path: Path) -> None:
    figures.take_place(tmp_path / "1.json")
    other = {"counters": [[[ACCEPTED], 4]], "histograms": [], "gauges": {"slots": 3}}
    for place, pid in (("0", os.getppid()), ("2", 2**22 + 1)):
        (tmp_path / f"{place}.json").write_text(json.dumps(other | {"pid": pid}))
    figures.count_batch(1, [None] * 1, 0.1)
    told = {one.place: one for one in figures.everyone()}
    assert {place: one.counters[ACCEPTED,] for place, one in told.items()} == {
        "0": 4,
        "1": 1,
        "2": 4,
    }
    assert (told["0"].gauges, told["2"].gauges) == ({"slots": 3}, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        '{"pid": 1, "counters": 5, "histograms": [], "gauges": {}}',
        "[]",
        '{"pid": null, "counters": [], "histograms": [], "gauges": {}}',
    ],
)
def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "0.json").write_text(text)
    (tmp_path / "1.json").write_text(text)
    figures.take_place(tmp_path / "0.json")
    assert [one.place for one in figures.everyone()] == ["0"]


def test_a_histogram_of_another_version_is_left_out(tmp_path: Path) -> None:
    histograms = [[[BATCHES], [1, 2], 3], [["almenara_gone"], [1], 3]]
    written = {"pid": 1, "counters": [], "histograms": histograms, "gauges": {}}
    (tmp_path / "0.json").write_text(json.dumps(written))
    figures.take_place(tmp_path / "0.json")
    assert only().histograms[BATCHES,] == ([0] * 10, 0)


def test_where_nothing_can_be_written_it_goes_on(tmp_path: Path) -> None:
    figures.take_place(tmp_path / "gone" / "0.json")
    figures.count_batch(1, [None] * 1, 0.1)
    figures.publish()
    assert only().counters[ACCEPTED,] == 1


def test_threads_that_publish_at_once_leave_a_whole_file_at_every_moment(tmp_path: Path) -> None:
    place = tmp_path / "0.json"
    figures.take_place(place)
    figures.keep_channels([f"channel-{number}" for number in range(50)], ["sent"])
    figures.publish()
    ended = threading.Event()

    def publish() -> None:
        while not ended.is_set():
            figures.publish()

    threads = [threading.Thread(target=publish) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            assert len(sharing._read(place).counters) == 52
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_the_places_are_there_as_long_as_their_server() -> None:
    with figures.make_places() as places:
        assert places.stat().st_mode & 0o777 == 0o700
        (places / "0.json").write_text("{}")
    assert not places.exists()
