"""Topics: create, list, show, replace, change, delete; effective at once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from almenara.api.authorization import READS_CONFIG, ConfigWriter
from almenara.api.dependencies import Name, PartsNeeded
from almenara.api.errors import first_sentence
from almenara.api.fields import NewName, StrictModel, refusal
from almenara.api.problems import BODY, problems
from almenara.api.strict import StrictRoute
from almenara.api.template_bodies import Accept, TemplateBody, accept_out, accept_stored
from almenara.catalogue import StoredTopic, TopicSpec, TopicStep
from almenara.conditions import find_mistakes
from almenara.errors import InvalidInputError

router = APIRouter(
    prefix="/v1/topics",
    tags=["topics"],
    route_class=StrictRoute,
    responses=problems(422, 503),
)


class TopicChannelBody(StrictModel):
    """One channel of a topic."""

    channel: NewName
    condition: dict[str, Any] | None = Field(
        default=None, description="Which messages it takes; absent: all."
    )


_NAME = TypeAdapter(NewName)
#: What stands in a topic's row as it is written.
_PLAIN = {"strategy", "step_deadline_seconds", "enabled", "redact", "template", "accept"}


def _as_object(value: object) -> object:
    """Write a bare name as an object; what is wrong with it has the path of the entry."""
    if isinstance(value, dict):
        return value
    try:
        return {"channel": _NAME.validate_python(value, strict=True)}
    except ValidationError as error:
        [wrong] = error.errors(include_url=False, include_input=False)
        raise PydanticCustomError(wrong["type"], "{said}", {"said": wrong["msg"]}) from error


ChannelSteps = Annotated[
    list[
        Annotated[
            TopicChannelBody,
            BeforeValidator(_as_object, json_schema_input_type=NewName | TopicChannelBody),
        ]
    ],
    Field(max_length=64),
]


class TopicFields(StrictModel):
    """What a topic has besides its name."""

    channels: ChannelSteps | None = Field(
        default=None,
        description="The channels in order: names, or objects with `channel` and `condition`.",
    )
    channel: NewName | None = Field(default=None, description="The one channel; short for a list.")
    strategy: Literal["all", "failover"] = Field(
        default="all",
        description="`all`: to every channel. `failover`: to the first, and to the next one only "
        "when the one before failed, is held, or has had its time.",
    )
    step_deadline_seconds: Annotated[int, Field(ge=5, le=86_400)] = Field(
        default=300, description="With `failover`: how long each channel has before the next one."
    )
    enabled: bool = Field(default=True, description="Messages on a disabled topic have no route.")
    redact: bool = Field(
        default=False,
        description="Whether the texts of a message are dropped when it is finished.",
    )
    template: TemplateBody | None = Field(
        default=None,
        description="How its messages are worded, unless a channel has words of its own.",
    )
    accept: Accept | None = Field(
        default=None,
        description="What any JSON that is posted to `/v1/topics/{name}/messages` means: the name "
        "of a well-known sender, or templates; `null`: only messages are taken there.",
    )

    @model_validator(mode="after")
    def _check_channels(self) -> TopicFields:
        if self.channel is not None and self.channels is not None:
            message = "Write channel or channels, not both."
            raise refusal("channel", code="not_both", message=message)
        return self

    @model_validator(mode="after")
    def _check_conditions(self) -> TopicFields:
        mistakes = [
            mistake
            for index, one in enumerate(self.channels or ())
            if one.condition is not None
            for mistake in find_mistakes(one.condition, f"channels.{index}.condition")
        ]
        if mistakes:
            raise InvalidInputError(first_sentence(mistakes), errors=mistakes)
        return self

    def steps(self) -> list[TopicStep] | None:
        """Return the channels, however they were written; ``None``: not at all."""
        if self.channel is not None:
            return [TopicStep(self.channel)]
        if self.channels is None:
            return None
        return [TopicStep(one.channel, one.condition) for one in self.channels]


class TopicIn(TopicFields):
    """A topic to be created."""

    name: NewName


class TopicChannelOut(BaseModel):
    """One channel of a topic."""

    channel: str
    #: Which messages it takes; absent: all.
    condition: dict[str, Any] | None = Field(default=None, exclude_if=lambda one: one is None)


class TopicOut(BaseModel):
    """A topic with its channels in order."""

    name: str
    strategy: str
    step_deadline_seconds: int
    channels: list[TopicChannelOut]
    enabled: bool
    redact: bool
    template: dict[str, Any] | None
    accept: dict[str, Any] | str | None
    created_at: datetime
    updated_at: datetime


class TopicList(BaseModel):
    """Every topic, by name."""

    data: list[TopicOut]
    next_cursor: None = None


@router.get("", dependencies=[READS_CONFIG])
async def list_topics(parts: PartsNeeded) -> TopicList:
    """List the topics."""
    return TopicList(data=[topic_out(one) for one in await parts.topics.all()])


@router.post("", status_code=201, responses=problems(*BODY, 409))
async def create_topic(
    body: TopicIn, parts: PartsNeeded, writer: ConfigWriter, response: Response
) -> TopicOut:
    """Create a topic."""
    spec = _spec(body.name, body)
    stored, _ = await parts.topics.write(spec, create=True, replace=False, by=writer.subject)
    response.headers["Location"] = f"/v1/topics/{spec.name}"
    return topic_out(stored)


@router.get("/{name}", responses=problems(404), dependencies=[READS_CONFIG])
async def show_topic(name: Name, parts: PartsNeeded) -> TopicOut:
    """Show one topic."""
    return topic_out(await parts.topics.get(name))


@router.put(
    "/{name}",
    responses={201: {"model": TopicOut, "description": "Created"}, **problems(*BODY)},
)
async def replace_topic(
    name: NewName,
    body: TopicFields,
    parts: PartsNeeded,
    writer: ConfigWriter,
    response: Response,
) -> TopicOut:
    """Replace a topic whole, or create it."""
    stored, created = await parts.topics.write(
        _spec(name, body), create=True, replace=True, by=writer.subject
    )
    response.status_code = 201 if created else 200
    return topic_out(stored)


@router.patch("/{name}", responses=problems(*BODY, 404))
async def change_topic(
    name: Name, body: TopicFields, parts: PartsNeeded, writer: ConfigWriter
) -> TopicOut:
    """Change what is given of a topic, and leave the rest."""
    changes = _written(body, body.model_fields_set & _PLAIN)
    steps = body.steps()
    if steps is not None:
        changes["channels"] = steps
    return topic_out(await parts.topics.change(name, changes, by=writer.subject))


@router.delete("/{name}", status_code=204, responses=problems(404))
async def delete_topic(name: Name, parts: PartsNeeded, writer: ConfigWriter) -> None:
    """Delete a topic; its messages stay in the log."""
    await parts.topics.delete(name, by=writer.subject)


def topic_out(stored: StoredTopic) -> TopicOut:
    """Write a topic with its channels in order."""
    topic = stored.topic
    return TopicOut(
        name=topic.name,
        strategy=topic.strategy,
        step_deadline_seconds=topic.step_deadline_seconds,
        channels=[
            TopicChannelOut(channel=step.channel, condition=step.condition)
            for step in stored.channels
        ],
        enabled=topic.enabled,
        redact=topic.redact,
        template=topic.template,
        accept=accept_out(topic.accept),
        created_at=topic.created_at,
        updated_at=topic.updated_at,
    )


def _spec(name: str, body: TopicFields) -> TopicSpec:
    steps = body.steps()
    if steps is None:
        message = "Name the topic's channels, in order; an empty list is allowed."
        raise refusal("channels", code="missing", message=message)
    return TopicSpec(
        name=name,
        channels=steps,
        **_written(body, _PLAIN),
    )


def _written(body: TopicFields, names: set[str]) -> dict[str, Any]:
    """Return what was written of a topic, as its row holds it."""
    values = body.model_dump(include=names)
    return values | {
        name: accept_stored(value) for name, value in values.items() if name == "accept"
    }
