"""What messages bring is stored before them: one copy of each content, chunk after chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from almenara.deliveries import AttachedFile
from almenara.ledger import Ledger
from almenara.ledger.attachments import (
    CHUNK_BYTES,
    Announced,
    Chunk,
    announce_contents,
    store_chunks,
)

#: So many messages may be storing what they bring at once: each has one chunk in a transaction.
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in."""

    name: str
    media_type: str
    content: bytes


class Uploads:
    """Stores contents; what it returned is committed, and kept for an hour at the least."""

    def __init__(self, *, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def store(self, uploads: Sequence[Upload]) -> tuple[AttachedFile, ...]:
        """Store files, each content once.

        Raises:
            UnavailableError: not all of them were stored; what was is purged if nobody brings it
                again.
        """
        files = await describe(uploads)
        async with self._turns:
            for upload, file in zip(uploads, files, strict=True):
                await self._store(upload.content, file)
        return files

    async def _store(self, content: bytes, file: AttachedFile) -> None:
        announced = Announced(file.sha256, file.size, self._clock())
        if await self._ledger.write(announce_contents, announced):
            return
        starts = range(0, max(len(content), 1), CHUNK_BYTES)
        for position, start in enumerate(starts):
            chunk = Chunk(
                file.sha256,
                position,
                content[start : start + CHUNK_BYTES],
                last=position == len(starts) - 1,
            )
            await self._ledger.write(store_chunks, chunk)


async def describe(uploads: Sequence[Upload]) -> tuple[AttachedFile, ...]:
    """Return what files are, their hashes made beside the event loop."""
    if not uploads:
        return ()
    digests = await asyncio.to_thread(lambda: [sha256(one.content).hexdigest() for one in uploads])
    return tuple(
        AttachedFile(one.name, one.media_type, len(one.content), digest)
        for one, digest in zip(uploads, digests, strict=True)
    )
