"""The contents of attachments for plugins: read from the database a chunk at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from almenara.attachment import Attachment
from almenara.database import Database
from almenara.deliveries import AttachedFile
from almenara.errors import PermanentError

#: Makes what a plugin is given of the files that a message names.
Attach = Callable[[Sequence[AttachedFile]], list[Attachment]]


def describe_files(files: Sequence[AttachedFile]) -> list[Attachment]:
    """Return files without contents, for a look at what would be sent."""
    return [
        Attachment(name=one.name, media_type=one.media_type, size=one.size, sha256=one.sha256)
        for one in files
    ]


def files_in(database: Database) -> Attach:
    """Return what lets plugins read the files of messages; no connection is held between chunks."""

    def attach(files: Sequence[AttachedFile]) -> list[Attachment]:
        return [
            one.bound(lambda file=file: read_chunks(database, file))  # type: ignore[misc]  # the default binds it
            for one, file in zip(describe_files(files), files, strict=True)
        ]

    return attach


async def read_chunks(database: Database, file: AttachedFile) -> AsyncIterator[bytes]:
    """Give a content chunk by chunk.

    Raises:
        PermanentError: it was purged, because its message was redacted.
    """
    position, left = 0, file.size
    while left > 0:
        rows = await database.fetch(
            "SELECT data FROM attachment_chunk WHERE content_id = $1 AND position = $2",
            *(file.sha256, position),
        )
        if not rows:
            raise PermanentError(f"The content of the attachment {file.name} is gone.")
        data = bytes(rows[0]["data"])
        yield data
        position, left = position + 1, left - len(data)
