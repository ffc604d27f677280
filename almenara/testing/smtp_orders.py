"""What a test orders of a mail server, and what the server has seen."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Literal

Stage = Literal["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "NOOP", "QUIT"]

_TOO_LONG_SECONDS = 10.0


@dataclass(frozen=True)
class ReceivedMail:
    """One mail as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    #: The bytes after undoing the dots, as the server would store them.
    content: bytes
    #: Which connection it came over, counted from 1.
    session: int
    #: Who had logged in, if anybody.
    login: str | None

    @property
    def parsed(self) -> EmailMessage:
        """The mail as Python reads it: headers, parts."""
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def text(self) -> str:
        """The plain text, with its line ends as LF."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The HTML, with its line ends as LF."""
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self.parsed.get_body((kind,))
        if part is None:
            raise LookupError(f"The mail has no text/{kind}.")
        return str(part.get_content()).replace("\r\n", "\n")


class Orders:
    """How to answer, and what came; everything may be read and ordered at any time.

    Args:
        credentials: the user name, and the password or (XOAUTH2) the access token, that MAIL
            requires; absent: none.
        pipelining: whether commands may come many at once.
    """

    def __init__(self, credentials: tuple[str, str] | None, *, pipelining: bool) -> None:
        #: May be changed while the server runs.
        self.credentials = credentials
        self.pipelining = pipelining
        self.mails: list[ReceivedMail] = []
        #: Each command with the number of its connection: (1, "MAIL"), ...
        self.commands: list[tuple[int, str]] = []
        self._replies: dict[str, deque[str | None]] = defaultdict(deque)
        self._refused: dict[tuple[str, str | None], str] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._loop = asyncio.new_event_loop()

    def reply(self, stage: Stage, *replies: str) -> None:
        """Answer the next commands of this kind with these replies, one each."""
        self._replies[stage].extend(replies)

    def refuse(self, stage: Stage, reply: str, address: str | None = None) -> None:
        """Answer each command of this kind with this reply from now on.

        Args:
            stage: the command.
            reply: the code and the text.
            address: only where the command names this sender or recipient.
        """
        self._refused[stage, address] = reply

    def hang_up_at(self, stage: Stage) -> None:
        """Close the connection at the next command of this kind, without an answer."""
        self._replies[stage].append(None)

    def hold(self, stage: Stage) -> None:
        """Answer no command of this kind until `let_go`."""
        self._held[stage] = asyncio.Event()

    def let_go(self, stage: Stage) -> None:
        """Answer the commands that `hold` has kept waiting."""
        self._loop.call_soon_threadsafe(self._held.pop(stage).set)

    def count(self, stage: Stage) -> int:
        """How many commands of this kind came."""
        return sum(command == stage for _, command in self.commands)

    async def answer(
        self, transport: asyncio.Transport, number: int, stage: Stage, address: str | None = None
    ) -> str | None:
        """Record a command, and return the reply that was ordered for it."""
        self.commands.append((number, stage))
        if stage in self._held:
            await self._held[stage].wait()
        if not self._replies[stage]:
            return self._refused.get((stage, address)) or self._refused.get((stage, None))
        reply = self._replies[stage].popleft()
        if reply is None:
            transport.abort()
            await asyncio.sleep(_TOO_LONG_SECONDS)  # ended by the abort
        return reply
