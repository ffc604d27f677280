"""What a channel's plugin would send: asked of the plugin under a deadline, nothing sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from almenara.deliveries import NewMessage
from almenara.dispatch.attached import describe_files
from almenara.dispatch.call import Ended, call_plugin
from almenara.dispatch.instances import Instances
from almenara.dispatch.verdict import describe
from almenara.dispatch.wording import worded
from almenara.errors import AlmenaraError, PermanentError, PluginError
from almenara.loader import Instance, mask
from almenara.models import new_id
from almenara.plugin import Message
from almenara.routing import ChannelRoute, TopicRoute

if TYPE_CHECKING:
    from fastapi import BackgroundTasks

#: A plugin has so long to be built and to say what it would send, in seconds.
PREVIEW_SECONDS = 3.0
#: A preview that is longer, written as JSON, is not shown.
LONGEST_PREVIEW = 1_000_000

#: Stands for the preview of a plugin that has none.
_NO_PREVIEW = object()


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent, or why that cannot be said."""

    #: The parts by name; without ``preview`` in the plugin those of the message as they are.
    content: Mapping[str, Any] | None = None
    #: Whether the plugin has rendered it.
    rendered: bool = False
    #: Why there is no content, in a sentence; secrets are masked.
    error: str | None = None


class Previewer:
    """Asks plugins for previews; whatever they do becomes a sentence."""

    def __init__(self, instances: Instances, *, seconds: float = PREVIEW_SECONDS) -> None:
        self._instances = instances
        self._seconds = seconds
        #: By channel: previews that go on in spite of their deadline. One is enough.
        self._lingering: dict[str, asyncio.Future[Any]] = {}

    async def preview(
        self, channel: ChannelRoute, message: NewMessage, topic: TopicRoute | None = None
    ) -> Preview:
        """Return what a channel would send of a message; never raises what its plugin did.

        Args:
            topic: where the message came in, whose words it may have.
        """
        if channel.id in self._lingering:
            return Preview(error="A preview that was asked for before has not ended yet.")
        try:
            copy = await worded(
                message,
                channel,
                topic,
                idempotency_key=str(new_id()),
                attach=describe_files,
                carries_attachments=self._instances.carry_attachments(channel),
            )
        except (PermanentError, PluginError) as error:
            return Preview(error=error.message)
        built: list[Instance] = []

        def build() -> _Asked:
            instance = self._instances.build(channel)
            built.append(instance)
            return _Asked(instance.target)

        ended = Ended()
        try:
            ended = await call_plugin(
                None,
                build,
                copy,
                timeout_seconds=self._seconds,
                abandon=asyncio.get_running_loop().create_future(),
            )
        finally:
            self._instances.let_go_after(built, ended.lingering)
        if ended.lingering is not None:
            self._lingering[channel.id] = ended.lingering
            ended.lingering.add_done_callback(lambda _: self._lingering.pop(channel.id, None))
        return self._read(ended, copy, built[0].secrets if built else ())

    def _read(self, ended: Ended, message: Message, secrets: Iterable[str]) -> Preview:
        if ended.timed_out:
            return Preview(error=f"The plugin had not answered after {self._seconds:g} s.")
        if ended.error is None and ended.value is _NO_PREVIEW:
            return Preview(content=_as_it_is(message))
        if ended.error is not None:
            return _refused(ended.error, secrets)
        try:
            return Preview(content=_shown(ended.value, list(secrets)), rendered=True)
        except Exception as error:  # noqa: BLE001 - what a plugin returned may raise anything
            return _refused(error, secrets)


class _Asked:
    """A plugin that is asked for its preview where it would be told to send."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def send_message(self, message: Message, background_tasks: BackgroundTasks) -> Any:
        """Return the preview, or what will be it."""
        del background_tasks  # nothing is to happen afterwards
        preview = getattr(self._target, "preview", None)
        return preview(message) if callable(preview) else _NO_PREVIEW


def _refused(error: BaseException, secrets: Iterable[str]) -> Preview:
    text = describe(error, secrets)
    own = isinstance(error, AlmenaraError)
    return Preview(error=text if own else f"The plugin raised {text}")


def _as_it_is(message: Message) -> Mapping[str, Any]:
    return {
        "title": message.title,
        "description": message.description,
        "format": message.format,
    }


def _shown(preview: object, secrets: Sequence[str]) -> Mapping[str, Any]:
    """Return a preview as JSON for people: its parts by name, secrets masked."""
    parts = {"text": preview} if isinstance(preview, str) else preview
    if not isinstance(parts, Mapping):
        raise PluginError(
            f"The plugin's preview is a {type(preview).__name__}; it must be a text, or texts "
            "by name."
        )
    try:
        text = json.dumps(dict(parts), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise PluginError("The plugin's preview holds something that is not JSON.") from error
    if len(text) > LONGEST_PREVIEW:
        raise PluginError("The plugin's preview is too long to be shown.")
    shown: dict[str, Any] = _masked(json.loads(text), secrets)
    return shown


def _masked(value: Any, secrets: Sequence[str]) -> Any:
    """Mask every text in a JSON value; lone surrogates, which no answer can hold, are replaced."""
    if isinstance(value, str):
        return mask(value, secrets).encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_masked(one, secrets) for one in value]
    if isinstance(value, dict):
        return {_masked(key, secrets): _masked(one, secrets) for key, one in value.items()}
    return value
