"""Builds the application from settings: the parts of the API, before what sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from almenara.accept import Acceptor
from almenara.api.application import Application
from almenara.api.gate import Gate
from almenara.api.headers import SafeHeaders
from almenara.api.parts import Parts
from almenara.audit import Audit
from almenara.auth import open_authenticator
from almenara.backlog import Backlog
from almenara.backups import Backups
from almenara.catalogue import (
    Changes,
    Channels,
    ChannelSpec,
    Pausing,
    Topics,
    TopicSpec,
    TopicStep,
)
from almenara.console import Console
from almenara.deliveries import LEASE
from almenara.dispatch import Previewer
from almenara.errors import ConfigurationError, InvalidInputError
from almenara.explain import Explainer
from almenara.intake import Intake
from almenara.log import Log
from almenara.operate import Operator
from almenara.rates import Rate, parse_rate
from almenara.replay import Replays
from almenara.retention import Retention
from almenara.routing import UNTOUCHED
from almenara.sending import MakeQueue, Sending, queue_for, sending, utc_now
from almenara.settings import Settings
from almenara.stream import Stream, Words
from almenara.uploads import Uploads
from almenara.watch import LOOK_SECONDS

if TYPE_CHECKING:
    from fastapi import FastAPI


def build(settings: Settings) -> Application:
    """Build what answers requests; whoever serves it gives its state the ``parts`` that run.

    Raises:
        ConfigurationError: who issues tokens, or a rate, is not written as it can be used.
    """
    console = Console(settings)

    def make_documented() -> FastAPI:
        # Importing the routes takes a third of a server's start, and a plain message needs none.
        from almenara.api.documented import documented

        return documented(largest=settings.max_body_bytes, others=console.routes)

    return Application(
        settings,
        authenticator=open_authenticator(settings),
        rate=_sender_rate(settings),
        hosts=allowed_hosts(settings),
        open_to_all=console.paths,
        make_documented=make_documented,
    )


def build_metrics(settings: Settings) -> FastAPI:
    """Build what a worker serves: `/metrics`, for whoever may read them on a server.

    Raises:
        ConfigurationError: who issues tokens is not written as it can be used.
    """
    from almenara.api.documented import measured

    app = measured()
    app.add_middleware(Gate, authenticator=open_authenticator(settings), rate=None)
    app.add_middleware(SafeHeaders, hosts=allowed_hosts(settings))
    app.state.settings = settings
    app.state.parts = None
    return app


def allowed_hosts(settings: Settings) -> tuple[str, ...]:
    """Return the names that the server answers to; none: any.

    Without tokens, loopback is what protects it; a page of somebody's that gives this address its
    own name (DNS rebinding) would have a browser speak to it from this very machine.
    """
    if settings.allowed_hosts or settings.asks_for_tokens or not settings.on_loopback:
        return settings.allowed_hosts
    return ("localhost", "*.localhost", "127.0.0.1", "::1", settings.host)


def _sender_rate(settings: Settings) -> Rate | None:
    if settings.sender_rate is None:
        return None
    try:
        return parse_rate(settings.sender_rate)
    except InvalidInputError as error:
        raise ConfigurationError(f"ALMENARA_SENDER_RATE: {error.message}") from error


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    make_queue: MakeQueue = queue_for,
    lease: timedelta = LEASE,
    look_seconds: float = LOOK_SECONDS,
    upgrade: bool = False,
) -> AsyncIterator[Parts]:
    """Run everything behind the API, its queue included; see :func:`sending`."""
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(
            sending(
                settings,
                clock=clock,
                make_queue=make_queue,
                lease=lease,
                role="server",
                look_seconds=look_seconds,
                upgrade=upgrade,
            )
        )
        parts = _parts(behind)
        parts.backups.tidy()
        parts.replays.start()
        stack.push_async_callback(parts.replays.close)
        stack.push_async_callback(parts.stream.close)
        if behind.wiring.routing.table.revision == UNTOUCHED:
            await _furnish(parts)
        retention = Retention(
            database=parts.database,
            ledger=parts.ledger,
            clock=clock,
            days=settings.retention_days,
            audit_days=settings.audit_days,
        )
        retention.start()
        stack.push_async_callback(retention.close)
        yield parts


def _parts(behind: Sending) -> Parts:
    """Let the parts of the API learn of each other."""
    wiring, queue, plugins, vault = behind.wiring, behind.queue, behind.plugins, behind.vault
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
        intake=Intake(routing),
        uploads=Uploads(ledger=ledger, clock=clock),
        explainer=Explainer(
            routing=routing, plugins=plugins, previewer=Previewer(behind.instances), clock=clock
        ),
        operator=Operator(
            database=database, ledger=ledger, routing=routing, queue=queue, clock=clock
        ),
        replays=Replays(
            database=database, ledger=ledger, routing=routing, ring=queue.ring, clock=clock
        ),
        log=Log(database),
        audit=Audit(database),
        backups=Backups(
            database=database, ledger=ledger, source=wiring.settings.database_file, clock=clock
        ),
        channels=Channels(
            database=database,
            changes=changes,
            plugins=plugins,
            vault=vault,
            queue=queue,
            clock=clock,
        ),
        driller=behind.driller,
        pausing=Pausing(database=database, changes=changes, queue=queue, clock=clock),
        topics=Topics(database=database, changes=changes, clock=clock),
        plugins=plugins,
        processes=behind.processes,
        backlog=Backlog(database, clock=clock),
        tallies=behind.tallies,
        spans=wiring.dispatcher.spans,
        stream=Stream(database, words=_stream_words),
        database=database,
        ledger=ledger,
        queue=queue,
    )


def _stream_words() -> Words:
    from almenara.api.streaming import stream_words

    return stream_words()


async def _furnish(parts: Parts) -> None:
    """Give a new database a topic that works at once."""
    await parts.channels.write(ChannelSpec(name="log", plugin="Log"), create=True, replace=True)
    hello = TopicSpec(name="hello", channels=[TopicStep("log")])
    await parts.topics.write(hello, create=True, replace=True)
