"""The contract of a plugin: what it is given, what it may return, how its settings are declared.

Any class with ``send_message(self, message, background_tasks)`` is a plugin; nothing of this module
need be imported by it. What stands here is for authors who want types and settings, and for the
loader and the dispatcher, which hold both sides to the contract.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from datetime import datetime
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    get_args,
    get_origin,
    runtime_checkable,
)
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Secret,
    SecretBytes,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from almenara.attachment import Attachment

if TYPE_CHECKING:
    from fastapi import BackgroundTasks

#: The types of a value that must not be seen.
_SECRETS = (SecretStr, SecretBytes, Secret)

#: How the text of a message is written.
Format = Literal["text", "markdown", "html"]


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value.strip())
        named = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        parts, named = urlsplit(""), False
    if parts.scheme not in {"http", "https"} or not named:
        raise ValueError("must be an address such as https://example.com/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user name or password")
    return value.strip().rstrip("/")


def _check_secret_url(value: SecretStr) -> SecretStr:
    return SecretStr(_check_url(value.get_secret_value()))


#: An address of http or https in a plugin's settings, without a slash at its end.
WebUrl = Annotated[str, AfterValidator(_check_url)]
#: The same, where whoever knows the address may send: stored encrypted and shown masked.
SecretUrl = Annotated[SecretStr, AfterValidator(_check_secret_url)]


class Message(BaseModel):
    """A message as a plugin sees it: detached from the database, never written back."""

    model_config = ConfigDict(extra="forbid")

    #: The message's id, the same in the API and the log.
    id: UUID
    #: The topic it was sent to; ``None`` when it was addressed to a channel directly.
    topic: str | None = None
    #: The channel this attempt goes through.
    channel: str
    #: A short heading; channels without headings put it before the text.
    title: str | None = None
    #: The text, as the sender wrote it.
    description: str
    #: How ``description`` is written.
    format: Format = "text"
    #: 1 is the most urgent, 5 the least.
    priority: int = 3
    tags: list[str] = Field(default_factory=list)
    #: Free structured content of the sender's.
    data: dict[str, Any] = Field(default_factory=dict)
    #: Recipients named by the sender, for channels that allow it.
    to: list[str] = Field(default_factory=list)
    #: Files, for a class whose ``carries_attachments`` is true; for others, a note in the text.
    attachments: list[Attachment] = Field(default_factory=list)
    #: The sender's own reference, such as an order number.
    reference: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    #: When the message was accepted, in UTC.
    created_at: datetime
    #: Stable over all attempts of one delivery: hand it on to the service, if it takes one.
    idempotency_key: str


class Receipt(BaseModel):
    """What the service answered to a message that it took."""

    model_config = ConfigDict(extra="forbid")

    #: The service's own id for the message.
    reference: str | None = None
    #: Anything else worth a line in the log; shown to people, so no secrets.
    detail: str | None = None


@runtime_checkable
class Plugin(Protocol):
    """The class that sends over one kind of channel.

    Return: sent; a string or :class:`Receipt` is recorded as the service's reference.
    Raise :class:`~almenara.PermanentError`: never tried again. Raise
    :class:`~almenara.TemporaryError`: tried again, not before its ``retry_after``. Raise anything
    else: tried again by the channel's schedule. Work added to ``background_tasks`` is part of the
    attempt.

    A plugin may have more methods, which are not asked for here, so that the one is enough:
    ``preview(message)``, sync or ``async``, returns what would be sent, a text or JSON values by
    name, and sends nothing; ``verify()``, sync or ``async``, checks really but silently whether
    the service would take a message (a login, a test of the token), returns nothing, a sentence or
    a :class:`Receipt`, and raises as ``send_message`` does, or ``NotImplementedError`` where a
    channel is set up so that there is nothing to check; ``close()`` is called when an instance is
    not needed any more. A class attribute ``carries_attachments = True`` says that it sends the
    files of a message.
    """

    def send_message(
        self, message: Message, background_tasks: BackgroundTasks
    ) -> Receipt | str | Awaitable[Receipt | str | None] | None:
        """Send one message; may be ``async``."""
        ...


class PluginSettings(BaseSettings):
    """The base of a plugin's nested ``class Settings``.

    Values come from the channel's own settings, then the environment, then the ``.env`` of the
    plugin, then the defaults. A field's environment name is the class's prefix (the plugin's class
    name in capitals and ``_``, unless ``env_prefix`` says otherwise) and its name or alias in
    capitals. ``SecretStr`` fields are stored encrypted and shown masked. A list may be written
    with commas.
    """

    model_config = SettingsConfigDict(
        extra="ignore",
        env_prefix_target="all",
        enable_decoding=False,
        populate_by_name=True,
        hide_input_in_errors=True,
        validate_default=True,
        # Most plugins of a set-up have no channel: what checks their settings is built when needed.
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _read_written_lists(cls, values: Any) -> Any:
        """Read lists and objects that the environment gives as text."""
        if not isinstance(values, dict):
            return values
        by_key = {field.alias or name: field for name, field in cls.model_fields.items()}
        by_key |= cls.model_fields
        return {
            key: _from_text(value, by_key[key].annotation)
            if isinstance(value, str) and key in by_key
            else value
            for key, value in values.items()
        }


def settings_class(plugin: type) -> type[PluginSettings] | None:
    """Return the nested ``Settings`` of a plugin class, or ``None`` when it declares none."""
    nested = getattr(plugin, "Settings", None)
    return nested if isinstance(nested, type) and issubclass(nested, PluginSettings) else None


def environment_prefix(plugin: type, settings: type[PluginSettings]) -> str:
    """Return what stands before each environment name: never empty, so ``PORT`` is never read."""
    return settings.model_config.get("env_prefix") or f"{plugin.__name__.upper()}_"


def field_names(settings: type[PluginSettings]) -> dict[str, str]:
    """Return the names under which fields are written in a channel: written name -> attribute."""
    return {field.alias or name: name for name, field in settings.model_fields.items()}


def secret_fields(settings: type[PluginSettings]) -> frozenset[str]:
    """Return the written names of the fields that hold secrets, wherever in their type."""
    return frozenset(
        field.alias or name
        for name, field in settings.model_fields.items()
        if _mentions_secret(field.annotation)
    )


def build_settings(
    plugin: type,
    settings: type[PluginSettings],
    values: Mapping[str, Any],
    env_file: Path | None,
) -> PluginSettings:
    """Read a plugin's settings from the channel, the environment and its ``.env``.

    Args:
        values: the channel's own settings, secrets in clear, by written name.
        env_file: the ``.env`` of the plugin, which may be absent.

    Raises:
        pydantic.ValidationError: a value is missing or wrong. Its text holds no input values.
    """
    return settings(
        _env_prefix=environment_prefix(plugin, settings),
        _env_file=env_file,
        _env_file_encoding="utf-8",
        **dict(values),
    )


def _mentions_secret(annotation: Any, within: tuple[type, ...] = ()) -> bool:
    """Tell whether ``SecretStr`` or ``SecretBytes`` stands anywhere in a type, or in its models."""
    # By identity: not every annotation can be hashed (``Callable[[], int]``).
    if any(annotation is kind or get_origin(annotation) is kind for kind in _SECRETS):
        return True
    parts = list(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in within:  # a model of itself, a tree
            return False
        within = (*within, annotation)
        parts += [field.annotation for field in annotation.model_fields.values()]
    return any(_mentions_secret(part, within) for part in parts)


def _from_text(value: str, annotation: Any) -> Any:
    """Turn the text of a list (commas or JSON) or of an object (JSON) into its value."""
    kinds = [get_origin(part) or part for part in (annotation, *get_args(annotation))]
    text = value.strip()
    if any(kind is wanted for kind in kinds for wanted in (list, tuple, set, frozenset)):
        if text.startswith("["):
            return _json_or_text(text)
        return [part.strip() for part in text.split(",") if part.strip()]
    if any(kind is dict for kind in kinds) and text.startswith("{"):
        return _json_or_text(text)
    return value


def _json_or_text(text: str) -> Any:
    """Parse JSON; leave what is not JSON to the field's own error message."""
    try:
        return json.loads(text)
    except ValueError:
        return text
