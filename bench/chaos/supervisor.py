"""A service manager: it starts again what has died, and kills what answers no more."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.chaos.product import Product

_LOOKS_EVERY = 0.1


class Supervisor:
    """Keeps a product alive.

    Args:
        patience_seconds: so long it may be silent before it is killed.
    """

    def __init__(self, product: Product, *, patience_seconds: float) -> None:
        self._product = product
        self._patience_seconds = patience_seconds
        #: How often it was found dead, and how often it was killed because it did not answer.
        self.deaths = 0
        self.hangs = 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep it alive meanwhile; at the end it runs."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            if not await self._product.ready():
                await self._start_again()

    async def _watch(self) -> None:
        answered = time.monotonic()
        while True:
            await asyncio.sleep(_LOOKS_EVERY)
            if self._product.running and await asyncio.to_thread(_alive, self._product.url):
                answered = time.monotonic()
                continue
            hangs = time.monotonic() - answered > self._patience_seconds
            if self._product.running and not hangs:
                continue
            await self._start_again()
            answered = time.monotonic()

    async def _start_again(self) -> None:
        while True:
            if self._product.running:
                self.hangs += 1
                self._product.kill()
            else:
                self.deaths += 1
            try:
                await self._product.start()
            except RuntimeError:
                # It died again before it was ready.
                continue
            return


def _alive(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/healthz", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False
