"""Files that a channel does not send, named in the text that it does send."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as escape_html

from almenara.attachment import Attachment
from almenara.formats.dialects import MARKDOWN
from almenara.plugin import Message

_KIB, _MIB = 1024, 1_048_576


def leave_out(message: Message, files: Sequence[Attachment]) -> None:
    """Take files out of a message, and name them under its text, in the text's format.

    Args:
        message: a plugin's own copy.
        files: some of its attachments; where there are none, nothing is done.
    """
    if not files:
        return
    named = ", ".join(f"{one.name} ({_size(one.size)})" for one in files)
    note = f"Attached, but not sent by this channel: {named}"
    if message.format == "html":
        message.description += f"\n<p>{escape_html(note)}</p>"
    elif message.format == "markdown":
        message.description += f"\n\n{MARKDOWN.escape(note)}"
    else:
        message.description += f"\n\n{note}"
    left = {id(one) for one in files}
    message.attachments = [one for one in message.attachments if id(one) not in left]


def _size(count: int) -> str:
    if count < _KIB:
        return f"{count} B"
    return f"{count / _KIB:.0f} KiB" if count < _MIB else f"{count / _MIB:.1f} MiB"
