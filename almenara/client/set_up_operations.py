"""What is done with the set-up and what runs: topics, channels, plugins, replays, the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from almenara.client.address import path_to
from almenara.client.pages import Pages, written
from almenara.client.results import DryRun, Replay, ReplayStory, Story
from almenara.client.set_up_results import (
    AuditEntry,
    Channel,
    Drill,
    OnUnknown,
    Plugins,
    Process,
    Readiness,
    Stats,
    Topic,
)
from almenara.client.shapes import read
from almenara.client.steps import Steps
from almenara.client.wire import Query, Request

T = TypeVar("T")


class TopicFields(TypedDict, total=False):
    """What a topic may have beside its name; what is left out is as the server has it."""

    channels: Sequence[str | Mapping[str, Any]]
    #: One channel, in place of ``channels``.
    channel: str
    strategy: Literal["all", "failover"]
    step_deadline_seconds: int
    enabled: bool
    redact: bool
    template: Mapping[str, Any] | None
    accept: Mapping[str, Any] | str | None


class ChannelFields(TypedDict, total=False):
    """What a channel may have beside its name; what is left out is as the server has it."""

    plugin: str
    settings: Mapping[str, Any]
    enabled: bool
    timeout_seconds: float
    retry_schedule: Sequence[str]
    concurrency: int
    on_unknown: OnUnknown
    rate: str | None
    burst: int | None
    breaker_failures: int
    breaker_wait: str
    template: Mapping[str, Any] | None
    verify_every: str | None


class ReplayFields(TypedDict, total=False):
    """Which deliveries are sent again, and how fast."""

    channel: str | None
    topic: str | None
    status: Literal["failed", "cancelled", "sent"] | None
    reason: str | None
    since: datetime | str | None
    until: datetime | str | None
    rate: str | None


class AuditFilters(TypedDict, total=False):
    """Which entries of the audit."""

    subject: str | None
    action: str | None
    object: str | None
    since: datetime | str | None
    until: datetime | str | None


@dataclass(frozen=True, slots=True)
class _Topics:
    data: list[Topic]


@dataclass(frozen=True, slots=True)
class _Channels:
    data: list[Channel]


def topics() -> Steps[list[Topic]]:
    """List the topics."""
    return (yield from _asked(_Topics, "GET", path_to("topics"))).data


def topic(name: str) -> Steps[Topic]:
    """Show one topic."""
    return _asked(Topic, "GET", path_to("topics", name))


def create_topic(name: str, **fields: Unpack[TopicFields]) -> Steps[Topic]:
    """Create a topic; one of this name is an error."""
    return _asked(Topic, "POST", path_to("topics"), {"name": name, **fields})


def put_topic(name: str, **fields: Unpack[TopicFields]) -> Steps[Topic]:
    """Create a topic or replace it: what is not given is as in a new one."""
    return _asked(Topic, "PUT", path_to("topics", name), dict(fields))


def change_topic(name: str, **fields: Unpack[TopicFields]) -> Steps[Topic]:
    """Change what is given of a topic."""
    return _asked(Topic, "PATCH", path_to("topics", name), dict(fields))


def delete_topic(name: str) -> Steps[None]:
    """Delete a topic; its messages stay in the log."""
    yield Request("DELETE", path_to("topics", name))


def channels() -> Steps[list[Channel]]:
    """List the channels; secrets come as stars."""
    return (yield from _asked(_Channels, "GET", path_to("channels"))).data


def channel(name: str) -> Steps[Channel]:
    """Show one channel; secrets come as stars."""
    return _asked(Channel, "GET", path_to("channels", name))


def create_channel(name: str, **fields: Unpack[ChannelFields]) -> Steps[Channel]:
    """Create a channel; one of this name is an error."""
    return _asked(Channel, "POST", path_to("channels"), {"name": name, **fields})


def put_channel(name: str, **fields: Unpack[ChannelFields]) -> Steps[Channel]:
    """Create a channel or replace it: what is not given is as in a new one."""
    return _asked(Channel, "PUT", path_to("channels", name), dict(fields))


def change_channel(name: str, **fields: Unpack[ChannelFields]) -> Steps[Channel]:
    """Change what is given of a channel, and of its settings."""
    return _asked(Channel, "PATCH", path_to("channels", name), dict(fields))


def delete_channel(name: str, *, force: bool = False) -> Steps[None]:
    """Delete a channel.

    Args:
        force: also take it out of the topics that use it.
    """
    yield Request("DELETE", path_to("channels", name), {"force": force})


def pause_channel(name: str, *, reason: str | None = None) -> Steps[Channel]:
    """Send nothing through a channel until it is resumed; what comes for it waits."""
    body = {"reason": reason}
    return _asked(Channel, "POST", path_to("channels", name, "pause"), body)


def resume_channel(name: str) -> Steps[Channel]:
    """Send again through a channel that was paused."""
    return _asked(Channel, "POST", path_to("channels", name, "resume"))


def test_channel(name: str) -> Steps[Story]:
    """Send one real message through a channel, and wait for what comes of it."""
    return _asked(Story, "POST", path_to("channels", name, "test"))


def verify_channel(name: str) -> Steps[Drill]:
    """Check really but silently whether a channel would send; nothing is sent."""
    return _asked(Drill, "POST", path_to("channels", name, "verify"))


def plugins() -> Steps[Plugins]:
    """List the plugins, and what is broken."""
    return _asked(Plugins, "GET", path_to("plugins"))


def audit(*, limit: int | None = None, **filters: Unpack[AuditFilters]) -> Pages[AuditEntry]:
    """Go over what was changed and by whom, newest first.

    Args:
        limit: how many at the most; all that there are when left out.
    """
    return Pages(AuditEntry, "/v1/audit", filters, limit)


def create_replay(**fields: Unpack[ReplayFields]) -> Steps[Replay]:
    """Send what failed or was cancelled again, as new deliveries; the server does it by itself."""
    return _asked(ReplayStory, "POST", path_to("replays"), written(fields))


def try_replay(**fields: Unpack[ReplayFields]) -> Steps[DryRun]:
    """Count what a replay would send again."""
    body = written(fields) | {"dry_run": True}
    return _asked(DryRun, "POST", path_to("replays"), body, repeatable=True)


def replays(*, limit: int | None = None) -> Pages[Replay]:
    """Go over the replays, newest first.

    Args:
        limit: how many at the most; all that there are when left out.
    """
    return Pages(Replay, "/v1/replays", {}, limit)


def replay(replay_id: str) -> Steps[ReplayStory]:
    """Show how far a replay is, and what became of what it sent again."""
    return _asked(ReplayStory, "GET", path_to("replays", replay_id))


def cancel_replay(replay_id: str) -> Steps[ReplayStory]:
    """Stop a replay; what it has sent again stays."""
    return _asked(ReplayStory, "DELETE", path_to("replays", replay_id))


def workers() -> Steps[list[Process]]:
    """List the processes that share the database: servers and workers."""
    return (yield from _asked(_Processes, "GET", path_to("workers"))).data


@dataclass(frozen=True, slots=True)
class _Processes:
    data: list[Process]


def stats(period: Literal["hour", "day"] = "hour") -> Steps[Stats]:
    """Tell what was accepted and tried in the last hour or day, and what waits now."""
    return _asked(Stats, "GET", path_to("stats"), query={"period": period})


def readiness() -> Steps[Readiness]:
    """Tell whether the server takes messages.

    Raises:
        RefusedError: with status 503: it does not.
    """
    return _asked(Readiness, "GET", "/readyz")


def _asked(
    kind: type[T],
    method: str,
    path: str,
    body: Any = None,
    query: Query | None = None,
    *,
    repeatable: bool | None = None,
) -> Steps[T]:
    """Ask once and read the answer."""
    answer = yield Request(method, path, query, body, repeatable=repeatable)
    return read(kind, answer.body)
