"""What every test gets: a clean environment, its time limit, and databases of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import (
    SERVERS,
    PostgresDatabases,
    Server,
    is_up,
    postgres_databases,
    servers_are_required,
)

UNIT_TIMEOUT_SECONDS = 5
#: Where `make test` reads which servers were missing (kept by pytest's cache).
MISSING_SERVERS = "almenara/missing_servers"

_UNIT = Path(__file__).parent / "unit"
_FOREIGN = ("ALMENARA_", "MAIL_", "SLACK_", "WEBHOOK_")
_missing: dict[Server, int] = {}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget what an earlier run found missing."""
    _remember(session.config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unit tests have five seconds, unless they ask for another limit."""
    for item in items:
        if item.path.is_relative_to(_UNIT) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(UNIT_TIMEOUT_SECONDS))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose server is absent is skipped on a laptop and fails in CI."""
    fixtures = getattr(item, "fixturenames", ())
    for server in SERVERS:
        if item.get_closest_marker(server.marker) or f"_{server.marker}_databases" in fixtures:
            _require(server)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what was missing, and fail a run that left threads behind."""
    _remember(session.config)
    left = _threads_left_behind()
    if left and session.exitstatus == 0:
        print(f"\nThreads left behind by the tests: {', '.join(left)}")  # noqa: T201 - the terminal reporter is gone by now
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line a server what was skipped, and how to start what is missing."""
    for server, count in _missing.items():
        terminalreporter.write_line(
            f"{server.name} does not answer at {server.address}: {count} tests did not run. "
            f"Start it with `make up`, or set {server.variable}.",
            yellow=True,
        )


def _require(server: Server) -> None:
    if is_up(server):
        return
    _missing[server] = _missing.get(server, 0) + 1
    reason = f"{server.name} does not answer at {server.address}"
    if servers_are_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _remember(config: pytest.Config) -> None:
    if config.cache is not None:
        config.cache.set(MISSING_SERVERS, [server.name for server in _missing])


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
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the shell that it was started from."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and not name.startswith("ALMENARA_TEST_"):
            monkeypatch.delenv(name)


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
