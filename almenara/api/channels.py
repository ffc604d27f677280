"""Channels: create, list, show, replace, change, delete, test, verify; effective at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response

from almenara.api.authorization import READS_CONFIG, ConfigWriter
from almenara.api.channel_bodies import (
    ChannelChange,
    ChannelFields,
    ChannelIn,
    ChannelList,
    ChannelOut,
    DrillOut,
    PauseIn,
    channel_out,
    drill_out,
)
from almenara.api.dependencies import Name, PartsNeeded
from almenara.api.fields import NewName
from almenara.api.messages import MessageStory, story_out
from almenara.api.parts import Parts
from almenara.api.problems import BODY, problems
from almenara.api.strict import StrictRoute
from almenara.catalogue import ChannelSpec, Written
from almenara.deliveries import NewMessage, Status
from almenara.errors import ConflictError
from almenara.models import Channel, new_id

router = APIRouter(
    prefix="/v1/channels",
    tags=["channels"],
    route_class=StrictRoute,
    responses=problems(422, 503),
)

#: How often a test looks whether its attempt has ended, in seconds.
_LOOK_EVERY = 0.05


@router.get("", dependencies=[READS_CONFIG])
async def list_channels(parts: PartsNeeded) -> ChannelList:
    """List the channels."""
    channels = await parts.channels.all()
    states = await parts.pausing.states(channels)
    return ChannelList(data=list(map(channel_out, channels, states)))


@router.post("", status_code=201, responses=problems(*BODY, 409))
async def create_channel(
    body: ChannelIn, parts: PartsNeeded, writer: ConfigWriter, response: Response
) -> ChannelOut:
    """Create a channel; its settings are checked against the plugin's schema."""
    spec = ChannelSpec(**body.model_dump())
    written = await parts.channels.write(spec, create=True, replace=False, by=writer.subject)
    response.headers["Location"] = f"/v1/channels/{spec.name}"
    return await _written_out(parts, written)


@router.get("/{name}", responses=problems(404), dependencies=[READS_CONFIG])
async def show_channel(name: Name, parts: PartsNeeded) -> ChannelOut:
    """Show one channel."""
    return await _shown(parts, await parts.channels.get(name))


@router.put(
    "/{name}",
    responses={201: {"model": ChannelOut, "description": "Created"}, **problems(*BODY)},
)
async def replace_channel(
    name: NewName,
    body: ChannelFields,
    parts: PartsNeeded,
    writer: ConfigWriter,
    response: Response,
) -> ChannelOut:
    """Replace a channel whole, or create it."""
    spec = ChannelSpec(name=name, **body.model_dump())
    written = await parts.channels.write(spec, create=True, replace=True, by=writer.subject)
    response.status_code = 201 if written.created else 200
    return await _written_out(parts, written)


@router.patch("/{name}", responses=problems(*BODY, 404))
async def change_channel(
    name: Name, body: ChannelChange, parts: PartsNeeded, writer: ConfigWriter
) -> ChannelOut:
    """Change what is given of a channel; of its settings too, where `null` removes one."""
    changes = body.model_dump(exclude_unset=True)
    written = await parts.channels.change(name, changes, by=writer.subject)
    return await _written_out(parts, written)


@router.delete("/{name}", status_code=204, responses=problems(404, 409))
async def delete_channel(
    name: Name,
    parts: PartsNeeded,
    writer: ConfigWriter,
    *,
    force: Annotated[
        bool, Query(description="Take it out of its topics, and cancel what waits for it.")
    ] = False,
) -> None:
    """Delete a channel that nothing uses; its deliveries stay in the log."""
    await parts.channels.delete(name, force=force, by=writer.subject)


@router.post("/{name}/pause", responses=problems(*BODY, 404, 409))
async def pause_channel(
    name: Name,
    parts: PartsNeeded,
    writer: ConfigWriter,
    body: Annotated[PauseIn, Body(default_factory=PauseIn)],
) -> ChannelOut:
    """Pause a channel until it is resumed; what waits for it stays pending."""
    paused = await parts.pausing.pause(name, detail=body.reason, by=writer.subject)
    return await _shown(parts, paused)


@router.post("/{name}/resume", responses=problems(404, 409))
async def resume_channel(name: Name, parts: PartsNeeded, writer: ConfigWriter) -> ChannelOut:
    """Resume a channel, whatever it was paused for, and send what waits for it."""
    return await _shown(parts, await parts.pausing.resume(name, by=writer.subject))


@router.post("/{name}/test", responses=problems(404, 409))
async def test_channel(name: Name, parts: PartsNeeded, writer: ConfigWriter) -> MessageStory:
    """Send a test message through the channel, wait for its first attempt, and show it."""
    channel = await parts.channels.get(name)
    if not channel.enabled:
        raise ConflictError(
            f"The channel {channel.name!r} is disabled; enable it first.", code="channel_disabled"
        )
    [state] = await parts.pausing.states([channel])
    if state.paused:
        raise ConflictError(
            f"The channel {channel.name!r} is paused; resume it first.", code="channel_paused"
        )
    message = NewMessage(
        id=new_id(),
        topic=None,
        created_at=parts.acceptor.now(),
        title="Test",
        description=f"A test of the channel {channel.name}, sent by Almenara.",
        tags=["test"],
        sender=writer.subject,
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


@router.post("/{name}/verify", responses=problems(404))
async def verify_channel(name: Name, parts: PartsNeeded, writer: ConfigWriter) -> DrillOut:
    """Check the channel really but silently, as by a login, and wait for the outcome."""
    channel = await parts.channels.get(name)
    return drill_out(channel, await parts.driller.ask(channel, by=writer.subject))


async def _shown(parts: Parts, channel: Channel, warnings: Sequence[str] = ()) -> ChannelOut:
    [state] = await parts.pausing.states([channel])
    return channel_out(channel, state, warnings)


async def _written_out(parts: Parts, written: Written) -> ChannelOut:
    return await _shown(parts, written.channel, written.warnings)
