"""The benchmarks still run; what they measure is nobody's business here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.pages import ROOT, table_rows
from tests.servers import RABBITMQ

pytestmark = pytest.mark.unmeasured


@pytest.mark.timeout(180)
def test_the_bench_of_speed_writes_a_page_with_every_figure_of_its_parts(tmp_path: Path) -> None:
    page, place = tmp_path / "benchmarks.md", tmp_path / "place"
    place.mkdir()
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "bench.speed", "accepting", "delivering"),
            *("--size", "test", "--directory", str(place), "--write", str(page)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-6_000:]
    figures, rates = page.read_text().split("## What each side did")
    assert len(list(table_rows(figures))) == 9
    assert len(list(table_rows(rates))) == 12
    assert "none was lost" in rates
    assert "accepting, delivering" in figures
    assert list(place.iterdir()) == []


def test_the_bench_of_speed_names_its_parts_where_one_is_not_known() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "bench.speed", "accepting", "guessing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert "no such part: guessing; there are accepting, " in finished.stderr


@pytest.mark.parametrize("ends", [["--count", "25"], ["--warm-up", "0.05", "--seconds", "0.1"]])
def test_each_request_of_the_load_has_a_number_of_its_own(ends: list[str]) -> None:
    seen: list[tuple[str | None, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append((self.headers["Idempotency-Key"], body))
            # Longer by turns, so that an answer is not always as long as the one before.
            answer = b"x" * (len(seen) % 3)
            self.send_response(202)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever).start()
        try:
            finished = subprocess.run(
                [
                    *(sys.executable, "-m", "bench.load"),
                    *(f"http://127.0.0.1:{server.server_port}/hook", "body {unique}"),
                    *("--header", "Idempotency-Key: key-{unique}", "--connections", "3", *ends),
                ],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            server.shutdown()
    assert finished.returncode == 0, finished.stderr
    answer = json.loads(finished.stdout)
    assert set(answer["statuses"]) == {"202"}
    # One for each connection may have been on its way when the time was over.
    assert answer["accepted_count"] <= len(seen) <= answer["accepted_count"] + 3
    if "--count" in ends:
        assert answer["statuses"] == {"202": 25}
        assert len(seen) == 25
    assert len(set(seen)) == len(seen)
    for key, body in seen:
        assert re.fullmatch(r"key-\d{20}", key or "")
        assert re.fullmatch(r"body \d{20}", body)


@pytest.mark.rabbitmq
@pytest.mark.timeout(180)
@pytest.mark.xdist_group("rabbitmq")
def test_the_bench_of_the_fleet_delivers_everything_on_both_sides(open_directory: Path) -> None:
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "bench.fleet", "deliveries", "without-database"),
            *("--size", "test", "--own-broker-url", RABBITMQ.url),
            *("--directory", str(open_directory)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-6_000:]
    assert finished.stdout.count("round by round") == 2
    assert list(open_directory.iterdir()) == []
