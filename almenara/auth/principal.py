"""Who asks, and what they may: scopes, and the topics that a token is narrowed to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from almenara.errors import ForbiddenError


class Scope(StrEnum):
    """What a token may be allowed; each route asks for exactly one."""

    SEND = "messages:send"
    READ = "messages:read"
    CONFIG_READ = "config:read"
    CONFIG_WRITE = "config:write"
    MANAGE = "deliveries:manage"
    ADMIN = "admin:read"
    BACKUP = "admin:backup"


#: What a token that is narrowed to topics can hold: all else reaches beyond its topics.
_WITHIN_TOPICS = frozenset({Scope.SEND, Scope.READ, Scope.MANAGE})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from."""

    #: Whom the audit and the messages name; ``None`` where no tokens are asked for.
    subject: str | None
    scopes: frozenset[Scope]
    #: The topics that it is narrowed to: names, or beginnings with a ``*``; ``None``: all.
    topics: tuple[str, ...] | None = None

    def require(self, scope: Scope) -> None:
        """Go on only with this scope.

        Raises:
            ForbiddenError: the token does not have it.
        """
        if scope not in self.scopes:
            raise ForbiddenError(
                f"This token may not do that: it needs the scope {scope}.", scope=scope
            )

    def require_everything(self, scope: Scope) -> None:
        """Go on only when the token is not narrowed to topics.

        Raises:
            ForbiddenError: it is.
        """
        if self.topics is not None:
            raise ForbiddenError(
                "This token is narrowed to topics, and this reaches beyond them; use one without "
                "the claim.",
                scope=scope,
            )

    def require_way(self, topic: str | None, channel: str | None) -> None:
        """Go on only when a message may be sent this way; says nothing of what there is.

        Raises:
            ForbiddenError: the token is narrowed to other topics, or a channel is addressed, which
                belongs to no topic.
        """
        if self.topics is None:
            return
        if channel is not None:
            raise ForbiddenError(
                "This token is narrowed to topics: name a topic, and no channel.", scope=Scope.SEND
            )
        if not self.sees(topic):
            raise ForbiddenError(
                "This token may not send to this topic; ask who issues it for the topic's name in "
                "its claim.",
                scope=Scope.SEND,
            )

    def sees(self, topic: str | None) -> bool:
        """Tell whether what was sent to a topic is for this token's eyes."""
        if self.topics is None:
            return True
        return topic is not None and any(
            fits(pattern, topic.strip().lower()) for pattern in self.topics
        )


def fits(pattern: str, topic: str) -> bool:
    """Tell whether a topic is the one that a pattern names, or begins as it says."""
    beginning = pattern.removesuffix("*")
    return topic.startswith(beginning) if beginning != pattern else topic == pattern


def narrowed(scopes: Collection[Scope], topics: tuple[str, ...] | None) -> frozenset[Scope]:
    """Return the scopes that remain when a token is narrowed to topics."""
    return frozenset(scopes) if topics is None else _WITHIN_TOPICS.intersection(scopes)


#: Where no tokens are asked for, everybody who reaches the server may do everything.
ANYBODY = Principal(subject=None, scopes=frozenset(Scope))
