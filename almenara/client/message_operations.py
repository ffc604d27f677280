"""What is done with messages and deliveries: hand in, look at, wait for, send again."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Self, TypedDict, Unpack

from almenara.client.address import path_to
from almenara.client.failures import NotSettledError
from almenara.client.pages import Pages, written
from almenara.client.results import (
    Accepted,
    Delivery,
    DeliveryStatus,
    DeliveryStory,
    Format,
    Message,
    MessageStatus,
    Sent,
    Story,
)
from almenara.client.set_up_results import Explanation
from almenara.client.shapes import read
from almenara.client.steps import Pause, Steps, new_key
from almenara.client.wire import Request

#: How often a message is looked at while it is waited for: often at first, then less.
_FIRST_LOOK_SECONDS = 0.1
_LONGEST_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to send with a message."""

    name: str
    content: bytes
    #: Where the name does not tell it.
    media_type: str | None = None

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file; it blocks."""
        file = Path(path)
        return cls(file.name, file.read_bytes())


class MessageFields(TypedDict, total=False):
    """What a message may have beside its address and its text."""

    title: str | None
    format: Format
    priority: int
    tags: list[str]
    data: dict[str, Any]
    to: list[str]
    attachments: list[Attachment]
    reference: str | None
    metadata: dict[str, Any]
    send_at: datetime | str | None
    expires_at: datetime | str | None
    collapse_key: str | None


class MessageFilters(TypedDict, total=False):
    """Which messages."""

    topic: str | None
    channel: str | None
    status: MessageStatus | None
    reference: str | None
    since: datetime | str | None
    until: datetime | str | None
    q: str | None


class DeliveryFilters(TypedDict, total=False):
    """Which deliveries."""

    channel: str | None
    topic: str | None
    status: DeliveryStatus | None
    reason: str | None
    since: datetime | str | None
    until: datetime | str | None
    replay: str | None


def send(
    description: str,
    *,
    topic: str | None = None,
    channel: str | None = None,
    idempotency_key: str | None = None,
    **fields: Unpack[MessageFields],
) -> Steps[Accepted]:
    """Hand in a message; tried again where that may help, it is stored once.

    Args:
        description: the text.
        topic: its topic; or ``channel``: one channel that it goes to directly.
        idempotency_key: else one is made. Give one that your own system keeps, such as an
            order's number, when your program may be started again between two tries.
    """
    body = {"description": description, "topic": topic, "channel": channel, **fields}
    answer = yield _keyed("POST", "/v1/messages", _written_message(body), idempotency_key)
    return read(Accepted, answer.body)


def send_many(messages: Iterable[Mapping[str, Any]]) -> Steps[list[Sent]]:
    """Hand in up to a hundred messages at once, each answered on its own.

    Args:
        messages: fields as ``send`` takes them.
    """
    items = [{"idempotency_key": new_key()} | _written_message(dict(one)) for one in messages]
    request = Request("POST", "/v1/messages/batch", body={"messages": items}, repeatable=True)
    answer = yield request
    return read(_Batch, answer.body).data


@dataclass(frozen=True, slots=True)
class _Batch:
    data: list[Sent]


def send_webhook(
    topic: str, body: Any, *, template: str | None = None, idempotency_key: str | None = None
) -> Steps[Accepted]:
    """Hand in any JSON, as the topic's `accept` or a named template makes a message of it.

    Args:
        template: such as ``github``, ``grafana``, ``alertmanager``, ``stripe`` or ``json``.
    """
    path = path_to("topics", topic, "messages")
    answer = yield _keyed("POST", path, body, idempotency_key, {"template": template})
    return read(Accepted, answer.body)


def explain(
    description: str,
    *,
    topic: str | None = None,
    channel: str | None = None,
    **fields: Unpack[MessageFields],
) -> Steps[Explanation]:
    """Tell where a message would go and how it would look; nothing is stored or sent."""
    body = _written_message(
        {"description": description, "topic": topic, "channel": channel, **fields}
    )
    answer = yield Request("POST", "/v1/messages/explain", body=body, repeatable=True)
    return read(Explanation, answer.body)


def explain_webhook(topic: str, body: Any, *, template: str | None = None) -> Steps[Explanation]:
    """Tell which message would be made of any JSON, and where it would go."""
    path, query = path_to("topics", topic, "messages", "explain"), {"template": template}
    answer = yield Request("POST", path, query, body=body, repeatable=True)
    return read(Explanation, answer.body)


def message(message_id: str) -> Steps[Story]:
    """Show a message with its deliveries, their attempts, and its time line."""
    answer = yield Request("GET", path_to("messages", message_id))
    return read(Story, answer.body)


def messages(*, limit: int | None = None, **filters: Unpack[MessageFilters]) -> Pages[Message]:
    """Go over the messages, newest first.

    Args:
        limit: how many at the most; all that there are when left out.
    """
    return Pages(Message, "/v1/messages", filters, limit)


def wait(message_id: str, *, seconds: float = 60.0) -> Steps[Story]:
    """Wait until nothing of a message happens by itself any more, and return its story.

    Args:
        seconds: how long at the most.

    Raises:
        NotSettledError: it was not settled by then; it goes on in the server.
    """
    end, pause = monotonic() + seconds, _FIRST_LOOK_SECONDS
    while True:
        story = yield from message(message_id)
        if story.is_settled:
            return story
        left = end - monotonic()
        if left <= 0:
            raise NotSettledError(
                f"Message {message_id} is {story.status} after {seconds:g} s; it goes on."
            )
        yield Pause(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)


def cancel(message_id: str) -> Steps[Story]:
    """Cancel what of a message waits."""
    return _story("POST", path_to("messages", message_id, "cancel"))


def resend(message_id: str, *, sent_too: bool = False) -> Steps[Story]:
    """Send again what of a message failed or was cancelled, as new deliveries.

    Args:
        sent_too: also what was sent.
    """
    path = path_to("messages", message_id, "resend")
    answer = yield Request("POST", path, {"sent_too": sent_too})
    return read(Story, answer.body)


def attachment(message_id: str, number: int) -> Steps[bytes]:
    """Return the content of a file that a message brought; the first one is 1."""
    pieces: list[bytes] = []
    yield Request(
        "GET",
        path_to("messages", message_id, "attachments", str(number)),
        repeatable=False,  # what came already would come twice
        take=lambda piece, _: pieces.append(piece),
    )
    return b"".join(pieces)


def delivery(delivery_id: str) -> Steps[DeliveryStory]:
    """Show one delivery with its attempts."""
    return _delivery("GET", path_to("deliveries", delivery_id))


def deliveries(*, limit: int | None = None, **filters: Unpack[DeliveryFilters]) -> Pages[Delivery]:
    """Go over the deliveries, newest first.

    Args:
        limit: how many at the most; all that there are when left out.
    """
    return Pages(Delivery, "/v1/deliveries", filters, limit)


def cancel_delivery(delivery_id: str) -> Steps[DeliveryStory]:
    """Cancel a delivery that waits or is held."""
    return _delivery("POST", path_to("deliveries", delivery_id, "cancel"))


def release(delivery_id: str) -> Steps[DeliveryStory]:
    """Put a held delivery back: it is due now."""
    return _delivery("POST", path_to("deliveries", delivery_id, "release"))


def resend_delivery(delivery_id: str) -> Steps[DeliveryStory]:
    """Send a final delivery again, as a new one that names it."""
    return _delivery("POST", path_to("deliveries", delivery_id, "resend"))


def _story(method: str, path: str) -> Steps[Story]:
    answer = yield Request(method, path)
    return read(Story, answer.body)


def _delivery(method: str, path: str) -> Steps[DeliveryStory]:
    answer = yield Request(method, path)
    return read(DeliveryStory, answer.body)


def _keyed(
    method: str, path: str, body: Any, key: str | None, query: Mapping[str, Any] | None = None
) -> Request:
    """Return a request that is stored once, however often it comes."""
    headers = {"Idempotency-Key": key or new_key()}
    return Request(method, path, query, body, headers, repeatable=True)


def _written_message(fields: dict[str, Any]) -> dict[str, Any]:
    """Write a message as the API takes it."""
    files = [_written_file(one) for one in fields.pop("attachments", None) or ()]
    return written(fields) | ({"attachments": files} if files else {})


def _written_file(file: Attachment | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(file, Attachment):
        return file
    content = base64.b64encode(file.content).decode()
    kind = {} if file.media_type is None else {"media_type": file.media_type}
    return {"name": file.name, "content": content, **kind}
