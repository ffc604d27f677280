"""One real send by a plugin, with neither a database nor a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from almenara.dispatch import Ended, call_plugin, clean, describe
from almenara.egress import Egress, configure
from almenara.errors import (
    ChannelError,
    InvalidInputError,
    PermanentError,
    RateLimitedError,
    TemporaryError,
)
from almenara.loader import FoundPlugin, Plugins
from almenara.plugin import Message, Receipt
from almenara.secrets.references import References
from almenara.settings import Settings

#: As long as a channel may have, in seconds.
TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Tried:
    """What a send came to."""

    sent: bool
    #: A sentence: what the plugin gave back or raised, and what a delivery would do then.
    sentence: str
    seconds: float


async def try_plugin(
    settings: Settings, name: str, values: Mapping[str, Any], message: Message
) -> Tried:
    """Build a plugin with the settings of a channel and let it send one message.

    Args:
        settings: where the plugins are, which addresses may be reached, where secrets may be read.
        name: the class, with or without its directory.
        values: the channel's settings; ``env:`` and ``file:`` are followed.
        message: what is sent.

    Raises:
        PluginError: there is no such plugin, or it is broken.
        InvalidInputError: the settings cannot be used; no value is shown.
    """
    plugins = Plugins(settings.plugins_dir)
    await asyncio.to_thread(plugins.load)
    found = plugins.get(name)
    followed, hidden = References(settings.secrets_dir).follow(values)
    plugins.check(found, followed)
    egress = Egress(settings.egress_allow)
    configure(egress)
    begun = time.monotonic()
    secrets: set[str] = set(hidden)
    try:
        ended = await call_plugin(
            None,
            partial(_build, plugins, found, followed, secrets),
            message,
            timeout_seconds=TIMEOUT_SECONDS,
            abandon=asyncio.get_running_loop().create_future(),
        )
    finally:
        configure(None)
        await egress.close()
    return Tried(
        sent=ended.error is None and not ended.timed_out,
        sentence=_sentence(ended, secrets),
        seconds=time.monotonic() - begun,
    )


def _build(
    plugins: Plugins, found: FoundPlugin, values: Mapping[str, Any], secrets: set[str]
) -> object:
    instance = plugins.build(found, values, hidden=secrets)
    secrets |= instance.secrets
    return instance.target


def _sentence(ended: Ended, secrets: set[str]) -> str:
    if ended.timed_out:
        return f"It had not ended after {TIMEOUT_SECONDS:g} s: a delivery would be unknown."
    if ended.error is not None:
        said = describe(ended.error, secrets).removesuffix(".")
        return f"{said}. {_consequence(ended.error)}"
    value = ended.value
    reference = value.reference if isinstance(value, Receipt) else value
    if reference is None:
        return "The plugin gave no reference."
    if not isinstance(reference, str):
        return f"The plugin returned a {type(value).__name__}, which is not recorded."
    return f"The reference is {clean(reference, secrets)}."


def _consequence(error: BaseException) -> str:
    if isinstance(error, InvalidInputError):
        return "The channel would be paused."
    if isinstance(error, ChannelError):
        return "A delivery would wait, and the channel be paused."
    if isinstance(error, PermanentError):
        return "A delivery would fail at once."
    if isinstance(error, RateLimitedError | TemporaryError) and error.retry_after is not None:
        return f"A delivery would be tried again, not before {error.retry_after:g} s."
    return "A delivery would be tried again."
