"""What a sender writes of the files that a message brings."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from almenara.api.fields import StrictModel, refusal
from almenara.attachment import guess_type
from almenara.uploads import Upload

#: All files of a message together, in bytes.
LARGEST_TOGETHER = 10_485_760
#: The largest body with files in it: base64 makes four bytes of three.
LARGEST_BODY = 16_777_216
MOST_FILES = 20

_MEDIA_TYPE = r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,62}$"
#: What is no file's name: a path, or what breaks out of a header.
_NOT_A_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _check_name(value: str) -> str:
    if _NOT_A_NAME.search(value) or value.strip() in {"", ".", ".."}:
        raise ValueError("Write a file's name, without a path.")
    return value


def decode_content(value: object) -> object:
    """Return the bytes of a content in base64; what was decoded already stays.

    Raises:
        ValueError: it is not base64.
    """
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("Write the content in base64.") from error


class AttachmentIn(StrictModel):
    """A file that a message brings."""

    name: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_check_name)] = Field(
        description="A file's name, without a path.", examples=["invoice.pdf"]
    )
    media_type: Annotated[str, Field(pattern=_MEDIA_TYPE)] | None = Field(
        default=None, description="Absent: what the name tells.", examples=["application/pdf"]
    )
    content: Annotated[
        bytes,
        BeforeValidator(decode_content),
        WithJsonSchema({"type": "string", "format": "byte", "contentEncoding": "base64"}),
    ] = Field(description="In base64.")

    def upload(self) -> Upload:
        """Return it as it is stored."""
        return Upload(self.name, self.media_type or guess_type(self.name), self.content)


class AttachmentOut(BaseModel):
    """A file that a message brought."""

    name: str
    media_type: str
    #: In bytes.
    size: int
    #: The content's, in hexadecimal.
    sha256: str


def _check_together(value: list[AttachmentIn]) -> list[AttachmentIn]:
    if sum(len(one.content) for one in value) > LARGEST_TOGETHER:
        message = f"All attachments together may have {LARGEST_TOGETHER:,} bytes."
        raise refusal("attachments", code="attachments_too_large", message=message)
    return value


Attachments = Annotated[
    list[AttachmentIn], Field(max_length=MOST_FILES), AfterValidator(_check_together)
]


def uploads_of(attachments: Sequence[AttachmentIn]) -> list[Upload]:
    """Return files as they are stored."""
    return [one.upload() for one in attachments]
