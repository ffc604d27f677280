"""The checker: set algebra over the ledger, the sink, the journal and the product's log.

`python -m bench.chaos.checker DIRECTORY` reads `ledger.jsonl`, `sink.jsonl`, `journal.jsonl` and
`log.jsonl`, prints one line of JSON, and ends with 1 when a promise was broken.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.chaos.journal import read_lines

Line = Mapping[str, Any]

#: What an attempt must have come to, for another arrival of its delivery to be excused.
UNKNOWN = ("unknown",)
#: Clocks of one machine agree to so many seconds.
_SLACK_SECONDS = 0.005


@dataclass
class Verdict:
    """What the four files say together; counts but for ``failures``."""

    accepted: int = 0
    #: Accepted, but not in the log, or never arrived.
    lost: int = 0
    #: Messages beyond the first under one key.
    accepted_twice: int = 0
    #: Sent, says the log; the sink knows nothing of it.
    phantom: int = 0
    #: Arrivals for which the log has no attempt.
    unlogged: int = 0
    #: Arrivals beyond the first of a delivery.
    duplicated: int = 0
    #: Of these, the ones that no attempt of unknown outcome excuses.
    unexcused: int = 0
    #: Repetitions whose body was another one.
    changed: int = 0
    #: Messages that did not end as `sent`.
    unfinished: int = 0
    #: Deliveries with more than one attempt that was sent and on time.
    settled_twice: int = 0
    #: Attempts that came after their delivery had moved on.
    late: int = 0
    #: Attempts of unknown outcome.
    unknown: int = 0
    #: Attempts of unknown outcome beyond what was in flight at their kill.
    beyond_in_flight: int = 0
    #: The most duplicates of one kill cannot be more than this: the most that were in flight.
    most_in_flight: int = 0
    #: From a start until something that was accepted before arrived: the longest, in seconds.
    worst_resend_seconds: float | None = None
    failures: list[str] = field(default_factory=list)


#: These must be 0; the sentence says what one of them means.
_PROMISES = {
    "lost": "accepted messages are lost",
    "accepted_twice": "messages were stored twice under one key",
    "phantom": "deliveries are called sent and never arrived",
    "unlogged": "arrivals have no attempt in the log",
    "unexcused": "duplicates are not shown as unknown in the log",
    "changed": "repeated arrivals had another body",
    "unfinished": "messages did not end as sent",
    "settled_twice": "deliveries were settled twice",
    "beyond_in_flight": "attempts are unknown that were not in flight at a kill",
}


def check(
    ledger: Sequence[Line],
    sink: Sequence[Line],
    journal: Sequence[Line],
    log: Sequence[Line],
    *,
    excuses: Collection[str] = UNKNOWN,
) -> Verdict:
    """Compare what was promised, what arrived, what was done to it, and what the log says.

    Args:
        excuses: the outcomes that excuse another arrival.
    """
    verdict = Verdict(accepted=len(ledger))
    arrivals = [one for one in sink if 200 <= one["status"] < 300]
    _check_messages(verdict, ledger, arrivals, log)
    _check_deliveries(verdict, sink, arrivals, log, excuses)
    _check_in_flight(verdict, journal, log)
    verdict.worst_resend_seconds = _worst_resend(ledger, arrivals, journal)
    verdict.failures = [
        f"{getattr(verdict, name)} {sentence}"
        for name, sentence in _PROMISES.items()
        if getattr(verdict, name)
    ]
    return verdict


def check_directory(directory: Path, *, excuses: Collection[str] = UNKNOWN) -> Verdict:
    """Check the four files of one directory."""
    files = (
        read_lines(directory / f"{name}.jsonl") for name in ("ledger", "sink", "journal", "log")
    )
    return check(*files, excuses=excuses)


def first_arrivals(sink: Sequence[Line], moments: Sequence[float]) -> list[float]:
    """Return for each moment of the monotonic clock how long the next arrival took, in seconds."""
    found = [(moment, bisect(sink, moment, key=_at)) for moment in moments]
    return [sink[index]["at"] - moment for moment, index in found if index < len(sink)]


def _check_messages(
    verdict: Verdict, ledger: Sequence[Line], arrivals: Sequence[Line], log: Sequence[Line]
) -> None:
    arrived = {one["key"] for one in arrivals}
    stored = {one["id"] for one in log}
    verdict.lost = sum(one["key"] not in arrived or one["id"] not in stored for one in ledger)
    keys = Counter(one["key"] for one in log)
    verdict.accepted_twice = sum(count - 1 for count in keys.values())
    verdict.unfinished = sum(one["status"] != "sent" for one in log)


def _check_deliveries(
    verdict: Verdict,
    sink: Sequence[Line],
    arrivals: Sequence[Line],
    log: Sequence[Line],
    excuses: Collection[str],
) -> None:
    came = Counter(one["delivery"] for one in sink)
    took = Counter(one["delivery"] for one in arrivals)
    bodies = defaultdict(set)
    for one in sink:
        bodies[one["delivery"]].add(one["body"])
    known = set()
    for delivery in _deliveries(log):
        name, attempts = delivery["id"], delivery["attempts"]
        known.add(name)
        extra = max(0, took[name] - 1)
        verdict.duplicated += extra
        verdict.unexcused += max(0, extra - sum(one["outcome"] in excuses for one in attempts))
        verdict.unlogged += max(0, came[name] - len({one["number"] for one in attempts}))
        verdict.phantom += delivery["status"] == "sent" and not took[name]
        verdict.changed += len(bodies[name]) > 1
        on_time = [one for one in attempts if one["outcome"] == "sent" and not one["late"]]
        verdict.settled_twice += len(on_time) > 1
        verdict.late += sum(one["late"] for one in attempts)
        verdict.unknown += sum(one["outcome"] == "unknown" for one in attempts)
    verdict.unlogged += sum(count for name, count in came.items() if name not in known)


def _check_in_flight(verdict: Verdict, journal: Sequence[Line], log: Sequence[Line]) -> None:
    """Each attempt of unknown outcome was in flight at a kill, where that was counted."""
    began = sorted(
        datetime.fromisoformat(attempt["started_at"]).timestamp()
        for delivery in _deliveries(log)
        for attempt in delivery["attempts"]
        if attempt["outcome"] == "unknown"
    )
    since = 0.0
    for one in journal:
        if one.get("in_flight") is None:
            continue
        until = one["wall"] + _SLACK_SECONDS
        count = sum(since < moment <= until for moment in began)
        verdict.beyond_in_flight += max(0, count - one["in_flight"])
        verdict.most_in_flight = max(verdict.most_in_flight, one["in_flight"])
        since = until


def _worst_resend(
    ledger: Sequence[Line], arrivals: Sequence[Line], journal: Sequence[Line]
) -> float | None:
    """From each start until something arrived that was accepted before: the longest."""
    accepted_at = {one["key"]: one["at"] for one in ledger}
    starts = [one["at"] for one in journal if one["what"] == "start"] + [float("inf")]
    waits = []
    for start, next_start in pairwise(starts):
        first = bisect(arrivals, start, key=_at)
        for one in arrivals[first : bisect(arrivals, next_start, key=_at)]:
            if accepted_at.get(one["key"], start) < start:
                waits.append(one["at"] - start)
                break
    return round(max(waits), 3) if waits else None


def _at(line: Line) -> float:
    return float(line["at"])


def _deliveries(log: Sequence[Line]) -> Iterator[Line]:
    for message in log:
        yield from message["deliveries"]


def main() -> None:
    """Check the directory of the command line."""
    verdict = check_directory(Path(sys.argv[1]))
    print(json.dumps(asdict(verdict)))
    sys.exit(1 if verdict.failures else 0)


if __name__ == "__main__":
    main()
