"""One attempt: read what is to be sent, call the plugin, record what it came to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from almenara import figures
from almenara.database import Database
from almenara.deliveries import Claim, NewMessage, Result
from almenara.dispatch.attached import files_in
from almenara.dispatch.call import Ended, call_plugin
from almenara.dispatch.contents import read_contents
from almenara.dispatch.instances import Instances
from almenara.dispatch.leases import Leases
from almenara.dispatch.traced import attempting, tell_result
from almenara.dispatch.verdict import judge
from almenara.dispatch.wording import worded
from almenara.errors import PermanentError, PluginError, TemporaryError, UnavailableError
from almenara.ledger import Ledger, record_results, return_claims
from almenara.loader import Instance
from almenara.routing import ChannelRoute, Routing
from almenara.telemetry import get_logger
from almenara.tracing import Spans

log = get_logger("dispatch")

#: A result that could not be recorded is tried again after so many seconds at the most.
_LONGEST_RECORDING_WAIT = 2.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A claimed delivery with what is to be sent."""

    claim: Claim
    message: NewMessage


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt that was made, and is still to be recorded."""

    #: ``None``: the claim had grown too old to send, and was given back.
    result: Result | None
    #: What still runs in spite of its deadline, and keeps its slot until it ends.
    lingering: asyncio.Future[Any] | None = None


class Dispatcher:
    """Makes the attempts of one process, and never raises what a plugin did."""

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        routing: Routing,
        instances: Instances,
        clock: Callable[[], datetime],
        leases: Leases,
        spans: Spans | None = None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._routing = routing
        self._instances = instances
        self._clock = clock
        self._attach = files_in(database)
        #: The claims whose attempts are under way here.
        self.leases = leases
        #: ``None``: tracing is off.
        self.spans = spans
        self._abandon: asyncio.Future[None] | None = None

    async def read(self, claims: Iterable[Claim]) -> list[Ready]:
        """Read what is to be sent for claims of deliveries that were stored before."""
        claims = list(claims)
        stored = await read_contents(self._database, {claim.message_id for claim in claims})
        return [Ready(claim, stored[claim.message_id]) for claim in claims]

    async def attempt(self, ready: Ready) -> Attempted:
        """Make one attempt; its result is owed to :meth:`record`."""
        if self.spans is None:
            return await self._attempt(ready)
        channel = self._routing.table.channels.get(ready.claim.channel)
        with attempting(self.spans, ready.claim, ready.message, channel) as span:
            attempted = await self._attempt(ready)
            tell_result(span, attempted.result)
        return attempted

    async def _attempt(self, ready: Ready) -> Attempted:
        claim = ready.claim
        bound = structlog.contextvars.bind_contextvars(
            message_id=str(claim.message_id),
            delivery_id=str(claim.delivery_id),
            channel=claim.channel,
        )
        try:
            channel = self._routing.table.channels.get(claim.channel)
            timeout = channel.timeout_seconds if channel else 0.0
            if not self.leases.lasts(claim, timeout):
                # The claim may run out while the plugin works: somebody else would send it too.
                await self._give_back([claim])
                return Attempted(result=None)
            ended, secrets = await self._call(ready, channel)
            result = judge(
                ended,
                claim,
                channel or _gone(claim.channel),
                now=self._clock(),
                spread=random.uniform(-1, 1),  # noqa: S311 - jitter, not a secret
                secrets=secrets,
            )
            return Attempted(result, ended.lingering)
        finally:
            structlog.contextvars.reset_contextvars(**bound)

    def abandon(self) -> None:
        """Wait no longer for the attempts under way: they are recorded as of unknown outcome."""
        future = self._abandoned()
        if not future.done():
            future.set_result(None)

    async def _call(
        self, ready: Ready, channel: ChannelRoute | None
    ) -> tuple[Ended, frozenset[str]]:
        if channel is None:
            return Ended(error=TemporaryError("The channel was deleted.")), frozenset()
        built: list[Instance] = []

        def build() -> object:
            built.append(self._instances.build(channel))
            return built[0].target

        try:
            message = await worded(
                ready.message,
                channel,
                self._routing.table.topics.get(ready.message.topic or ""),
                idempotency_key=str(ready.claim.delivery_id),
                attach=self._attach,
                carries_attachments=self._instances.carry_attachments(channel),
            )
            kept = self._instances.kept(channel)
        except (PluginError, PermanentError) as error:
            return Ended(error=error), frozenset()
        if kept is not None:
            built.append(kept)
        ended = Ended()
        try:
            ended = await call_plugin(
                None if kept is None else kept.target,
                build,
                message,
                timeout_seconds=channel.timeout_seconds,
                abandon=self._abandoned(),
            )
        finally:
            self._instances.let_go_after(built, ended.lingering)
        await self._instances.close_retired()
        return ended, built[0].secrets if built else frozenset()

    async def record(self, result: Result, *, topic: str | None = None) -> None:
        """Record a result, trying as often as it takes: a late one moves nothing, by its fence.

        Args:
            topic: its message's, for the figures.
        """
        wait = 0.05
        while True:
            try:
                on_time = await self._ledger.write(record_results, result, urgent=True)
                break
            except UnavailableError:
                if not self._ledger.running:
                    # The rescue of the next start records it as unknown.
                    return
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_RECORDING_WAIT)
        seconds = (result.finished_at - result.claim.started_at).total_seconds()
        figures.count_attempt(
            result.claim.channel,
            result.outcome.value,
            seconds,
            topic=topic,
            reason=result.reason and result.reason.value,
        )
        log.info(
            "attempt_made",
            message_id=str(result.claim.message_id),
            delivery_id=str(result.claim.delivery_id),
            channel=result.claim.channel,
            outcome=result.outcome.value,
            status=result.status.value,
            attempt_number=result.claim.attempt_number,
            late=not on_time,
            error=result.error,
        )

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        log.warning("claim_given_back", reason="the claim grew too old before its attempt began")
        await self._ledger.write(return_claims, claims, urgent=True)

    def _abandoned(self) -> asyncio.Future[None]:
        if self._abandon is None:
            self._abandon = asyncio.get_running_loop().create_future()
        return self._abandon


def _gone(name: str) -> ChannelRoute:
    """Stand in for a channel that was deleted while its delivery was claimed."""
    return ChannelRoute(
        id="",
        name=name,
        plugin="",
        settings={},
        enabled=False,
        timeout_seconds=0,
        retry_schedule=(),
        concurrency=0,
        on_unknown="retry",
        revision=0,
    )
