"""Channels: create, list, show, replace, change, delete, test; effective at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, Field

from almenara.api.body import StrictRoute
from almenara.api.dependencies import Name, NewName, PartsNeeded, StrictModel
from almenara.api.messages import MessageStory, story_out
from almenara.api.problems import BODY, problems
from almenara.catalogue import ChannelSpec, Written
from almenara.deliveries import NewMessage, Status
from almenara.errors import AlmenaraError, ConflictError
from almenara.models import Channel, new_id
from almenara.retry import DEFAULT_SCHEDULE, parse_duration
from almenara.secrets import masked

router = APIRouter(
    prefix="/v1/channels",
    tags=["channels"],
    route_class=StrictRoute,
    responses=problems(422, 503),
)

#: How often a test looks whether its attempt has ended, in seconds.
_LOOK_EVERY = 0.05


def _check_schedule(value: list[str]) -> list[str]:
    for text in value:
        try:
            parse_duration(text)
        except AlmenaraError as error:
            raise ValueError(error.message) from error
    return value


Schedule = Annotated[
    list[Annotated[str, Field(max_length=16)]],
    Field(max_length=50),
    AfterValidator(_check_schedule),
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
    created_at: datetime
    updated_at: datetime
    #: Settings that must come from the worker's environment, as they are missing here.
    warnings: list[str] = []


class ChannelList(BaseModel):
    """Every channel, by name."""

    data: list[ChannelOut]
    next_cursor: None = None


@router.get("")
async def list_channels(parts: PartsNeeded) -> ChannelList:
    """List the channels."""
    return ChannelList(data=[channel_out(one) for one in await parts.channels.all()])


@router.post("", status_code=201, responses=problems(*BODY, 409))
async def create_channel(body: ChannelIn, parts: PartsNeeded, response: Response) -> ChannelOut:
    """Create a channel; its settings are checked against the plugin's schema."""
    spec = ChannelSpec(**body.model_dump())
    written = await parts.channels.write(spec, create=True, replace=False)
    response.headers["Location"] = f"/v1/channels/{spec.name}"
    return _written_out(written)


@router.get("/{name}", responses=problems(404))
async def show_channel(name: Name, parts: PartsNeeded) -> ChannelOut:
    """Show one channel."""
    return channel_out(await parts.channels.get(name))


@router.put(
    "/{name}",
    responses={201: {"model": ChannelOut, "description": "Created"}, **problems(*BODY)},
)
async def replace_channel(
    name: NewName, body: ChannelFields, parts: PartsNeeded, response: Response
) -> ChannelOut:
    """Replace a channel whole, or create it."""
    spec = ChannelSpec(name=name, **body.model_dump())
    written = await parts.channels.write(spec, create=True, replace=True)
    response.status_code = 201 if written.created else 200
    return _written_out(written)


@router.patch("/{name}", responses=problems(*BODY, 404))
async def change_channel(name: Name, body: ChannelChange, parts: PartsNeeded) -> ChannelOut:
    """Change what is given of a channel; of its settings too, where `null` removes one."""
    changes = body.model_dump(exclude_unset=True)
    return _written_out(await parts.channels.change(name, changes))


@router.delete("/{name}", status_code=204, responses=problems(404, 409))
async def delete_channel(
    name: Name,
    parts: PartsNeeded,
    *,
    force: Annotated[
        bool, Query(description="Take it out of its topics, and cancel what waits for it.")
    ] = False,
) -> None:
    """Delete a channel that nothing uses; its deliveries stay in the log."""
    await parts.channels.delete(name, force=force)


@router.post("/{name}/test", responses=problems(404, 409))
async def test_channel(name: Name, parts: PartsNeeded) -> MessageStory:
    """Send a test message through the channel, wait for its first attempt, and show it."""
    channel = await parts.channels.get(name)
    if not channel.enabled:
        raise ConflictError(
            f"The channel {channel.name!r} is disabled; enable it first.", code="channel_disabled"
        )
    message = NewMessage(
        id=new_id(),
        topic=None,
        created_at=datetime.now(UTC),
        title="Test",
        description=f"A test of the channel {channel.name}, sent by Almenara.",
        tags=["test"],
    )
    answer = await parts.acceptor.accept(message, channel=channel.name)
    looks = int((channel.timeout_seconds + 2) / _LOOK_EVERY)
    for _ in range(looks):
        story = await parts.log.story(answer.message_id)
        waiting = (Status.PENDING, Status.SENDING)
        if any(story.attempts.values()) or not any(
            one.status in waiting for one in story.deliveries
        ):
            break
        await asyncio.sleep(_LOOK_EVERY)
    return story_out(await parts.log.story(answer.message_id))


def channel_out(channel: Channel, warnings: Sequence[str] = ()) -> ChannelOut:
    """Write a channel with its secrets masked."""
    names = set(ChannelOut.model_fields) - {"settings", "warnings"}
    return ChannelOut(
        **{name: getattr(channel, name) for name in names},
        settings=masked(channel.settings),
        warnings=list(warnings),
    )


def _written_out(written: Written) -> ChannelOut:
    return channel_out(written.channel, written.warnings)
