"""The load client: repeats each request under its key until it is answered, and keeps a ledger.

A line is written to the ledger only after a whole 202 was read: from then on, the message is
somebody's promise. What has no answer, or a 5xx, is sent again with the same key and body.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

#: A request without an answer is given up, and repeated, after so many seconds.
_ANSWER_SECONDS = 10
#: The pause before a request is repeated, in seconds.
_PAUSE_SECONDS = 0.05
#: At the end, the requests that are still unanswered are repeated for so many seconds.
_PATIENCE_SECONDS = 120
#: These say "later": the key is in flight, too many requests.
_LATER = {409, 429}


async def repeat(url: str, key: str, *, topic: str) -> bool:
    """Hand in the message of a key, and tell whether it was stored before.

    Raises:
        aiohttp.ClientResponseError: it was not accepted.
    """
    body = {"topic": topic, "description": f"This is {key}.", "reference": key}
    headers = {"Idempotency-Key": key}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/messages", json=body, headers=headers) as response,
    ):
        response.raise_for_status()
        return response.headers.get("Idempotency-Replayed") == "true"


class Client:
    """Some senders that hand messages in, one after another each.

    Args:
        ledger: where the ledger is kept.
        urls: the products; a request that one does not answer is repeated at the next.
        pause_seconds: how long a sender rests between two messages.
    """

    def __init__(
        self, ledger: Path, urls: Sequence[str], *, senders: int = 16, pause_seconds: float = 0.0
    ) -> None:
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._urls = urls
        self._senders = senders
        self._pause_seconds = pause_seconds
        self._stopping = False
        #: Keys that were sent at least once.
        self.key_count = 0
        #: Messages whose 202 was read whole.
        self.accepted_count = 0
        #: When the last 202 was read, on the monotonic clock.
        self.accepted_at = 0.0
        #: Answers by status; ``none`` where there was no answer.
        self.answers: Counter[str] = Counter()
        #: When requests that a 5xx answered were sent and answered, on the monotonic clock.
        self.refused: list[tuple[float, float]] = []
        #: The longest time between two 202s, in seconds.
        self.longest_silence = 0.0
        #: Answers that should never be: neither 202, nor "later", nor 5xx.
        self.strange: list[str] = []

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send meanwhile; at the end, begin no new message and repeat until each is answered."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            senders = [
                asyncio.create_task(self._send_on(session, name)) for name in range(self._senders)
            ]
            try:
                yield
            finally:
                self._stopping = True
                _, late = await asyncio.wait(senders, timeout=_PATIENCE_SECONDS)
                for sender in late:
                    sender.cancel()
                await asyncio.gather(*senders, return_exceptions=True)
                os.close(self._ledger)

    @property
    def unanswered_count(self) -> int:
        """How many keys have no 202 yet."""
        return self.key_count - self.accepted_count

    async def next_accepted(self, *, patience_seconds: float = 120) -> float | None:
        """Wait for the next 202, and return how long that took; ``None``: none came."""
        began, count = time.monotonic(), self.accepted_count
        while self.accepted_count == count:
            if time.monotonic() - began > patience_seconds:
                return None
            await asyncio.sleep(0.01)
        return self.accepted_at - began

    async def accepts(self, count: int) -> None:
        """Wait until so many more 202s were read, or none comes any more."""
        wanted = self.accepted_count + count
        while self.accepted_count < wanted:
            if await self.next_accepted() is None:
                return

    async def _send_on(self, session: aiohttp.ClientSession, name: int) -> None:
        number = 0
        while not self._stopping:
            number += 1
            self.key_count += 1
            await self._send(session, f"chaos-{name}-{number}", name)
            await asyncio.sleep(self._pause_seconds)

    async def _send(self, session: aiohttp.ClientSession, key: str, turn: int) -> None:
        """Send one message until it is accepted."""
        body = json.dumps({"topic": "chaos", "description": f"This is {key}.", "reference": key})
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        while True:
            url = self._urls[turn % len(self._urls)]
            sent_at = time.monotonic()
            try:
                async with session.post(
                    f"{url}/v1/messages", data=body, headers=headers
                ) as response:
                    content = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError):
                self.answers["none"] += 1
            else:
                self.answers[str(response.status)] += 1
                if response.status == 202:
                    self._accepted(key, json.loads(content)["id"], sent_at)
                    return
                if response.status >= 500:
                    self.refused.append((sent_at, time.monotonic()))
                elif response.status not in _LATER:
                    self.strange.append(f"{response.status}: {content[:200].decode()}")
                    return
            turn += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    def _accepted(self, key: str, message_id: str, sent_at: float) -> None:
        now = time.monotonic()
        self.accepted_count += 1
        if self.accepted_at:
            self.longest_silence = max(self.longest_silence, now - self.accepted_at)
        self.accepted_at = now
        line = {"key": key, "id": message_id, "sent_at": sent_at, "at": self.accepted_at}
        os.write(self._ledger, json.dumps(line).encode() + b"\n")
