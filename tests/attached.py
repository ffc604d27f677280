"""Files that messages of tests bring."""

from __future__ import annotations

import base64
from typing import Any

from tests.serving import Client

#: More than one chunk, and no whole number of them.
LARGE = bytes(range(256)) * 2_500


def a_file(name: str = "a.txt", content: bytes = b"hello", **fields: Any) -> dict[str, Any]:
    """Return a file as the API takes it."""
    return {"name": name, "content": base64.b64encode(content).decode(), **fields}


async def stored(client: Client) -> tuple[int, int, int]:
    """Return how many contents, chunks and uses there are."""
    counts = []
    for table in ("attachment_content", "attachment_chunk", "attachment_use"):
        [row] = await client.parts.database.fetch(f"SELECT count(*) AS count FROM {table}")
        counts.append(int(row["count"]))
    return counts[0], counts[1], counts[2]
