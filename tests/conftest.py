"""What every test gets: a clean environment, its time limit, and databases of its own.

With pytest-xdist each worker runs these hooks for its own tests, and hands what it found to the
controller, which alone writes and reports it. Without workers, one process does both.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies
import pytest

from tests.servers import (
    SERVERS,
    PostgresDatabases,
    Server,
    is_up,
    postgres_databases,
    servers_are_required,
)

#: Far more than one needs: what hangs ends, and a machine with other work fails nothing.
UNIT_TIMEOUT_SECONDS = 20
#: Where `make test` reads which servers were missing (kept by pytest's cache).
MISSING_SERVERS = "almenara/missing_servers"
#: Where a worker of pytest-xdist leaves what the controller shall know.
FOUND_BY_A_WORKER = "almenara"

_UNIT = Path(__file__).parent / "unit"
_FOREIGN = ("ALMENARA_", "MAIL_", "OTEL_", "SLACK_", "WEBHOOK_")
_missing: Counter[Server] = Counter()
_left_behind: list[str] = []


def pytest_configure() -> None:
    """Let hypothesis measure nothing: on a machine with other work, its limits are luck."""
    hypothesis.settings.register_profile(
        "almenara",
        hypothesis.settings(),
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("almenara")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget what an earlier run found missing."""
    if not _is_worker(session.config):
        _remember(session.config)


@pytest.hookimpl(trylast=True)  # after hypothesis has marked its own
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Unit tests have twenty seconds, longer where workers share a processor, or what they ask.

    Those of hypothesis are a hundred tests each: they have what every test has.
    """
    seconds = UNIT_TIMEOUT_SECONDS * _workers_a_processor(config)
    for item in items:
        excepted = any(item.get_closest_marker(one) for one in ("timeout", "hypothesis"))
        if item.path.is_relative_to(_UNIT) and not excepted:
            item.add_marker(pytest.mark.timeout(seconds))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let hypothesis make its tables now: the first test to need them would break its limit."""
    if any(item.get_closest_marker("hypothesis") for item in session.items):
        hypothesis.given(hypothesis.strategies.text())(lambda _: None)()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose server is absent is skipped on a laptop and fails in CI."""
    fixtures = getattr(item, "fixturenames", ())
    for server in SERVERS:
        if item.get_closest_marker(server.marker) or f"_{server.marker}_databases" in fixtures:
            _require(server)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what was missing, and fail a run that left threads behind."""
    left = _threads_left_behind()
    if _is_worker(session.config):
        session.config.workeroutput[FOUND_BY_A_WORKER] = {
            "missing": {server.marker: count for server, count in _missing.items()},
            "left_behind": left,
        }
        return
    _remember(session.config)
    left += _left_behind
    if left and session.exitstatus == 0:
        print(f"\nThreads left behind by the tests: {', '.join(left)}")  # noqa: T201 - the terminal reporter is gone by now
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take from a worker what it found; one that died has said nothing, and fails the run."""
    found = getattr(node, "workeroutput", {}).get(FOUND_BY_A_WORKER)
    if found is not None:
        _missing.update({one: found["missing"].get(one.marker, 0) for one in SERVERS})
        _left_behind.extend(found["left_behind"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line a server what was skipped, and how to start what is missing."""
    for server, count in (+_missing).items():
        terminalreporter.write_line(
            f"{server.absence}: {count} tests did not run. {server.remedy}",
            yellow=True,
        )


def _require(server: Server) -> None:
    if is_up(server):
        return
    _missing[server] += 1
    if servers_are_required():
        pytest.fail(server.absence, pytrace=False)
    pytest.skip(server.absence)


def _remember(config: pytest.Config) -> None:
    cache = getattr(config, "cache", None)  # absent with `-p no:cacheprovider`
    if cache is not None:
        cache.set(MISSING_SERVERS, [server.name for server in +_missing])


def _workers_a_processor(config: pytest.Config) -> float:
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    return max(1, workers / (os.cpu_count() or 1))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _threads_left_behind() -> list[str]:
    deadline = time.monotonic() + 2
    while True:
        left = [
            thread.name
            for thread in threading.enumerate()
            if not thread.daemon and thread is not threading.main_thread()
        ]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _clean_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the shell that it was started from.

    A process that is measured takes twice as long to start: those of tests with the marker
    ``unmeasured`` are not, as what they run is measured elsewhere or they are killed.
    """
    foreign = _FOREIGN
    if request.node.get_closest_marker("unmeasured"):
        foreign += ("COVERAGE_",)
    for name in list(os.environ):
        if name.startswith(foreign) and not name.startswith("ALMENARA_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Make a directory that other users may enter: PostgreSQL, for one, refuses to run as root.

    It is none of pytest's: each run of pytest closes the directory above all of them to others, and
    so took the files away from a server in the middle of another run.
    """
    with tempfile.TemporaryDirectory(prefix="almenara-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture(scope="session")
def _postgres_databases() -> Iterator[PostgresDatabases]:
    with postgres_databases() as databases:
        yield databases


@pytest.fixture(scope="session")
def postgres_url(_postgres_databases: PostgresDatabases) -> str:
    """The URL of a database of this run, empty at first and shared by all its tests."""
    return _postgres_databases.make()


@pytest.fixture
def postgres_database(_postgres_databases: PostgresDatabases) -> Iterator[Callable[..., str]]:
    """A factory of fresh databases for one test: ``postgres_database(migrated=True)``.

    Each call returns a URL; without ``migrated`` the database has no tables at all.
    """
    made: list[str] = []

    def make(*, migrated: bool = False) -> str:
        made.append(_postgres_databases.make(migrated=migrated))
        return made[-1]

    yield make
    for url in made:
        _postgres_databases.drop(url)
