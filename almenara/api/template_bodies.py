"""What is written of templates: the words of a topic or channel, and what foreign webhooks mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from almenara.api.fields import StrictModel, refusal
from almenara.errors import TemplateError
from almenara.plugin import Format
from almenara.templates import LONGEST_SOURCE, Words, check_reading, reading_of

Source = Annotated[str, Field(min_length=1, max_length=LONGEST_SOURCE)]
#: A name that ``?template=`` takes: those of ``SENDERS``.
Sender = Literal["github", "grafana", "alertmanager", "stripe", "json"]


class TemplateBody(StrictModel):
    """How messages are worded: Jinja2's language over the message's fields."""

    title: Source | None = Field(
        default=None,
        description="Makes the title.",
        examples=["Order {{ data.number }}"],
    )
    body: Source | None = Field(
        default=None,
        description="Makes the text.",
        examples=["{{ description }}\n\nAmount: {{ data.amount }}"],
    )
    format: Format = Field(default="text", description="What `body` makes.")

    @model_serializer
    def _given(self) -> dict[str, Any]:
        parts = {"title": self.title, "body": self.body}
        return {name: one for name, one in parts.items() if one} | {"format": self.format}

    @model_validator(mode="after")
    def _check(self) -> TemplateBody:
        if self.title is None and self.body is None:
            message = "Write a title, a body, or both."
            raise refusal("template", code="missing", message=message)
        try:
            Words(self.title, self.body, self.format).check()
        except TemplateError as error:
            raise refusal("template", code="template_invalid", message=error.message) from error
        return self


class AcceptBody(StrictModel):
    """What the body of a foreign webhook means: a template for each field of the message.

    They see `body`, the JSON that was posted, and `headers`, by names in lower case.
    """

    description: Source | None = Field(
        default=None, description="Makes the text; absent, or when it fails: the body as it came."
    )
    title: Source | None = Field(default=None, description="Makes the title.")
    format: Format = Field(default="text", description="What `description` makes.")
    priority: Source | None = Field(default=None, description="Makes a number from 1 to 5.")
    tags: Annotated[list[Source], Field(max_length=32)] = Field(
        default_factory=list, description="Each makes one word, or nothing."
    )
    reference: Source | None = Field(default=None, description="Makes the reference.")
    key: Source | None = Field(
        default=None,
        description="Makes the idempotency key, of what the sender calls the event.",
        examples=["{{ body.id }}"],
    )

    @model_serializer
    def _given(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: one for name, one in fields.items() if one}

    @model_validator(mode="after")
    def _check(self) -> AcceptBody:
        try:
            check_reading(reading_of(self.model_dump()))
        except TemplateError as error:
            raise refusal("accept", code="template_invalid", message=error.message) from error
        return self


#: A mapping as it is written: the name of a well-known sender, or templates.
Accept = Sender | AcceptBody


def accept_stored(written: dict[str, Any] | str | None) -> dict[str, Any] | None:
    """Return a mapping as a row holds it."""
    return {"sender": written} if isinstance(written, str) else written


def accept_out(stored: dict[str, Any] | None) -> dict[str, Any] | str | None:
    """Return a mapping as it was written."""
    if stored is None:
        return None
    return str(stored["sender"]) if "sender" in stored else stored
