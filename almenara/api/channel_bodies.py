"""What is written and shown of a channel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from almenara.api.fields import NewName, StrictModel
from almenara.api.template_bodies import TemplateBody
from almenara.errors import AlmenaraError
from almenara.limits import LONGEST_EVERY, SHORTEST_EVERY, DrillOutcome, LastDrill, State
from almenara.models import Channel
from almenara.rates import LARGEST_COUNT, RATE_PATTERN, parse_rate
from almenara.retry import DEFAULT_SCHEDULE, DURATION_PATTERN, parse_duration
from almenara.secrets import masked


def _check_duration(text: str) -> str:
    try:
        parse_duration(text)
    except AlmenaraError as error:
        raise ValueError(error.message) from error
    return text


def _check_schedule(value: list[str]) -> list[str]:
    return [_check_duration(text) for text in value]


def _check_wait(text: str) -> str:
    if not parse_duration(_check_duration(text)):
        raise ValueError("A paused channel waits at least 1s before it is tried again.")
    return text


def _check_every(text: str) -> str:
    """Return how often a channel is drilled, as it was written."""
    try:
        every = parse_duration(text, longest=LONGEST_EVERY)
    except AlmenaraError as error:
        raise ValueError(error.message) from error
    if every < SHORTEST_EVERY:
        raise ValueError("Drills of a channel are at least 1m apart.")
    return text


def _check_rate(text: str) -> str:
    """Return a rate as it is stored: without spaces, in lower case."""
    try:
        return str(parse_rate(text))
    except AlmenaraError as error:
        raise ValueError(error.message) from error


#: The patterns are for readers of the schema; the sentence that refuses says more than a pattern.
DurationText = Annotated[str, Field(max_length=16, json_schema_extra={"pattern": DURATION_PATTERN})]
Schedule = Annotated[
    list[DurationText],
    Field(max_length=50),
    AfterValidator(_check_schedule),
]
RateText = Annotated[
    str,
    Field(max_length=16, json_schema_extra={"pattern": RATE_PATTERN}),
    AfterValidator(_check_rate),
]


class ChannelFields(StrictModel):
    """What a channel has besides its name."""

    plugin: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="The plugin class: `Email`, or `email.Email` where two have one name.",
        examples=["Slack"],
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="By the plugin's schema. A secret written as `********` stays as it is.",
    )
    enabled: bool = Field(
        default=True, description="What waits for a disabled channel waits until it is enabled."
    )
    timeout_seconds: Annotated[float, Field(ge=1, le=20)] = Field(
        default=15.0, description="The deadline of one attempt."
    )
    retry_schedule: Schedule = Field(
        default=list(DEFAULT_SCHEDULE),
        description="The waits between attempts, such as `10s`, `5m`, `2h`, `1d`.",
    )
    concurrency: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=16, description="Attempts at once in one process."
    )
    on_unknown: Literal["retry", "hold"] = Field(
        default="retry",
        description="What follows an attempt that was perhaps sent: another one, or an operator.",
    )
    rate: RateText | None = Field(
        default=None,
        description="How many attempts may begin in a second, a minute or an hour, over all "
        "processes: `10/s`, `30/m`, `500/h`; `null`: any number.",
        examples=["10/s"],
    )
    burst: Annotated[int, Field(ge=1, le=LARGEST_COUNT)] | None = Field(
        default=None,
        description="How many of them may begin at once after a rest; `null`: one.",
    )
    breaker_failures: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=20, description="So many failures in a row pause the channel; 0: never."
    )
    breaker_wait: Annotated[DurationText, AfterValidator(_check_wait)] = Field(
        default="30s",
        description="How long a channel that has paused itself waits before one delivery tries "
        "it again; the wait doubles with each try that fails, up to 16 times the first.",
    )
    template: TemplateBody | None = Field(
        default=None,
        description="How this channel words messages; a part that it leaves out is its topic's.",
    )
    verify_every: Annotated[DurationText, AfterValidator(_check_every)] | None = Field(
        default=None,
        description="How often the channel is drilled: its plugin's silent check is made, such as "
        "a login; from `1m` to `30d`; `null`: only when somebody asks for it.",
        examples=["1h"],
    )


class ChannelIn(ChannelFields):
    """A channel to be created."""

    name: NewName


class ChannelChange(ChannelFields):
    """What is to be changed of a channel."""

    plugin: Annotated[str, Field(min_length=1, max_length=200)] = ""


class ChannelOut(BaseModel):
    """A channel; its secrets are masked."""

    name: str
    plugin: str
    settings: dict[str, Any]
    enabled: bool
    timeout_seconds: float
    retry_schedule: list[str]
    concurrency: int
    on_unknown: str
    rate: str | None
    burst: int | None
    breaker_failures: int
    breaker_wait: str
    template: dict[str, Any] | None
    verify_every: str | None
    #: `active` or `paused`; what waits for a paused channel stays pending.
    state: str
    #: Why it is paused: `operator`, `failures` or `misconfigured`.
    state_reason: str | None
    #: The same in a sentence.
    state_detail: str | None
    #: When it was paused or resumed last.
    state_changed_at: datetime | None
    #: When one delivery may try whether it works again; `null`: somebody must resume it.
    probe_at: datetime | None
    #: When the last drill ended.
    verified_at: datetime | None
    #: What it came to: `ok`, `failed`, or `unsupported`.
    verify_outcome: str | None
    #: The same in a sentence.
    verify_detail: str | None
    created_at: datetime
    updated_at: datetime
    #: Settings that must come from the worker's environment, as they are missing here.
    warnings: list[str] = []


#: What is shown as it stands in the channel's row.
_STORED = frozenset(ChannelOut.model_fields) - {
    *("settings", "state", "state_reason", "state_detail", "state_changed_at", "probe_at"),
    *("verified_at", "verify_outcome", "verify_detail", "warnings"),
}


class PauseIn(StrictModel):
    """Why a channel is paused."""

    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="For people: shown as `state_detail`."
    )


class DrillOut(BaseModel):
    """What a drill of a channel came to."""

    channel: str
    #: Whether its plugin has a silent check; without one nothing was tried.
    supported: bool
    #: Whether the service would take a message, as far as the check can tell.
    verified: bool
    #: What the check has to say where it succeeds, or why there is none.
    detail: str | None
    #: Why it failed, and what to do about it.
    error: str | None
    duration_ms: int
    verified_at: datetime


class ChannelList(BaseModel):
    """Every channel, by name."""

    data: list[ChannelOut]
    next_cursor: None = None


def channel_out(channel: Channel, state: State, warnings: Sequence[str] = ()) -> ChannelOut:
    """Write a channel with its secrets masked."""
    return ChannelOut(
        **{name: getattr(channel, name) for name in _STORED},
        settings=masked(channel.settings),
        state=state.state,
        state_reason=state.reason,
        state_detail=state.detail,
        state_changed_at=state.changed_at,
        probe_at=state.probe_at,
        verified_at=state.drill.verified_at,
        verify_outcome=state.drill.outcome,
        verify_detail=state.drill.detail,
        warnings=list(warnings),
    )


def drill_out(channel: Channel, drill: LastDrill) -> DrillOut:
    """Write a drill that has ended."""
    assert drill.verified_at is not None  # noqa: S101 - it has ended
    failed = drill.outcome == DrillOutcome.FAILED
    return DrillOut(
        channel=channel.name,
        supported=drill.outcome != DrillOutcome.UNSUPPORTED,
        verified=drill.outcome == DrillOutcome.OK,
        detail=None if failed else drill.detail,
        error=drill.detail if failed else None,
        duration_ms=drill.duration_ms or 0,
        verified_at=drill.verified_at,
    )
