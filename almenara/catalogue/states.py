"""Topics and channels as the trail shows them: what was written, with secrets masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from almenara.models import Channel, Topic
from almenara.secrets import is_sealed, masked

_CHANNEL = (
    *("plugin", "enabled", "timeout_seconds", "retry_schedule", "concurrency", "on_unknown"),
    *("rate", "burst", "breaker_failures", "breaker_wait", "template", "verify_every"),
)
_TOPIC = ("strategy", "step_deadline_seconds", "enabled", "redact", "template", "accept")


def channel_state(channel: Channel) -> dict[str, Any]:
    """Return a channel as it stands."""
    state: dict[str, Any] = {name: getattr(channel, name) for name in _CHANNEL}
    return state | {"settings": masked(channel.settings)}


def written_state(channel: Channel, old_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a channel as it was just written: also which secrets are new, as masks hide it."""
    state, settings = channel_state(channel), channel.settings
    secrets = [
        name
        for name, value in settings.items()
        if is_sealed(value) and value != old_settings.get(name)
    ]
    return state | ({"secrets_written": secrets} if secrets else {})


def topic_state(topic: Topic, steps: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a topic as it stands.

    Args:
        steps: its channels in order, each with its condition.
    """
    state: dict[str, Any] = {name: getattr(topic, name) for name in _TOPIC}
    return state | {
        "channels": [{"channel": channel, "condition": condition} for channel, condition in steps]
    }
