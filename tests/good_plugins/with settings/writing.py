"""Imported by the plugin beside it; no plugin itself."""

from almenara import Message


def heading(message: Message) -> str:
    return f"[{message.channel}] {message.title or message.topic}"
