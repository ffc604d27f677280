"""Builds what sends, from settings: database, ledger, plugins, and the queue that uses them.

The server puts its API before it (``app.py``); a worker process is nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

from almenara import figures
from almenara.announce import Announcer
from almenara.database import Database, open_database
from almenara.database.lock import FileLock
from almenara.deliveries import LEASE, Outcome
from almenara.dispatch import Dispatcher, Instances, Leases, Verifier
from almenara.drilling import Driller
from almenara.egress import Egress, configure
from almenara.errors import ConfigurationError
from almenara.ledger import Ledger
from almenara.loader import Plugins
from almenara.migrations import is_empty, migrate, missing_migrations
from almenara.processes import Processes, Role
from almenara.queues.base import Queue
from almenara.queues.embedded import EmbeddedQueue
from almenara.queues.relay import RelayQueue
from almenara.routing import Routing
from almenara.secrets import Vault, open_vault
from almenara.settings import Settings
from almenara.tallies import Tallies
from almenara.telemetry import get_logger
from almenara.tracing import require_traces, tracing
from almenara.watch import LOOK_SECONDS, Watch, check_plugin_files

log = get_logger("app")


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a queue is made of."""

    settings: Settings
    database: Database
    ledger: Ledger
    routing: Routing
    dispatcher: Dispatcher
    clock: Callable[[], datetime]


def embedded_queue(wiring: Wiring) -> EmbeddedQueue:
    """Make the queue inside this process."""
    return EmbeddedQueue(
        database=wiring.database,
        ledger=wiring.ledger,
        routing=wiring.routing,
        dispatcher=wiring.dispatcher,
        clock=wiring.clock,
        sends=wiring.settings.sends,
        alone=wiring.settings.uses_sqlite,
    )


def relay_queue(wiring: Wiring) -> Queue:
    """Make the queue that only rings: workers on RabbitMQ send."""
    require_celery()
    from almenara.queues.celery import CeleryBell

    return RelayQueue(CeleryBell(wiring.settings))


def require_celery() -> None:
    """Find out whether the extra is installed.

    Raises:
        ConfigurationError: it is not.
    """
    if find_spec("celery") is None:
        raise ConfigurationError(
            "ALMENARA_BROKER_URL needs Celery, which is not installed: "
            "pip install 'almenara[celery]'."
        )


def queue_for(wiring: Wiring) -> Queue:
    """Make the queue that the settings ask for."""
    uses_broker = wiring.settings.broker_url is not None
    return relay_queue(wiring) if uses_broker else embedded_queue(wiring)


MakeQueue = Callable[[Wiring], Queue]


def utc_now() -> datetime:
    """Return the present moment; the clock that everything is given."""
    return datetime.now(UTC)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """Open the database, on SQLite under its file lock.

    Raises:
        ConfigurationError: it cannot be opened, or another process serves it.
    """
    async with AsyncExitStack() as stack:
        if settings.uses_sqlite:
            lock = FileLock(settings.data_dir / "almenara.lock")
            lock.acquire()
            stack.callback(lock.release)
        database = await open_database(settings)
        stack.push_async_callback(database.close)
        yield database


@dataclass(frozen=True, slots=True)
class Sending:
    """What makes attempts: everything but the API."""

    wiring: Wiring
    queue: Queue
    plugins: Plugins
    vault: Vault
    instances: Instances
    driller: Driller
    processes: Processes
    tallies: Tallies


