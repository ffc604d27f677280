"""News become messages on the system topics, inside the transaction of their cause."""

from __future__ import annotations

from collections.abc import Sequence

from almenara.database import Transaction
from almenara.deliveries import Key, NewMessage, Plan
from almenara.ledger import accept_messages
from almenara.models import new_id
from almenara.news import News
from almenara.plan import no_slot, plan_message
from almenara.routing import Routing, Table, find_route
from almenara.telemetry import get_logger

log = get_logger("announce")

#: News come from the router itself.
_SENDER = "almenara"
#: More urgent than what senders write without a priority.
_PRIORITY = 2


class Announcer:
    """Writes news where a topic of their name exists; whatever else happens is not told."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing

    async def __call__(self, transaction: Transaction, news: Sequence[News]) -> None:
        """Plan and write the messages for news; the queue's next scan finds them."""
        table = await self._routing.read_in(transaction, locked=False)
        if not any(one.topic.value in table.topics for one in news):
            return
        table = await self._routing.read_in(transaction)
        plans = [plan for one in news if (plan := _planned(one, table)) is not None]
        await accept_messages(transaction, plans)


def _planned(news: News, table: Table) -> Plan | None:
    if news.topic.value not in table.topics:
        return None
    try:
        return _plan(news, table)
    except Exception:
        # News that cannot be planned must not keep their cause from being recorded.
        log.exception("news_not_planned", topic=news.topic.value)
        return None


def _plan(news: News, table: Table) -> Plan:
    message = NewMessage(
        id=new_id(),
        topic=news.topic.value,
        description=news.text,
        created_at=news.at,
        title=news.title,
        priority=_PRIORITY,
        data=news.data,
        sender=_SENDER,
    )
    route = find_route(table, message.topic, None, message)
    return plan_message(
        message._replace(topic=route.topic, redact=route.redact),
        route.channels,
        revision=table.revision,
        now=news.at,
        new_id=new_id,
        take_slot=no_slot,
        key=Key(_SENDER, news.key, "") if news.key else None,
        step_deadline=route.step_deadline,
    )
