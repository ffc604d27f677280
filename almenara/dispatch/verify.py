"""A drill: a plugin is asked for its silent check, under the channel's deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from almenara.dispatch.call import Ended, ask_plugin
from almenara.dispatch.instances import Instances
from almenara.dispatch.verdict import advise, clean, describe
from almenara.errors import ChannelError, InvalidInputError, PermanentError
from almenara.limits import Drilled, DrillOutcome
from almenara.loader import Instance
from almenara.plugin import Receipt
from almenara.routing import ChannelRoute

#: Stands for the check of a plugin that has none.
_NO_CHECK = object()
#: Trying again does not mend these: somebody has to write the channel anew.
_LASTING = (ChannelError, PermanentError, InvalidInputError)
_STRANGE = (
    "The plugin's verify() returned a {kind}: it must return nothing, a sentence or a Receipt, and "
    "raise where the check fails."
)


class Verifier:
    """Asks plugins for their silent checks; whatever they do becomes an outcome."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        #: By channel: checks that go on in spite of their deadline. One is enough.
        self._lingering: dict[str, asyncio.Future[Any]] = {}

    async def verify(
        self, channel: ChannelRoute, *, abandon: asyncio.Future[None]
    ) -> Drilled | None:
        """Make a drill of a channel; never raises what its plugin did.

        Args:
            abandon: done when the process stops; the drill is then made another time.

        Returns:
            What it came to; nothing when it was abandoned.
        """
        begun = time.monotonic()
        built: list[Instance] = []

        def build() -> object:
            built.append(self._instances.build(channel))
            return built[0].target

        if channel.id in self._lingering:
            text = "A check that began before has not ended yet."
            return Drilled(DrillOutcome.FAILED, text, 0)
        ended = Ended()
        try:
            ended = await verify_plugin(
                build, timeout_seconds=channel.timeout_seconds, abandon=abandon
            )
        finally:
            self._instances.let_go_after(built, ended.lingering)
        if ended.lingering is not None:
            self._lingering[channel.id] = ended.lingering
            ended.lingering.add_done_callback(lambda _: self._lingering.pop(channel.id, None))
        if ended.abandoned:
            return None
        outcome, detail = _safely_read(ended, channel, built[0].secrets if built else ())
        return Drilled(outcome, detail, round((time.monotonic() - begun) * 1000))


async def verify_plugin(
    build: Callable[[], Any], *, timeout_seconds: float, abandon: asyncio.Future[None]
) -> Ended:
    """Build a plugin, let it make its silent check, and return how that ended."""
    return await ask_plugin(build, _check, timeout_seconds=timeout_seconds, abandon=abandon)


def _check(target: Any) -> Any:
    verify = getattr(target, "verify", None)
    return verify() if callable(verify) else _NO_CHECK


def _safely_read(
    ended: Ended, channel: ChannelRoute, secrets: Iterable[str]
) -> tuple[DrillOutcome, str | None]:
    try:
        return _read(ended, channel, secrets)
    except BaseException:  # noqa: BLE001 - an error or a value may raise when it is looked at
        kind = clean(type(ended.value if ended.error is None else ended.error).__name__, (), 100)
        return DrillOutcome.FAILED, f"The check ended with a {kind} that cannot be read."


def _read(
    ended: Ended, channel: ChannelRoute, secrets: Iterable[str]
) -> tuple[DrillOutcome, str | None]:
    secrets = list(secrets)
    if ended.timed_out:
        text = (
            f"The check took longer than the channel's deadline of {channel.timeout_seconds:g} s."
        )
        return DrillOutcome.FAILED, text
    if isinstance(ended.error, NotImplementedError):
        return _unsupported(clean(str(ended.error), secrets), channel)
    if ended.error is not None:
        return DrillOutcome.FAILED, _advised(ended.error, channel, secrets)
    value = ended.value
    if value is _NO_CHECK:
        return _unsupported("", channel)
    if isinstance(value, Receipt):
        value = value.detail or value.reference
    if value is None or isinstance(value, str):
        return DrillOutcome.OK, value and clean(value, secrets)
    return DrillOutcome.FAILED, _STRANGE.format(kind=clean(type(value).__name__, (), 100))


def _unsupported(reason: str, channel: ChannelRoute) -> tuple[DrillOutcome, str]:
    reason = reason.removesuffix(".") or f"The plugin {channel.plugin} has no silent check"
    way = f"POST /v1/channels/{channel.name}/test sends a real message."
    return DrillOutcome.UNSUPPORTED, f"{reason}: {way}"


def _advised(error: BaseException, channel: ChannelRoute, secrets: list[str]) -> str:
    """Say what was raised, and what to do where that lasts."""
    said = describe(error, secrets)
    return advise(said, channel) if isinstance(error, _LASTING) else said