@asynccontextmanager
async def sending(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    make_queue: MakeQueue = queue_for,
    lease: timedelta = LEASE,
    role: Role = "worker",
    look_seconds: float = LOOK_SECONDS,
    upgrade: bool = False,
) -> AsyncIterator[Sending]:
    """Run a queue and everything behind it; at the end, drain: what is under way ends first.

    Args:
        lease: how long a claim outlives its process; every process of a database has the same.
        role: what this process calls itself where others ask.
        look_seconds: how often the plugin files are looked at.
        upgrade: bring an older schema up to date instead of refusing it.

    Raises:
        ConfigurationError: the database, its schema or the key cannot be used, or traces cannot.
    """
    async with AsyncExitStack() as stack:
        spans = await stack.enter_async_context(tracing(settings))
        database = await stack.enter_async_context(opened(settings))
        # Before the tables: a set-up without a key must leave an empty database empty.
        vault = open_vault(settings)
        await _prepare(database, upgrade=upgrade)
        for warning in await database.warnings():
            log.warning("database_unsafe", reason=warning)
        routing = Routing(database)
        ledger = Ledger(database, announce=Announcer(routing))
        ledger.start()
        stack.push_async_callback(ledger.close)
        egress = Egress(settings.egress_allow)
        configure(egress)
        stack.callback(configure, None)
        stack.push_async_callback(egress.close)
        await asyncio.to_thread(check_plugin_files, settings)
        plugins = Plugins(settings.plugins_dir, strict=settings.strict)
        await asyncio.to_thread(plugins.load)
        await routing.refresh()
        instances = Instances(plugins, vault)
        stack.push_async_callback(instances.close)
        dispatcher = Dispatcher(
            database=database,
            ledger=ledger,
            routing=routing,
            instances=instances,
            clock=clock,
            leases=Leases(lease),
            spans=spans,
        )
        wiring = Wiring(settings, database, ledger, routing, dispatcher, clock)
        queue = make_queue(wiring)
        await stack.enter_async_context(_counting(wiring, queue))
        tallies = Tallies(database, ledger, clock=clock)
        # Behind the queue at the end, so that what the drain counts is stored.
        await stack.enter_async_context(tallies.kept())
        await queue.start()
        stack.push_async_callback(queue.drain, settings.drain_seconds)
        driller = Driller(
            database=database,
            ledger=ledger,
            routing=routing,
            verifier=Verifier(instances),
            clock=clock,
        )
        if not isinstance(queue, RelayQueue):
            # Where attempts are made, so that a drill has their environment.
            driller.start()
            stack.push_async_callback(driller.close)
        processes = Processes(database, role=role, clock=clock)
        watch = Watch(
            plugins=plugins,
            instances=instances,
            ledger=ledger,
            processes=processes,
            clock=clock,
            seconds=look_seconds,
        )
        await watch.start()
        stack.push_async_callback(watch.close)
        log.info("ready", database=database.dialect, plugin_count=len(plugins.found))
        yield Sending(wiring, queue, plugins, vault, instances, driller, processes, tallies)


def _counting(wiring: Wiring, queue: Queue) -> AbstractAsyncContextManager[None]:
    """Keep the figures of this process; what only rings has no slots."""
    read: dict[str, Callable[[], float]] = {}
    if isinstance(queue, EmbeddedQueue):
        read = {
            figures.SLOTS: lambda: wiring.settings.sends,
            figures.SLOTS_TAKEN: lambda: queue.slots.taken_count,
        }
    return figures.counting(
        channels=lambda: wiring.routing.table.channels, outcomes=list(Outcome), read=read
    )


async def prepare(settings: Settings, *, upgrade: bool = False) -> None:
    """Make the tables of an empty database, before several processes serve it.

    Args:
        upgrade: bring an older schema up to date instead of refusing it.

    Raises:
        ConfigurationError: the database, its schema or the key cannot be used, or traces cannot.
    """
    require_traces(settings)
    async with opened(settings) as database:
        open_vault(settings)
        await _prepare(database, upgrade=upgrade)


async def check_database(settings: Settings) -> None:
    """Find out whether the database can be worked on as it is.

    Raises:
        ConfigurationError: it cannot be reached, is empty, or its schema is another one; or the
            key, or traces, cannot be used.
    """
    require_traces(settings)
    async with opened(settings) as database:
        open_vault(settings)
        if await is_empty(database):
            raise ConfigurationError(
                "The database is empty: start `almenara serve` once, or run `almenara migrate`; or "
                "correct ALMENARA_DATABASE_URL."
            )
        await _refuse_older(database)


async def _prepare(database: Database, *, upgrade: bool) -> None:
    """Make the tables of an empty database; refuse an older one, unless it is to be upgraded."""
    if upgrade or await is_empty(database):
        applied = await migrate(database)
        if applied:
            log.info("migrated", applied=applied)
    await _refuse_older(database)


async def _refuse_older(database: Database) -> None:
    missing = await missing_migrations(database)
    if missing:
        raise ConfigurationError(
            f"The database's schema is older than this version of Almenara ({missing[0]} is "
            "missing). Make a backup, then run `almenara migrate`, or start the server with "
            "`almenara serve --migrate`."
        )
