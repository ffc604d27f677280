"""The Celery queue in one process: the relay, RabbitMQ, and a worker that hears it in a thread.

Both ends are the product's own, and so is the way between them. Only the processes are left out: a
test can move the clock that both ends share. Workers in processes of their own are tested in
tests/acceptance/test_celery_worker.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from celery.contrib.testing.worker import start_worker
from pydantic import SecretStr

from almenara.deliveries import NewDelivery
from almenara.dispatch import Ready
from almenara.queues.celery import CeleryBell, make_worker
from almenara.queues.relay import RelayQueue
from almenara.routing import ChannelRoute
from almenara.sending import Wiring, embedded_queue
from tests.servers import RABBITMQ
from tests.serving import until


class CeleryQueue:
    """What the contract suite makes for `celery`."""

    def __init__(self, wiring: Wiring) -> None:
        self._sender = embedded_queue(wiring)
        # SQLite, too: here both ends are one process.
        broker_url = {"broker_url": SecretStr(RABBITMQ.url)}
        self._settings = wiring.settings.model_copy(update=broker_url)
        self._relay = RelayQueue(CeleryBell(self._settings))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: AbstractContextManager[Any] | None = None
        self._scan = self._sender._scan
        self._sender._scan = self._count_scan  # type: ignore[method-assign]  # to see it from outside
        self._scan_count = 0
        #: What was rung for so far.
        self.heard: list[Mapping[str, Sequence[UUID]]] = []

    async def scanned(self) -> None:
        """Let the worker scan from now on; a ring alone makes it look for nothing."""
        wanted = self._scan_count + 2

        async def look() -> bool:
            self._sender._rest.end()
            return self._scan_count >= wanted

        await until(look)

    async def _count_scan(self) -> float:
        sleep = await self._scan()
        self._scan_count += 1
        return sleep

    # --- the engine of the worker

    def check(self) -> None:
        """Nothing: the test made everything."""

    def begin(self, place: int) -> None:
        """Nothing: :meth:`start` did."""

    def hear(self, rung: Mapping[str, Sequence[UUID]]) -> None:
        """Hand a ring over to the loop of the test."""
        assert self._loop is not None
        self.heard.append(rung)
        asyncio.run_coroutine_threadsafe(self._sender.hear(rung), self._loop).result(10)

    def end(self) -> None:
        """Nothing: :meth:`drain` does."""

    # --- the queue

    def take_slot(self, channel: ChannelRoute) -> bool:
        return self._relay.take_slot(channel)

    def return_slot(self, channel: str) -> None:
        self._relay.return_slot(channel)

    def start_attempts(self, ready: Sequence[Ready]) -> None:
        self._relay.start_attempts(ready)

    def ring(self, channels: Iterable[str]) -> None:
        self._relay.ring(channels)

    def ring_for(self, deliveries: Sequence[NewDelivery]) -> None:
        self._relay.ring_for(deliveries)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._sender.start()
        self._app = app = make_worker(self._settings, self)
        # So often its loop looks whether it is to end.
        app.conf.broker_heartbeat = 1
        self._worker = start_worker(app, pool="solo", perform_ping_check=False)
        await asyncio.to_thread(self._worker.__enter__)
        await self._relay.start()

    async def drain(self, grace_seconds: float) -> None:
        await self._relay.drain(grace_seconds)
        if self._worker is not None:
            await asyncio.to_thread(self._worker.__exit__, None, None, None)
            self._worker = None
            self._app.close()
        await self._sender.drain(grace_seconds)

    @property
    def trouble(self) -> str | None:
        return self._relay.trouble

    @property
    def healthy(self) -> bool:
        return self._relay.healthy and self._sender.healthy


def celery_queue(wiring: Wiring) -> CeleryQueue:
    """Make the Celery queue."""
    return CeleryQueue(wiring)
