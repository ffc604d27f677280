"""Almenara's attempts without a database: what a worker does between the claim and the record.

`python -m bench.fleet.alone URL COUNT` makes so many attempts, 64 at once, and prints how many
seconds they took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import uvloop

from almenara import telemetry
from almenara.deliveries import Claim, NewMessage
from almenara.dispatch import Dispatcher, Instances, Leases, Ready
from almenara.egress import Egress, configure
from almenara.garbage import settle_down
from almenara.loader import Plugins
from almenara.models import new_id
from almenara.routing import ChannelRoute, TopicRoute
from almenara.secrets import Vault
from almenara.settings import read_settings
from bench.references.celery_plain import MESSAGE

_AT_ONCE = 64


class _Nothing:
    """Stands where the ledger is, and records nothing."""

    running = True

    async def write(self, *_: object, **__: object) -> bool:
        return True


@dataclass
class _Table:
    channels: dict[str, ChannelRoute]
    topics: dict[str, TopicRoute] = field(default_factory=dict)


@dataclass
class _Routing:
    """Stands where the configuration is read from the database."""

    table: _Table = field(default_factory=lambda: _Table({}))


async def main(url: str, count: int) -> None:
    """Make the attempts."""
    settings = read_settings()
    telemetry.configure("json")
    egress = Egress(settings.egress_allow)
    configure(egress)
    plugins = Plugins(None)
    await asyncio.to_thread(plugins.load)
    route = ChannelRoute(
        id=str(new_id()),
        name="bench",
        plugin="Webhook",
        settings={"url": url},
        enabled=True,
        timeout_seconds=15,
        retry_schedule=(),
        concurrency=_AT_ONCE,
        on_unknown="retry",
        revision=1,
    )
    dispatcher = Dispatcher(
        database=cast(Any, None),
        ledger=cast(Any, _Nothing()),
        routing=cast(Any, _Routing(_Table({"bench": route}))),
        instances=Instances(plugins, Vault(bytes(32))),
        clock=lambda: datetime.now(UTC),
        leases=Leases(),
    )
    left = iter(range(count))

    async def attempts() -> None:
        for _ in left:
            attempted = await dispatcher.attempt(_ready())
            assert attempted.result is not None
            assert attempted.result.status == "sent", attempted.result
            await dispatcher.record(attempted.result)

    await dispatcher.attempt(_ready())
    settle_down()
    begun = time.perf_counter()
    await asyncio.gather(*[attempts() for _ in range(_AT_ONCE)])
    print(time.perf_counter() - begun)
    await egress.close()


def _ready() -> Ready:
    now = datetime.now(UTC)
    message = NewMessage(id=new_id(), created_at=now, **cast(Any, MESSAGE))
    claim = Claim(
        delivery_id=new_id(),
        message_id=message.id,
        channel="bench",
        attempt_number=1,
        retry_step=0,
        token=new_id(),
        started_at=now,
        lease_until=now + timedelta(seconds=30),
        claimed_at=time.monotonic(),
    )
    return Ready(claim, message)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
