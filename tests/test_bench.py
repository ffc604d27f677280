"""The benchmarks still run; what they measure is nobody's business here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT
from tests.servers import RABBITMQ, let_others_in

pytestmark = pytest.mark.unmeasured


def test_the_bench_of_accepting_compares_both_sides_and_finds_every_message(tmp_path: Path) -> None:
    options = ["--rounds", "1", "--seconds", "0.2", "--warm-up", "0.1", "--connections", "4"]
    finished = subprocess.run(
        [sys.executable, "-m", "bench.accept", *options, "--directory", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-6_000:]
    assert finished.stdout.count("ratio, round by round") == 2
    assert "LOST" not in finished.stdout
    assert "were not 202" not in finished.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rabbitmq
@pytest.mark.timeout(180)
@pytest.mark.xdist_group("rabbitmq")
def test_the_bench_of_the_fleet_delivers_everything_on_both_sides(tmp_path: Path) -> None:
    let_others_in(tmp_path)
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "bench.fleet", "deliveries", "without-database"),
            *("--size", "test", "--own-broker-url", RABBITMQ.url, "--directory", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-6_000:]
    assert finished.stdout.count("round by round") == 2
    assert list(tmp_path.iterdir()) == []
