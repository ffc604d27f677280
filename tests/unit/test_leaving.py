"""Files that a channel does not send are named under its text, and only those are taken out."""

from __future__ import annotations

import pytest

from almenara import Attachment, leave_out
from almenara.testing import a_message

NOTE = "Attached, but not sent by this channel: "


def test_what_is_left_out_is_named_and_the_rest_stays() -> None:
    first, twin = Attachment.of("a.txt", b"same"), Attachment.of("a.txt", b"same")
    message = a_message(attachments=[first, twin])
    kept = message.attachments[0]
    leave_out(message, message.attachments[1:])
    assert [id(one) for one in message.attachments] == [id(kept)]
    assert message.description == f"I need help with my plan\n\n{NOTE}a.txt (4 B)"
    leave_out(message, [])
    assert message.description.count(NOTE) == 1


@pytest.mark.parametrize(
    ("format_", "note"),
    [
        ("text", f"\n\n{NOTE}a_<b> (1 B)"),
        ("markdown", f"\n\n{NOTE}a\\_\\<b\\> (1 B)"),
        ("html", f"\n<p>{NOTE}a_&lt;b&gt; (1 B)</p>"),
    ],
)
def test_the_note_is_in_the_format_of_the_text(format_: str, note: str) -> None:
    message = a_message(format=format_, attachments=[Attachment.of("a_<b>", b"x")])
    leave_out(message, message.attachments)
    assert message.description == f"I need help with my plan{note}"
    assert message.attachments == []


@pytest.mark.parametrize(
    ("size", "written"),
    [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1 KiB"),
        (1_048_575, "1024 KiB"),
        (1_048_576, "1.0 MiB"),
    ],
)
def test_sizes_are_written_for_people(size: int, written: str) -> None:
    file = Attachment(name="a", media_type="a/b", size=size, sha256="0" * 64)
    message = a_message(attachments=[file])
    leave_out(message, message.attachments)
    assert message.description.endswith(f"{NOTE}a ({written})")
