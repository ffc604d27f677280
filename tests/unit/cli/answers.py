"""Answers of the API, as its routes give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MESSAGE_ID = "019aa2f0-7c1e-7d3a-b2f4-5a1c7e0d9b11"
DELIVERY_ID = "019aa2f0-7c1f-7000-9d0c-3f1d2b7a6e55"
RESENT_ID = "019aa2f0-7c20-7000-9d0c-3f1d2b7a6e66"
BEGIN = "2026-11-23T22:00:00Z"


def a_message(**changes: Any) -> dict[str, Any]:
    return {
        "id": MESSAGE_ID,
        "status": "sent",
        "topic": "sales",
        "title": None,
        "description": "I need help",
        "format": "text",
        "priority": 3,
        "tags": [],
        "data": {},
        "to": [],
        "reference": None,
        "metadata": {},
        "attachments": [],
        "send_at": None,
        "redacted_at": None,
        "traceparent": None,
        "created_at": BEGIN,
    } | changes


def an_attempt(**changes: Any) -> dict[str, Any]:
    return {
        "id": "019aa2f0-7c21-7000-9d0c-3f1d2b7a6e77",
        "number": 1,
        "outcome": "sent",
        "error": None,
        "reference": None,
        "detail": None,
        "started_at": "2026-11-23T22:00:00.120000Z",
        "finished_at": "2026-11-23T22:00:00.240000Z",
        "duration_ms": 120,
        "late": False,
    } | changes


def a_delivery(*attempts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": DELIVERY_ID,
        "message_id": MESSAGE_ID,
        "channel": "team-slack",
        "status": "sent",
        "reason": None,
        "priority": 3,
        "due_at": BEGIN,
        "attempt_number": len(attempts),
        "reference": None,
        "resend_of": None,
        "created_at": BEGIN,
        "finished_at": None,
        "attempts": list(attempts),
    } | changes


def an_entry(**changes: Any) -> dict[str, Any]:
    return {
        "at": BEGIN,
        "event": "accepted",
        "delivery_id": None,
        "channel": None,
        "attempt_number": None,
        "text": "Accepted on the topic sales, for team-slack.",
    } | changes


def a_story(
    *deliveries: dict[str, Any], timeline: Sequence[dict[str, Any]] = (), **changes: Any
) -> dict[str, Any]:
    entries = [an_entry(), *timeline]
    return a_message(**changes) | {"deliveries": list(deliveries), "timeline": entries}


def an_explanation(*channels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "topic": "sales",
        "strategy": "all",
        "enabled": True,
        "status": "queued",
        "due_at": BEGIN,
        "send_at": None,
        "expires_at": None,
        "revision": 7,
        "channels": list(channels),
    } | changes


def an_explained_channel(**changes: Any) -> dict[str, Any]:
    return {
        "channel": "team-slack",
        "enabled": True,
        "paused": False,
        "condition": None,
        "condition_text": None,
        "matched": None,
        "would_send": True,
        "why_not": None,
        "waits_for": None,
        "due_at": BEGIN,
        "plugin": {
            "name": "Slack",
            "qualified_name": "slack.Slack",
            "source": "shipped",
            "revision": "0a1b2c3d",
            "broken": False,
            "error": None,
        },
        "revision": 3,
        "policy": {
            "timeout_seconds": 15.0,
            "retry_schedule": ["10s", "1m"],
            "concurrency": 16,
            "on_unknown": "retry",
            "rate": None,
            "burst": None,
        },
        "content": {"rendered": True, "parts": {"text": "I need help"}, "error": None},
    } | changes


def accepted(**changes: Any) -> dict[str, Any]:
    return {
        "id": MESSAGE_ID,
        "status": "sending",
        "topic": "sales",
        "reference": None,
        "duplicate": False,
        "deliveries": [{"id": DELIVERY_ID, "channel": "team-slack", "status": "sending"}],
        "created_at": BEGIN,
    } | changes


def page(*messages: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    return {"data": list(messages), "next_cursor": cursor}


def a_topic(**changes: Any) -> dict[str, Any]:
    return {
        "name": "sales",
        "strategy": "all",
        "channels": [{"channel": "team-slack"}, {"channel": "backoffice-mail"}],
        "enabled": True,
        "redact": False,
        "template": None,
        "accept": None,
        "created_at": BEGIN,
        "updated_at": BEGIN,
    } | changes


def a_channel(**changes: Any) -> dict[str, Any]:
    return {
        "name": "team-slack",
        "plugin": "Slack",
        "settings": {"webhook_url": "********"},
        "enabled": True,
        "timeout_seconds": 15.0,
        "retry_schedule": ["10s", "1m"],
        "concurrency": 16,
        "on_unknown": "retry",
        "rate": None,
        "burst": None,
        "breaker_failures": 20,
        "breaker_wait": "30s",
        "template": None,
        "state": "active",
        "state_reason": None,
        "state_detail": None,
        "state_changed_at": None,
        "probe_at": None,
        "verify_every": None,
        "verified_at": None,
        "verify_outcome": None,
        "verify_detail": None,
        "created_at": BEGIN,
        "updated_at": BEGIN,
        "warnings": [],
    } | changes
