"""Topics: create, list, show, replace, change, delete; effective at once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from almenara.api.body import StrictRoute
from almenara.api.dependencies import Name, PartsNeeded, StrictModel
from almenara.catalogue import StoredTopic, TopicSpec
from almenara.errors import FieldError, InvalidInputError

router = APIRouter(prefix="/v1/topics", tags=["topics"], route_class=StrictRoute)

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


#: The name of a topic or a channel: lower case, at most 64 characters.
NewName = Annotated[str, BeforeValidator(_lower), Field(pattern=NAME_PATTERN)]


class TopicChannelBody(StrictModel):
    """One channel of a topic."""

    channel: NewName


def _names(value: list[NewName | TopicChannelBody]) -> list[NewName | TopicChannelBody]:
    return [one.channel if isinstance(one, TopicChannelBody) else one for one in value]


ChannelNames = Annotated[
    list[NewName | TopicChannelBody], Field(max_length=64), AfterValidator(_names)
]


class TopicFields(StrictModel):
    """What a topic has besides its name."""

    channels: ChannelNames | None = Field(
        default=None, description="The channels in order: names, or objects with `channel`."
    )
    channel: NewName | None = Field(default=None, description="The one channel; short for a list.")
    strategy: Literal["all"] = Field(default="all", description="`all`: to every channel.")
    enabled: bool = Field(default=True, description="Messages on a disabled topic have no route.")

    @model_validator(mode="after")
    def _check_channels(self) -> TopicFields:
        if self.channel is not None and self.channels is not None:
            raise ValueError("Write channel or channels, not both.")
        return self

    def names(self) -> list[str] | None:
        """Return the channels' names, however they were written; ``None``: not at all."""
        if self.channel is not None:
            return [self.channel]
        return None if self.channels is None else [str(name) for name in self.channels]


class TopicIn(TopicFields):
    """A topic to be created."""

    name: NewName


class TopicChannelOut(BaseModel):
    """One channel of a topic."""

    channel: str


class TopicOut(BaseModel):
    """A topic with its channels in order."""

    name: str
    strategy: str
    channels: list[TopicChannelOut]
    enabled: bool
    created_at: datetime
    updated_at: datetime


class TopicList(BaseModel):
    """Every topic, by name."""

    data: list[TopicOut]
    next_cursor: None = None


@router.get("")
async def list_topics(parts: PartsNeeded) -> TopicList:
    """List the topics."""
    return TopicList(data=[topic_out(one) for one in await parts.topics.all()])


@router.post("", status_code=201)
async def create_topic(body: TopicIn, parts: PartsNeeded, response: Response) -> TopicOut:
    """Create a topic."""
    spec = _spec(body.name, body)
    stored, _ = await parts.topics.write(spec, create=True, replace=False)
    response.headers["Location"] = f"/v1/topics/{spec.name}"
    return topic_out(stored)


@router.get("/{name}")
async def show_topic(name: Name, parts: PartsNeeded) -> TopicOut:
    """Show one topic."""
    return topic_out(await parts.topics.get(name))


@router.put("/{name}")
async def replace_topic(
    name: Annotated[NewName, Name], body: TopicFields, parts: PartsNeeded, response: Response
) -> TopicOut:
    """Replace a topic whole, or create it."""
    stored, created = await parts.topics.write(_spec(name, body), create=True, replace=True)
    response.status_code = 201 if created else 200
    return topic_out(stored)


@router.patch("/{name}")
async def change_topic(name: Name, body: TopicFields, parts: PartsNeeded) -> TopicOut:
    """Change what is given of a topic, and leave the rest."""
    old = await parts.topics.get(name)
    given = body.model_fields_set
    names = body.names()
    spec = TopicSpec(
        name=old.topic.name,
        channels=old.channels if names is None else names,
        strategy=body.strategy if "strategy" in given else old.topic.strategy,
        enabled=body.enabled if "enabled" in given else old.topic.enabled,
    )
    stored, _ = await parts.topics.write(spec, create=False, replace=True)
    return topic_out(stored)


@router.delete("/{name}", status_code=204)
async def delete_topic(name: Name, parts: PartsNeeded) -> None:
    """Delete a topic; its messages stay in the log."""
    await parts.topics.delete(name)


def topic_out(stored: StoredTopic) -> TopicOut:
    """Write a topic with its channels in order."""
    topic = stored.topic
    return TopicOut(
        name=topic.name,
        strategy=topic.strategy,
        channels=[TopicChannelOut(channel=name) for name in stored.channels],
        enabled=topic.enabled,
        created_at=topic.created_at,
        updated_at=topic.updated_at,
    )


def _spec(name: str, body: TopicFields) -> TopicSpec:
    names = body.names()
    if names is None:
        message = "Name the topic's channels, in order; an empty list is allowed."
        wrong = FieldError(field="channels", code="missing", message=message)
        raise InvalidInputError(message, errors=[wrong])
    return TopicSpec(name=name, channels=names, strategy=body.strategy, enabled=body.enabled)
