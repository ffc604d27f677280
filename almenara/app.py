"""Builds the application from settings: the only place that wires."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import FastAPI

from almenara import __version__
from almenara.accept import Acceptor
from almenara.announce import Announcer
from almenara.api import (
    accepting,
    channels,
    deliveries,
    explaining,
    health,
    messages,
    replays,
    topics,
)
from almenara.api import plugins as plugin_routes
from almenara.api.body_limit import BodyLimit
from almenara.api.dependencies import Parts
from almenara.api.errors import add_error_handlers
from almenara.catalogue import (
    Changes,
    Channels,
    ChannelSpec,
    Pausing,
    Topics,
    TopicSpec,
    TopicStep,
)
from almenara.database import Database, Transaction, open_database
from almenara.database.lock import FileLock
from almenara.deliveries import LEASE
from almenara.dispatch import Dispatcher, Instances, Leases, Previewer
from almenara.egress import Egress, configure
from almenara.errors import ConfigurationError
from almenara.explain import Explainer
from almenara.ledger import Ledger
from almenara.loader import Plugins, news_of
from almenara.log import Log
from almenara.migrations import is_empty, migrate, missing_migrations
from almenara.operate import Operator
from almenara.queues.base import Queue
from almenara.queues.embedded import EmbeddedQueue
from almenara.replay import Replays
from almenara.retention import Retention
from almenara.routing import UNTOUCHED, Routing
from almenara.secrets import Vault, open_vault
from almenara.settings import Settings
from almenara.telemetry import get_logger

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


def embedded_queue(wiring: Wiring) -> Queue:
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


def utc_now() -> datetime:
    """Return the present moment; the clock that everything is given."""
    return datetime.now(UTC)


def build(settings: Settings) -> FastAPI:
    """Build the application; it opens its database when it is started, not before."""
    app = FastAPI(
        title="Almenara",
        version=__version__,
        summary="A message in over HTTP, out by every channel, with a log that proves it.",
        lifespan=_lifespan,
    )
    app.add_middleware(BodyLimit, largest=settings.max_body_bytes)
    app.state.settings = settings
    add_error_handlers(app)
    for module in (
        accepting,
        explaining,
        messages,
        deliveries,
        replays,
        topics,
        channels,
        plugin_routes,
        health,
    ):
        app.include_router(module.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with running(app.state.settings) as parts:
        app.state.parts = parts
        yield


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


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    make_queue: Callable[[Wiring], Queue] = embedded_queue,
    lease: timedelta = LEASE,
) -> AsyncIterator[Parts]:
    """Run everything behind the API; at the end, drain: what is under way ends first.

    Args:
        lease: how long a claim outlives its process; every process of a database has the same.

    Raises:
        ConfigurationError: the database, its schema or the key cannot be used.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(opened(settings))
        # Before the tables: a set-up without a key must leave an empty database empty.
        vault = open_vault(settings)
        await _prepare(database)
        routing = Routing(database)
        ledger = Ledger(database, announce=Announcer(routing))
        ledger.start()
        stack.push_async_callback(ledger.close)
        egress = Egress(settings.egress_allow)
        configure(egress)
        stack.callback(configure, None)
        stack.push_async_callback(egress.close)
        plugins = Plugins(settings.plugins_dir)
        await asyncio.to_thread(plugins.load)
        table = await routing.refresh()
        await _tell_broken(plugins, ledger, clock())
        instances = Instances(plugins, vault)
        stack.push_async_callback(instances.close)
        dispatcher = Dispatcher(
            database=database,
            ledger=ledger,
            routing=routing,
            instances=instances,
            clock=clock,
            leases=Leases(lease),
        )
        wiring = Wiring(settings, database, ledger, routing, dispatcher, clock)
        queue = make_queue(wiring)
        await queue.start()
        stack.push_async_callback(queue.drain, settings.drain_seconds)
        parts = _parts(wiring, queue, plugins, vault, instances)
        parts.replays.start()
        stack.push_async_callback(parts.replays.close)
        if table.revision == UNTOUCHED:
            await _furnish(parts)
        retention = Retention(
            database=database, ledger=ledger, clock=clock, days=settings.retention_days
        )
        retention.start()
        stack.push_async_callback(retention.close)
        log.info("ready", database=database.dialect, plugin_count=len(plugins.found))
        yield parts


async def prepare(settings: Settings) -> None:
    """Make the tables of an empty database, before several processes serve it.

    Raises:
        ConfigurationError: the database, its schema or the key cannot be used.
    """
    async with opened(settings) as database:
        open_vault(settings)
        await _prepare(database)


def _parts(
    wiring: Wiring, queue: Queue, plugins: Plugins, vault: Vault, instances: Instances
) -> Parts:
    """Let the parts of the API learn of each other."""
    database, ledger, routing = wiring.database, wiring.ledger, wiring.routing
    clock = wiring.clock
    changes = Changes(ledger=ledger, routing=routing)
    return Parts(
        acceptor=Acceptor(
            ledger=ledger,
            routing=routing,
            queue=queue,
            clock=clock,
            lease=wiring.dispatcher.leases.length,
        ),
        explainer=Explainer(
            routing=routing, plugins=plugins, previewer=Previewer(instances), clock=clock
        ),
        operator=Operator(
            database=database, ledger=ledger, routing=routing, queue=queue, clock=clock
        ),
        replays=Replays(
            database=database, ledger=ledger, routing=routing, ring=queue.ring, clock=clock
        ),
        log=Log(database),
        channels=Channels(
            database=database,
            changes=changes,
            plugins=plugins,
            vault=vault,
            queue=queue,
            clock=clock,
        ),
        pausing=Pausing(database=database, changes=changes, queue=queue, clock=clock),
        topics=Topics(database=database, changes=changes, clock=clock),
        plugins=plugins,
        database=database,
        ledger=ledger,
        queue=queue,
    )


async def _prepare(database: Database) -> None:
    """Make the tables of an empty database; refuse an older one."""
    if await is_empty(database):
        await migrate(database)
    missing = await missing_migrations(database)
    if missing:
        raise ConfigurationError(
            f"The database's schema is older than this version of Almenara ({missing[0]} is "
            "missing). Make a backup, then run `almenara migrate`."
        )


async def _tell_broken(plugins: Plugins, ledger: Ledger, now: datetime) -> None:
    """Log what is broken among the plugins, and tell each breakage once."""
    for broken in plugins.broken:
        log.warning("plugin_broken", file=str(broken.file), reason=broken.reason)
    if plugins.broken:

        async def tell(transaction: Transaction) -> None:
            transaction.news += [news_of(broken, now) for broken in plugins.broken]

        await ledger.run(tell)


async def _furnish(parts: Parts) -> None:
    """Give a new database a topic that works at once."""
    await parts.channels.write(ChannelSpec(name="log", plugin="Log"), create=True, replace=True)
    hello = TopicSpec(name="hello", channels=[TopicStep("log")])
    await parts.topics.write(hello, create=True, replace=True)
