"""The services that shipped channels speak HTTP to: how each is set up, answers and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from almenara import ChannelError, PermanentError, RateLimitedError, TemporaryError
from almenara.testing import Answer

#: Stands in every secret of every channel.
SECRET = "s3cr3t-t0ken"
SID = "AC" + "0" * 32


def says(status: int = 200, body: Any = None, **headers: str) -> Answer:
    """Return an answer with a JSON body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(body or {}).encode(), named)


@dataclass(frozen=True)
class Service:
    """One channel's service, as it documents itself."""

    directory: str
    plugin: str
    #: The channel's settings, with every secret, for a service at an address.
    settings: Callable[[str], dict[str, Any]]
    #: What it answers to a message that it took, and the reference in it.
    taken: Answer
    reference: str | None
    #: Where it is asked.
    target: str
    #: Where the text stands in the body, and how long it may be there.
    text: Callable[[dict[str, Any]], str]
    longest: int | None
    unit: str = "characters"
    method: str = "POST"
    #: Documented refusals: the answer, what it comes to, and the wait.
    refusals: list[tuple[Answer, type[Exception], float | None]] = field(default_factory=list)


CHANNEL = (ChannelError, None)
MESSAGE = (PermanentError, None)
AGAIN = (TemporaryError, None)

SERVICES = [
    Service(
        "discord",
        "Discord",
        lambda url: {"webhook_url": f"{url}/api/webhooks/1/{SECRET}", "thread_id": "77"},
        says(200, {"id": "1234567890", "content": "x"}),
        "1234567890",
        f"/api/webhooks/1/{SECRET}?wait=true&thread_id=77",
        lambda body: body["content"],
        2_000,
        "utf16",
        refusals=[
            (says(404, {"message": "Unknown Webhook", "code": 10015}), *CHANNEL),
            (says(401, {"message": "Invalid Webhook Token", "code": 50027}), *CHANNEL),
            (says(403, {"message": "Missing Permissions", "code": 50013}), *CHANNEL),
            (says(400, {"message": "Invalid Form Body", "code": 50035}), *MESSAGE),
            (
                says(429, {"retry_after": 64.57, "global": False}, Retry_After="65"),
                RateLimitedError,
                64.57,
            ),
            (says(429, {}, Retry_After="65"), RateLimitedError, 65.0),
            (says(502), *AGAIN),
        ],
    ),
    Service(
        "telegram",
        "Telegram",
        lambda url: {"bot_token": f"1:{SECRET}", "chat_id": "-1001", "api_url": f"{url}/"},
        says(200, {"ok": True, "result": {"message_id": 42, "chat": {"id": -1001}}}),
        "42",
        f"/bot1:{SECRET}/sendMessage",
        lambda body: body["text"],
        4_096,
        "utf16",
        refusals=[
            (says(401, {"ok": False, "error_code": 401, "description": "Unauthorized"}), *CHANNEL),
            (says(404, {"ok": False, "error_code": 404, "description": "Not Found"}), *CHANNEL),
            (
                says(403, {"ok": False, "description": "Forbidden: bot was blocked by the user"}),
                *CHANNEL,
            ),
            (says(400, {"ok": False, "description": "Bad Request: chat not found"}), *CHANNEL),
            (
                says(400, {"ok": False, "description": "Bad Request: message thread not found"}),
                *CHANNEL,
            ),
            (says(400, {"ok": False, "parameters": {"migrate_to_chat_id": -100200}}), *CHANNEL),
            (
                says(400, {"ok": False, "description": "Bad Request: message text is empty"}),
                *MESSAGE,
            ),
            (says(429, {"ok": False, "parameters": {"retry_after": 9}}), RateLimitedError, 9.0),
            (says(500, {"ok": False, "description": "Internal Server Error"}), *AGAIN),
        ],
    ),
    Service(
        "teams",
        "Teams",
        lambda url: {"webhook_url": f"{url}/workflows/1/triggers/manual/paths/invoke?sig={SECRET}"},
        Answer(202, b""),
        None,
        f"/workflows/1/triggers/manual/paths/invoke?sig={SECRET}",
        lambda body: body["attachments"][0]["content"]["body"][-1]["text"],
        24_000,
        "bytes",
        refusals=[
            (says(401, {"error": {"code": "AuthorizationFailed"}}), *CHANNEL),
            (says(403, {"error": {"code": "WorkflowTriggerIsNotEnabled"}}), *CHANNEL),
            (says(404, {"error": {"code": "WorkflowNotFound"}}), *CHANNEL),
            (says(410), *CHANNEL),
            (says(400, {"error": {"code": "TriggerInputSchemaMismatch"}}), *MESSAGE),
            (says(413), *MESSAGE),
            (says(429, {}, Retry_After="17"), RateLimitedError, 17.0),
            (says(502, {"error": {"code": "NoResponse"}}), *AGAIN),
        ],
    ),
    Service(
        "mattermost",
        "Mattermost",
        lambda url: {"webhook_url": f"{url}/hooks/{SECRET}", "channel": "town-square"},
        Answer(200, b"ok"),
        None,
        f"/hooks/{SECRET}",
        lambda body: body["text"],
        16_383,
        refusals=[
            (says(400, {"id": "web.incoming_webhook.invalid.app_error"}), *CHANNEL),
            (says(404, {"id": "web.incoming_webhook.channel.app_error"}), *CHANNEL),
            (says(403, {"id": "web.incoming_webhook.channel_locked.app_error"}), *CHANNEL),
            (says(501, {"id": "web.incoming_webhook.disabled.app_error"}), *CHANNEL),
            (says(400, {"id": "web.incoming_webhook.text.length.app_error"}), *MESSAGE),
            (says(429, {}, Retry_After="1"), RateLimitedError, 1.0),
            (says(500, {"id": "app.post.save.app_error"}), *AGAIN),
        ],
    ),
    Service(
        "googlechat",
        "GoogleChat",
        lambda url: {"webhook_url": f"{url}/v1/spaces/AAA/messages?key=k&token={SECRET}"},
        says(200, {"name": "spaces/AAA/messages/BBB.BBB"}),
        "spaces/AAA/messages/BBB.BBB",
        f"/v1/spaces/AAA/messages?key=k&token={SECRET}",
        lambda body: body["text"],
        4_096,
        refusals=[
            (says(401, {"error": {"status": "UNAUTHENTICATED"}}), *CHANNEL),
            (says(403, {"error": {"status": "PERMISSION_DENIED"}}), *CHANNEL),
            (says(404, {"error": {"status": "NOT_FOUND"}}), *CHANNEL),
            (says(400, {"error": {"status": "INVALID_ARGUMENT"}}), *MESSAGE),
            (says(429, {"error": {"status": "RESOURCE_EXHAUSTED"}}), RateLimitedError, None),
            (says(503, {"error": {"status": "UNAVAILABLE"}}), *AGAIN),
        ],
    ),
    Service(
        "matrix",
        "Matrix",
        lambda url: {"homeserver": url, "access_token": SECRET, "room_id": "!a:example.org"},
        says(200, {"event_id": "$abc"}),
        "$abc",
        "/_matrix/client/v3/rooms/!a:example.org/send/m.room.message/"
        "0190aaaa-0000-7000-8000-000000000002",
        lambda body: body["body"],
        16_000,
        "bytes",
        "PUT",
        refusals=[
            (says(401, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": False}), *CHANNEL),
            (says(403, {"errcode": "M_FORBIDDEN"}), *CHANNEL),
            (says(404, {"errcode": "M_NOT_FOUND"}), *CHANNEL),
            (says(413, {"errcode": "M_TOO_LARGE"}), *MESSAGE),
            (says(400, {"errcode": "M_BAD_JSON"}), *MESSAGE),
            (
                says(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}),
                RateLimitedError,
                2.5,
            ),
            (says(429, {"errcode": "M_LIMIT_EXCEEDED"}, Retry_After="3"), RateLimitedError, 3.0),
            (says(500, {"errcode": "M_UNKNOWN"}), *AGAIN),
        ],
    ),
    Service(
        "ntfy",
        "Ntfy",
        lambda url: {"server": url, "topic": f"t-{SECRET}", "username": "ana", "password": SECRET},
        says(200, {"id": "hwQ2YpKdmg", "event": "message"}),
        "hwQ2YpKdmg",
        "/",
        lambda body: body["message"],
        4_096,
        "bytes",
        refusals=[
            (says(401, {"code": 40101, "error": "unauthorized"}), *CHANNEL),
            (says(403, {"code": 40301, "error": "forbidden"}), *CHANNEL),
            (says(400, {"code": 40024, "error": "invalid request"}), *MESSAGE),
            (says(413, {"code": 41301, "error": "attachment too large"}), *MESSAGE),
            (says(429, {"code": 42908, "error": "limit reached: daily"}), RateLimitedError, None),
            (says(507, {"code": 50701}), *AGAIN),
        ],
    ),
    Service(
        "gotify",
        "Gotify",
        lambda url: {"server": url, "token": SECRET},
        says(200, {"id": 25, "appid": 5}),
        "25",
        "/message",
        lambda body: body["message"],
        None,
        refusals=[
            (says(401, {"error": "Unauthorized", "errorCode": 401}), *CHANNEL),
            (says(403, {"error": "Forbidden", "errorCode": 403}), *CHANNEL),
            (says(404, {"error": "Not Found", "errorCode": 404}), *CHANNEL),
            (says(400, {"error": "Bad Request", "errorCode": 400}), *MESSAGE),
            (says(500, {"error": "Internal Server Error"}), *AGAIN),
        ],
    ),
    Service(
        "pushover",
        "Pushover",
        lambda url: {"token": SECRET, "user": f"u-{SECRET}", "api_url": url, "sound": "none"},
        says(200, {"status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b"}),
        "647d2300-702c-4b38-8b2f-d56326ae460b",
        "/1/messages.json",
        lambda body: body["message"],
        1_024,
        refusals=[
            (
                says(
                    400, {"user": "invalid", "status": 0, "errors": ["user identifier is invalid"]}
                ),
                *CHANNEL,
            ),
            (says(400, {"token": "invalid", "status": 0}), *CHANNEL),
            (says(400, {"message": "cannot be blank", "status": 0}), *MESSAGE),
            (says(429, {"status": 0}, X_Limit_App_Reset="1"), RateLimitedError, 0.0),
            (says(429, {"status": 0}, X_Limit_App_Reset="99999999999"), RateLimitedError, 86_400.0),
            (says(500, {}, X_Limit_App_Reset="99999999999"), *AGAIN),
        ],
    ),
    Service(
        "twilio",
        "Twilio",
        lambda url: {
            "account_sid": SID,
            "auth_token": SECRET,
            "sender": "+15005550006",
            "to": "+34600000000",
            "api_url": url,
        },
        says(201, {"sid": "SM" + "1" * 32, "status": "queued"}),
        "SM" + "1" * 32,
        f"/2010-04-01/Accounts/{SID}/Messages.json",
        lambda body: body["Body"],
        1_600,
        "utf16",
        refusals=[
            (says(401, {"code": 20003, "message": "Authenticate"}), *CHANNEL),
            (says(404, {"code": 20404}), *CHANNEL),
            *[
                (says(400, {"code": code, "status": 400}), *CHANNEL)
                for code in (21211, 21606, 21608, 21610, 21614, 21659, 63007)
            ],
            (says(400, {"code": 21617, "message": "body exceeds the limit"}), *MESSAGE),
            (says(429, {"code": 20429}), RateLimitedError, None),
            (says(503, {"code": 20503}), *AGAIN),
        ],
    ),
    Service(
        "landbot",
        "Landbot",
        lambda url: {"token": SECRET, "customers": "42", "api_url": url},
        says(200, {"success": True}),
        None,
        "/v1/customers/42/send_text/",
        lambda body: body["message"],
        4_096,
        refusals=[
            (says(401), *CHANNEL),
            (says(402), *CHANNEL),
            (says(403), *CHANNEL),
            (says(404), *CHANNEL),
            (
                says(412, {"errors": {"customer_id": ["You can't send message to this customer"]}}),
                *CHANNEL,
            ),
            (says(422, {"errors": {"channel_id": ["The channel is not active"]}}), *CHANNEL),
            (says(422, {"errors": {"message": ["Required"]}}), *MESSAGE),
            (says(422, {"errors": ["customer_id"]}), *MESSAGE),
            (says(400), *MESSAGE),
            (says(413), *MESSAGE),
            (says(429, {}), RateLimitedError, None),
            (says(500, {"errors": {"customer_id": ["away"]}}), *AGAIN),
        ],
    ),
    Service(
        "pagerduty",
        "PagerDuty",
        lambda url: {"routing_key": SECRET, "api_url": url},
        says(202, {"status": "success", "message": "Event processed", "dedup_key": "k1"}),
        "k1",
        "/v2/enqueue",
        lambda body: body["payload"]["custom_details"]["text"],
        20_000,
        refusals=[
            (says(400, {"status": "invalid event", "errors": ["'summary' is missing"]}), *MESSAGE),
            (says(403), *CHANNEL),
            (says(429, {}), RateLimitedError, None),
            (says(500), *AGAIN),
        ],
    ),
    Service(
        "almenara",
        "Almenara",
        lambda url: {"server": url, "token": SECRET, "topic": "sales"},
        says(202, {"id": "0190aaaa-0000-7000-8000-00000000000a", "status": "queued"}),
        "0190aaaa-0000-7000-8000-00000000000a",
        "/v1/messages",
        lambda body: body["description"],
        None,
        refusals=[
            (says(401, {"code": "invalid_token"}), *CHANNEL),
            (says(403, {"code": "insufficient_scope"}), *CHANNEL),
            (says(421, {"code": "host_not_allowed"}), *CHANNEL),
            (says(422, {"code": "topic_not_found"}), *CHANNEL),
            (says(422, {"code": "invalid_input"}), *MESSAGE),
            (says(413, {"code": "body_too_large"}), *MESSAGE),
            (says(429, {"code": "too_many_requests"}, Retry_After="4"), RateLimitedError, 4.0),
            (says(503, {"code": "unavailable"}, Retry_After="1"), TemporaryError, 1.0),
        ],
    ),
]
