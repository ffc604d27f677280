"""Triggers an alert at PagerDuty (Events API v2); a repeated attempt is the same alert."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from almenara import (
    Message,
    PluginSettings,
    SecretStr,
    WebUrl,
    as_text,
    cut,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: https://developer.pagerduty.com/docs/send-alert-event
_LONGEST_SUMMARY, _LONGEST_DETAILS = 1_024, 20_000
#: By our priority, from the most urgent.
_SEVERITIES = {1: "critical", 2: "error", 3: "warning", 4: "info", 5: "info"}


class PagerDuty:
    """Triggers one alert for each message; messages with one ``data.dedup_key`` are one alert.

    Where a message names no key, it is the delivery's, so that a repeated attempt makes no second
    alert.
    """

    class Settings(PluginSettings):
        """Where the alerts go."""

        routing_key: SecretStr = Field(
            description="The integration key of a service or of an event orchestration."
        )
        source: str = Field(default="almenara", min_length=1, description="What the alert names.")
        action: Literal["trigger", "acknowledge", "resolve"] = Field(
            default="trigger",
            description="What each message does to its alert, unless its `data.action` says it.",
        )
        api_url: WebUrl = Field(
            default="https://events.pagerduty.com", description="The API; another one for tests."
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Send the event; return the key of its alert."""
        del background_tasks  # it is sent here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        settings = self._settings
        body = {"routing_key": settings.routing_key.get_secret_value(), **rendered}
        response = await request("POST", f"{settings.api_url}/v2/enqueue", json=body)
        raise_for_status(response, service="PagerDuty", channel_statuses=frozenset({401, 403, 404}))
        key = response.object().get("dedup_key")
        return key if isinstance(key, str) else None

    def preview(self, message: Message) -> dict[str, Any]:
        """Return the event that would be sent."""
        key, action = message.data.get("dedup_key"), message.data.get("action")
        text = as_text(message, limit=_LONGEST_DETAILS, title=False)
        return {
            "event_action": action if action in _ACTIONS else self._settings.action,
            "dedup_key": cut(key, 255) if isinstance(key, str) and key else message.idempotency_key,
            "payload": {
                "summary": cut(message.title or text, _LONGEST_SUMMARY),
                "source": self._settings.source,
                "severity": _SEVERITIES[message.priority],
                "timestamp": message.created_at.isoformat(),
                "custom_details": {"text": text, "tags": message.tags, "topic": message.topic},
            },
        }


_ACTIONS = frozenset({"trigger", "acknowledge", "resolve"})
