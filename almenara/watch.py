"""Watches the plugin files while the process runs, and lets the other parts know of each change.

A thread of its own looks at the disk and imports: a file that hangs while it is imported stops
neither the event loop nor what is being sent.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from almenara.database import Transaction
from almenara.dispatch import Instances
from almenara.errors import ConfigurationError, UnavailableError
from almenara.ledger import Ledger
from almenara.loader import Change, Loose, Plugins, find_loose, news_of
from almenara.news import News
from almenara.processes import REPORT_SECONDS, Processes
from almenara.settings import Settings
from almenara.telemetry import get_logger

log = get_logger("watch")

#: The disk is looked at so often, in seconds; what stands still for two looks is taken up.
LOOK_SECONDS = 1.0
#: At the end, the thread and the database are waited for no longer than this, in seconds.
_ENDING_SECONDS = 2.0


def check_plugin_files(settings: Settings) -> None:
    """Tell what of the plugin directory others can change; with ``strict``, go no further.

    Raises:
        ConfigurationError: with ``strict``, others can.
    """
    loose = find_loose(settings.plugins_dir)
    if loose and settings.strict:
        said = "\n".join(f"  {one.path}: {one.reason}" for one in loose)
        raise ConfigurationError(
            f"Plugins are code that runs with all rights of the server (ALMENARA_STRICT):\n{said}"
        )
    for one in loose:
        log.warning("plugin_unsafe", path=str(one.path), reason=one.reason)


class Watch:
    """Keeps the plugins of one process as the files have them."""

    def __init__(
        self,
        *,
        plugins: Plugins,
        instances: Instances,
        ledger: Ledger,
        processes: Processes,
        clock: Callable[[], datetime],
        seconds: float = LOOK_SECONDS,
    ) -> None:
        self._plugins = plugins
        self._instances = instances
        self._ledger = ledger
        self._processes = processes
        self._clock = clock
        self._seconds = seconds
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._ending = threading.Event()
        self._task: asyncio.Task[None] | None = None
        #: The keys of the breakages that there are; each is told once.
        self._known: frozenset[str | None] = frozenset()
        self._untold: list[News] = []
        #: What others can change of the plugin files; each is warned of once.
        self._loose: frozenset[Loose] = frozenset()

    async def start(self) -> None:
        """Tell what is broken by now, and begin to watch."""
        # Of those that there are by now the start has warned.
        self._loose = frozenset(await asyncio.to_thread(self._plugins.find_loose))
        await self._find_news()
        await self._tell()
        await self._report()
        self._task = asyncio.create_task(self._follow(), name="plugin-watch")
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._look, args=(loop,), name="almenara-plugin-watch", daemon=True
        ).start()

    async def close(self) -> None:
        """Watch no longer; an import that hangs goes on in a thread that keeps nothing alive."""
        self._ending.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(Exception):
            # Where the database is away, the row grows old.
            async with asyncio.timeout(_ENDING_SECONDS):
                await self._processes.leave()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the disk again and again, in a thread of its own."""
        while not self._ending.wait(self._seconds):
            try:
                change = self._plugins.look()
            except Exception:
                log.exception("plugin_look_failed")
                continue
            if change is not None and not self._ending.is_set():
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._changes.put_nowait, change)

    async def _follow(self) -> None:
        """Do what every change asks for, and report this process in between."""
        while True:
            change = None
            with suppress(TimeoutError):
                async with asyncio.timeout(REPORT_SECONDS):
                    change = await self._changes.get()
            try:
                await self._take_up(change)
            except Exception:
                log.exception("plugin_watch_failed")

    async def _take_up(self, change: Change | None) -> None:
        if change is not None:
            self._instances.retire_outdated()
            if change.loaded or change.gone:
                log.info("plugins_changed", loaded=list(change.loaded), gone=list(change.gone))
            await self._find_news()
            await self._warn()
        await self._instances.close_retired()
        await self._tell()
        await self._report()

    async def _report(self) -> None:
        revisions = {each.qualified_name: each.revision for each in self._plugins.found}
        broken = {one.qualified_name or one.directory: one.reason for one in self._plugins.broken}
        try:
            await self._processes.report(revisions, broken)
        except Exception as error:  # noqa: BLE001 - whatever the database raises
            log.debug("process_not_reported", reason=str(error)[:200])

    async def _find_news(self) -> None:
        """Log what is broken among the plugins, each breakage once, and keep it to be told."""
        broken, now = list(self._plugins.broken), self._clock()
        # In a thread: it reads the files.
        found = await asyncio.to_thread(lambda: [(one, news_of(one, now)) for one in broken])
        for one, news in found:
            if news.key not in self._known:
                log.warning(
                    "plugin_broken", file=str(one.file), reason=one.reason, runs_on=one.runs_on
                )
                self._untold.append(news)
        self._known = frozenset(news.key for _, news in found)

    async def _warn(self) -> None:
        """Warn of what others can change by now."""
        loose = await asyncio.to_thread(self._plugins.find_loose)
        for one in loose:
            if one not in self._loose:
                log.warning("plugin_unsafe", path=str(one.path), reason=one.reason)
        self._loose = frozenset(loose)

    async def _tell(self) -> None:
        """Tell what is new; what cannot be written now is told later."""
        news = list(self._untold)
        if not news:
            return

        async def tell(transaction: Transaction) -> None:
            transaction.news += news

        with suppress(UnavailableError):
            await self._ledger.run(tell)
            self._untold = self._untold[len(news) :]
