"""The test set-up itself: absent servers, time limits, databases, the coverage gate."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.coverage_gate import branch_percent, missing_servers, verdict
from tests.servers import POSTGRES, PostgresDatabases

ROOT = Path(__file__).parent.parent
CACHE = ".pytest_cache/v/almenara/missing_servers"

NEEDS_POSTGRES = """
import pytest

@pytest.mark.postgres
def test_by_marker(): ...

def test_by_fixture(postgres_database): postgres_database()

def test_without(): ...
"""


@pytest.fixture
def silent_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


#: In one process, and spread over workers as `make test` does it.
SPREAD = pytest.mark.parametrize("workers", [0, 2], ids=["alone", "workers"])


def _run(
    directory: Path, text: str, *, workers: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a test file under this project's own conftest, in a directory of its own."""
    _lay_out(directory, text)
    return _call(directory, "-m", "pytest", "-p", "no:randomly", "-n", str(workers), **environment)


def _lay_out(directory: Path, text: str) -> None:
    (directory / "tests" / "unit").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", directory)
    for name in ("conftest.py", "servers.py"):
        shutil.copy(ROOT / "tests" / name, directory / "tests")
    (directory / "tests" / "unit" / "test_it.py").write_text(text)


def _call(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start Python there, as if not from a test: neither measured nor a worker of this run."""
    ours = ("COVERAGE_", "PYTEST_XDIST_")
    clean = {
        name: value
        for name, value in os.environ.items()
        if name != "CI" and not name.startswith(ours)
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _nowhere(port: int) -> dict[str, str]:
    return {POSTGRES.variable: f"postgres://root:hush@127.0.0.1:{port}/test"}


def test_an_absent_browser_is_one_line(tmp_path: Path) -> None:
    text = "import pytest\n\n@pytest.mark.chromium\ndef test_it(): ...\n"
    finished = _run(tmp_path, text, ALMENARA_TEST_CHROMIUM="/nowhere/chromium")
    assert finished.returncode == 0
    [line] = [one for one in finished.stdout.splitlines() if "did not run" in one]
    assert line.startswith("Chromium is not at /nowhere/chromium: 1 tests did not run.")


@SPREAD
def test_without_a_server_its_tests_are_skipped_with_one_line(
    workers: int, tmp_path: Path, silent_port: int
) -> None:
    finished = _run(tmp_path, NEEDS_POSTGRES, workers=workers, **_nowhere(silent_port))
    assert finished.returncode == 0
    assert "1 passed, 2 skipped" in finished.stdout
    advice = [line for line in finished.stdout.splitlines() if "make up" in line]
    (line,) = advice
    assert line.startswith(f"PostgreSQL does not answer at 127.0.0.1:{silent_port}: 2 tests")
    assert POSTGRES.variable in line
    assert "hush" not in finished.stdout
    assert missing_servers(tmp_path / CACHE) == ["PostgreSQL"]


@pytest.mark.parametrize("name", ["CI", "ALMENARA_TEST_REQUIRE_SERVICES"])
def test_where_servers_are_required_their_absence_is_a_failure(
    name: str, tmp_path: Path, silent_port: int
) -> None:
    finished = _run(tmp_path, NEEDS_POSTGRES, **_nowhere(silent_port), **{name: "1"})
    assert finished.returncode == 1
    assert "1 passed, 2 errors" in finished.stdout


def test_a_run_that_needed_nothing_leaves_the_gate_closed(tmp_path: Path) -> None:
    finished = _run(tmp_path, "def test_it(): ...\n")
    assert finished.returncode == 0
    assert missing_servers(tmp_path / CACHE) == []


def test_no_test_sees_the_settings_of_the_shell(tmp_path: Path) -> None:
    text = (
        "import os\n"
        "def test_it():\n"
        "    names = {name for name in os.environ if name.startswith(('ALMENARA_', 'MAIL_'))}\n"
        "    assert names == {'ALMENARA_TEST_X'}\n"
    )
    finished = _run(tmp_path, text, ALMENARA_PORT="1", MAIL_SERVER="x", ALMENARA_TEST_X="kept")
    assert finished.returncode == 0, finished.stdout


def test_unit_tests_have_twenty_seconds_unless_they_say_otherwise(tmp_path: Path) -> None:
    text = (
        "import pytest\n"
        "def seconds(request): return request.node.get_closest_marker('timeout').args[0]\n"
        "def test_usual(request): assert seconds(request) == 20\n"
        "@pytest.mark.timeout(30)\n"
        "def test_longer(request): assert seconds(request) == 30\n"
    )
    finished = _run(tmp_path, text)
    assert finished.returncode == 0, finished.stdout


@SPREAD
def test_a_thread_left_behind_fails_the_run(workers: int, tmp_path: Path) -> None:
    text = (
        "import threading, time\n"
        "def test_it(): threading.Thread(target=time.sleep, args=(4,), name='orphan').start()\n"
        "def test_other(): ...\n"
    )
    finished = _run(tmp_path, text, workers=workers)
    assert finished.returncode == 1
    assert "Threads left behind by the tests: orphan" in finished.stdout


def test_a_test_past_its_limit_fails_alone_and_says_where_it_stood(tmp_path: Path) -> None:
    text = (
        "import os, pytest, time\n"
        "@pytest.mark.timeout(0.2)\n"
        "def test_slow(): time.sleep(60)\n"
        "def test_crowded_workers_have_longer(request):\n"
        "    seconds = request.node.get_closest_marker('timeout').args[0]\n"
        "    assert seconds == 20 * max(1, 2 / os.cpu_count())\n"
    )
    finished = _run(tmp_path, text, workers=2)
    assert finished.returncode == 1
    assert "1 failed, 1 passed" in finished.stdout
    assert "def test_slow(): time.sleep(60)" in finished.stdout


def test_what_workers_and_their_child_processes_run_is_measured(tmp_path: Path) -> None:
    _lay_out(
        tmp_path,
        "import subprocess, sys\n"
        "def test_here(): import almenara.here\n"
        "def test_in_a_child():\n"
        "    subprocess.run([sys.executable, '-c', 'import almenara.child'], check=True)\n",
    )
    package = tmp_path / "almenara"
    package.mkdir()
    for name in ("__init__", "here", "child", "nobody"):
        (package / f"{name}.py").write_text(f"NAME = {name!r}\n")
    inside = {"PYTHONPATH": str(tmp_path)}
    finished = _call(tmp_path, "-m", "coverage", "run", "-m", "pytest", "-n", "2", **inside)
    assert finished.returncode == 0, finished.stdout
    assert _call(tmp_path, "-m", "coverage", "combine").returncode == 0
    assert _call(tmp_path, "-m", "coverage", "json", "-o", "found.json").returncode == 0
    files = json.loads((tmp_path / "found.json").read_text())["files"]
    assert {Path(name).stem: one["summary"]["covered_lines"] for name, one in files.items()} == {
        "__init__": 1,
        "here": 1,
        "child": 1,
        "nobody": 0,
    }


async def _tables(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()
    return [row["tablename"] for row in rows]


@pytest.mark.postgres
async def test_each_call_gives_an_empty_database_of_its_own(
    postgres_database: Callable[..., str], postgres_url: str
) -> None:
    first, second = postgres_database(), postgres_database()
    assert len({first, second, postgres_url, POSTGRES.url}) == 4
    assert await _tables(first) == []


@pytest.mark.postgres
async def test_a_migrated_database_has_the_schema(postgres_database: Callable[..., str]) -> None:
    assert {"message", "delivery", "attempt"} <= set(
        await _tables(postgres_database(migrated=True))
    )


@pytest.mark.postgres
async def test_databases_are_dropped_though_somebody_is_connected() -> None:
    databases = PostgresDatabases(POSTGRES.url)
    url = databases.make()
    connection = await asyncpg.connect(url)
    databases.drop_all()
    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await connection.fetch("SELECT 1")
    maintenance = await asyncpg.connect(POSTGRES.url)
    try:
        name = urlsplit(url).path.lstrip("/")
        assert (await maintenance.fetch("SELECT 1 FROM pg_database WHERE datname = $1", name)) == []
    finally:
        await maintenance.close()


@pytest.mark.parametrize(
    ("percent", "missing", "partial", "passes"),
    [
        (95.0, [], False, True),
        (94.9, [], False, False),
        (10.0, ["PostgreSQL"], False, True),
        (10.0, [], True, True),
    ],
)
def test_the_gate_is_for_whole_runs_with_every_server(
    percent: float, missing: list[str], partial: bool, passes: bool
) -> None:
    sentence, passed = verdict(percent, missing, partial=partial)
    assert passed is passes
    assert f"{percent:.1f} %" in sentence


def test_the_gate_counts_branches() -> None:
    assert branch_percent({"num_branches": 200, "covered_branches": 150}) == 75.0
    assert branch_percent({"num_branches": 0, "covered_branches": 0}) == 100.0


def test_the_gate_reads_what_was_missing(tmp_path: Path) -> None:
    path = tmp_path / "missing"
    assert missing_servers(path) == []
    path.write_text(json.dumps(["RabbitMQ"]))
    assert missing_servers(path) == ["RabbitMQ"]
