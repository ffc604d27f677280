"""Bodies of foreign webhooks on a topic become messages: which mapping holds, and what it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from almenara.errors import FieldError, InvalidInputError
from almenara.routing import Routing
from almenara.telemetry import get_logger
from almenara.templates import SENDERS, Reading, Translated, reading_of, translate

log = get_logger("intake")


class Intake:
    """Translates what senders post that cannot be changed."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing

    async def reading(self, topic: str, sender: str | None) -> Reading | None:
        """Return how bodies on a topic are read; ``None``: they are messages as they are.

        Args:
            sender: the name of a well-known sender, which goes before the topic's own mapping.

        Raises:
            InvalidInputError: no sender of this name is known.
        """
        if sender is not None:
            if sender not in SENDERS:
                message = f"There is no template of this name; known: {', '.join(SENDERS)}."
                wrong = FieldError(field="template", code="template_not_found", message=message)
                raise InvalidInputError(message, errors=[wrong], code="template_not_found")
            return SENDERS[sender]
        name = topic.strip().lower()
        # A topic that is not known may be another process's newest.
        table = self._routing.table
        if name not in table.topics:
            table = await self._routing.refresh()
        found = table.topics.get(name)
        return None if found is None or found.accept is None else reading_of(found.accept)

    async def translate(
        self, reading: Reading, body: Any, headers: Mapping[str, str]
    ) -> Translated:
        """Make a message of a body, beside the event loop; see :func:`translate`."""
        translated = await asyncio.to_thread(translate, reading, body, headers)
        errors = translated.body.get("metadata", {}).get("accept_errors", ())
        if errors:
            # The fields alone: what is wrong with them may quote the body.
            fields = sorted({one.partition(":")[0] for one in errors})
            log.warning("webhook_not_understood", fields=fields)
        return translated
