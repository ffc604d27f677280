"""The server's own log as a channel: the first message goes somewhere without any account."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from almenara import Message

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: The name under which the lines appear.
LOGGER = "almenara.channel.log"
_TITLE_LENGTH = 200
_DESCRIPTION_LENGTH = 2000
#: C0 and C1 controls, line separators, and what turns the direction of writing round.
_HIDDEN = (
    *range(0x20),
    *range(0x7F, 0xA0),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
)
_ESCAPES = {code: chr(code).encode("unicode_escape").decode("ascii") for code in _HIDDEN}


class Log:
    """Writes each message as one line to the server's log."""

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> None:
        """Write one line; nothing in a message can begin a second one or hide a part of it."""
        title, description = _texts(message)
        logging.getLogger(LOGGER).info(
            "%s",
            _line(message, title, description),
            extra={
                "message_id": str(message.id),
                "topic": message.topic,
                "channel": message.channel,
                "title": title,
                "description": description,
            },
        )

    def preview(self, message: Message) -> str:
        """Return the line that would be written."""
        return _line(message, *_texts(message))


def _texts(message: Message) -> tuple[str | None, str]:
    title = _one_line(message.title, _TITLE_LENGTH) if message.title else None
    return title, _one_line(message.description, _DESCRIPTION_LENGTH)


def _line(message: Message, title: str | None, description: str) -> str:
    text = f"{title}: {description}" if title else description
    return f"{message.topic or message.channel}: {text}"


def _one_line(text: str, length: int) -> str:
    """Cut a text and escape what could break out of its line."""
    cut = text if len(text) <= length else f"{text[: length - 1]}…"
    return cut.translate(_ESCAPES).encode("utf-8", "replace").decode("utf-8")
