"""The checker finds each broken promise that is planted, and nothing where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.chaos.checker import check
from tests.pages import ROOT

Files = dict[str, list[dict[str, Any]]]


def moment(second: int) -> str:
    return f"1970-01-01T00:00:{second:02}+00:00"


def attempt(number: int, outcome: str, *, second: int = 1, late: bool = False) -> dict[str, Any]:
    return {
        "number": number,
        "outcome": outcome,
        "late": late,
        "started_at": moment(second),
        "finished_at": moment(second),
    }


def arrival(name: str, second: float, *, status: int = 200, body: str = "b") -> dict[str, Any]:
    return {
        "delivery": f"delivery-{name}",
        "key": f"key-{name}",
        "at": second,
        "body": body,
        "status": status,
    }


def message(name: str, *attempts: dict[str, Any], status: str = "sent") -> dict[str, Any]:
    delivery = {"id": f"delivery-{name}", "status": status, "reason": None}
    return {
        "id": f"message-{name}",
        "key": f"key-{name}",
        "status": status,
        "deliveries": [delivery | {"attempts": list(attempts)}],
    }


def accepted(name: str, second: float) -> dict[str, Any]:
    return {"key": f"key-{name}", "id": f"message-{name}", "at": second}


def what_happened() -> Files:
    """Two messages; a kill during the first, whose repetition the log shows as it should."""
    return {
        "ledger": [accepted("a", 1.0), accepted("b", 9.0)],
        "sink": [arrival("a", 1.5), arrival("a", 4.5), arrival("b", 9.5)],
        "journal": [
            {"what": "start", "at": 0.0, "wall": 0.0},
            {"what": "killed", "at": 2.0, "wall": 2.0, "in_flight": 1},
            {"what": "start", "at": 3.0, "wall": 3.0},
        ],
        "log": [
            message("a", attempt(1, "unknown"), attempt(2, "sent", second=4)),
            message("b", attempt(1, "sent", second=9)),
        ],
    }


def first_attempts(files: Files) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = files["log"][0]["deliveries"][0]["attempts"]
    return attempts


def test_what_is_as_it_should_be_passes_with_its_figures() -> None:
    verdict = check(**what_happened())
    assert verdict.failures == []
    assert (verdict.accepted, verdict.duplicated, verdict.unknown) == (2, 1, 1)
    assert (verdict.most_in_flight, verdict.worst_resend_seconds) == (1, 1.5)


def lose_an_arrival(files: Files) -> None:
    files["sink"].pop()
    files["log"][1] = message("b", attempt(1, "permanent_error"), status="failed")


def lose_a_row(files: Files) -> None:
    files["log"].pop()


def store_twice(files: Files) -> None:
    files["log"].append(message("b", attempt(1, "sent")) | {"id": "message-c"})


def claim_what_never_came(files: Files) -> None:
    files["sink"].pop()


def claim_what_was_refused(files: Files) -> None:
    files["sink"][-1]["status"] = 503


def send_without_an_attempt(files: Files) -> None:
    files["log"][1]["deliveries"][0]["attempts"].clear()


def send_what_nobody_knows(files: Files) -> None:
    files["sink"].append(arrival("c", 10.0))


def repeat_without_a_word(files: Files) -> None:
    files["sink"].append(arrival("b", 10.0))
    files["log"][1]["deliveries"][0]["attempts"].append(attempt(2, "sent"))


def repeat_with_another_body(files: Files) -> None:
    files["sink"][1]["body"] = "c"


def settle_twice(files: Files) -> None:
    first_attempts(files)[0]["outcome"] = "sent"


def leave_it_held(files: Files) -> None:
    files["log"][1]["status"] = "held"
    files["log"][1]["deliveries"][0]["status"] = "held"


def call_more_unknown_than_were_in_flight(files: Files) -> None:
    files["journal"][1]["in_flight"] = 0


@pytest.mark.parametrize(
    ("plant", "name", "count"),
    [
        (lose_an_arrival, "lost", 1),
        (lose_a_row, "lost", 1),
        (store_twice, "accepted_twice", 1),
        (claim_what_never_came, "phantom", 1),
        (claim_what_was_refused, "phantom", 1),
        (send_without_an_attempt, "unlogged", 1),
        (send_what_nobody_knows, "unlogged", 1),
        (repeat_without_a_word, "unexcused", 1),
        (repeat_with_another_body, "changed", 1),
        (settle_twice, "settled_twice", 1),
        (leave_it_held, "unfinished", 1),
        (call_more_unknown_than_were_in_flight, "beyond_in_flight", 1),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_planted_fault_is_found(plant: Callable[[Files], None], name: str, count: int) -> None:
    files = what_happened()
    plant(files)
    verdict = check(**files)
    assert getattr(verdict, name) == count
    assert any(sentence.startswith(f"{count} ") for sentence in verdict.failures)


def test_a_late_attempt_is_no_second_settlement() -> None:
    files = what_happened()
    first_attempts(files).append(attempt(1, "sent", late=True))
    verdict = check(**files)
    assert (verdict.failures, verdict.late) == ([], 1)


@pytest.mark.parametrize(("plant", "code"), [(None, 0), (lose_a_row, 1)])
def test_on_the_command_line_it_prints_one_line_of_json_and_an_exit_code(
    tmp_path: Path, plant: Callable[[Files], None] | None, code: int
) -> None:
    files = what_happened()
    if plant is not None:
        plant(files)
    for name, lines in files.items():
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text)
    finished = subprocess.run(
        [sys.executable, "-m", "bench.chaos.checker", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == code, finished.stderr
    assert finished.stdout.count("\n") == 1
    assert json.loads(finished.stdout)["lost"] == code
