"""Drills: what plugins may do when they are asked for their silent check."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from almenara.dispatch import Instances, Verifier
from almenara.limits import Drilled, DrillOutcome
from almenara.loader import Plugins
from almenara.secrets import open_vault
from tests.serving import make_settings
from tests.stored import a_channel

SOURCE = '''
import asyncio, threading
from almenara import ChannelError, PermanentError, PluginSettings, RateLimitedError, Receipt
from almenara import SecretStr, TemporaryError

GO_ON = threading.Event()


class Sender:
    def send_message(self, message, background_tasks):
        raise AssertionError("a drill sends nothing")


class Plain(Sender):
    """Has no check."""


class Unreadable(Exception):
    def __str__(self):
        raise ValueError("not to be read")


class Told(Sender):
    class Settings(PluginSettings):
        token: SecretStr
        does: str = "nothing"

    def __init__(self, settings):
        self.token = settings.token.get_secret_value()
        self.does = settings.does

    def verify(self):
        does = self.does
        if does == "refused":
            raise ChannelError(f"It refused the token {self.token}.")
        if does == "permanent":
            raise PermanentError("It is gone for good")
        if does == "away":
            raise TemporaryError("It is away.")
        if does == "limited":
            raise RateLimitedError("It is busy.", retry_after=3)
        if does == "surprise":
            raise KeyError(f"with {self.token}")
        if does == "exit":
            raise SystemExit(3)
        if does == "unreadable":
            raise Unreadable
        if does == "no check":
            raise NotImplementedError("A webhook has no check.")
        if does == "no check, no words":
            raise NotImplementedError
        if does == "hang":
            GO_ON.wait(20)
        return {
            "nothing": None,
            "sentence": f"As {self.token}\\n.",
            "receipt": Receipt(detail="By a receipt."),
            "reference": Receipt(reference="7"),
            "false": False,
            "number": 1,
        }.get(does)


class Later(Sender):
    async def verify(self):
        await asyncio.sleep(0)
        return "Later."


class Hanging(Sender):
    async def verify(self):
        await asyncio.sleep(60)


class Cancelled(Sender):
    async def verify(self):
        raise asyncio.CancelledError


class Raising(Sender):
    def __init__(self):
        raise RuntimeError("the constructor")
'''

TOKEN = "a-secret-token"
OK, FAILED, NONE = DrillOutcome.OK, DrillOutcome.FAILED, DrillOutcome.UNSUPPORTED
ANEW = "Write it anew with PATCH /v1/channels/team."
REAL = "POST /v1/channels/team/test sends a real message."


@pytest.fixture
async def plugins(tmp_path: Path) -> AsyncIterator[Plugins]:
    directory = tmp_path / "plugins" / "author"
    directory.mkdir(parents=True)
    (directory / "plugins.py").write_text(textwrap.dedent(SOURCE))
    found = Plugins(tmp_path / "plugins", shipped=False)
    await asyncio.to_thread(found.load)
    yield found
    go_on(found)


def go_on(plugins: Plugins) -> None:
    module: Any = sys.modules[plugins.get("Told").cls.__module__]
    module.GO_ON.set()


@pytest.fixture
def verifier(tmp_path: Path, plugins: Plugins) -> Verifier:
    return Verifier(Instances(plugins, open_vault(make_settings(tmp_path))))


async def drilled(
    verifier: Verifier, plugin: str, does: str = "", *, timeout_seconds: float = 15.0
) -> Drilled:
    settings = {"token": TOKEN, "does": does} if plugin == "Told" else {}
    channel = a_channel(
        id=plugin, plugin=plugin, settings=settings, timeout_seconds=timeout_seconds
    )
    found = await verifier.verify(channel, abandon=asyncio.get_running_loop().create_future())
    assert found is not None
    assert TOKEN not in (found.detail or "")
    return found


@pytest.mark.parametrize(
    ("plugin", "does", "outcome", "detail"),
    [
        ("Told", "nothing", OK, None),
        ("Told", "sentence", OK, "As ********\\n."),
        ("Told", "receipt", OK, "By a receipt."),
        ("Told", "reference", OK, "7"),
        ("Later", "", OK, "Later."),
        ("Told", "refused", FAILED, f"It refused the token ********. {ANEW}"),
        ("Told", "permanent", FAILED, f"It is gone for good. {ANEW}"),
        ("Told", "away", FAILED, "It is away."),
        ("Told", "limited", FAILED, "It is busy."),
        ("Told", "surprise", FAILED, "KeyError: 'with ********'"),
        ("Told", "exit", FAILED, "SystemExit: 3"),
        ("Told", "unreadable", FAILED, "The check ended with a Unreadable that cannot be read."),
        ("Cancelled", "", FAILED, "CancelledError"),
        (
            *("Raising", "", FAILED),
            "The constructor of author.Raising raised RuntimeError: the constructor.",
        ),
        ("Nowhere", "", FAILED, "There is no plugin 'Nowhere'."),
        ("Plain", "", NONE, f"The plugin Plain has no silent check: {REAL}"),
        ("Told", "no check", NONE, f"A webhook has no check: {REAL}"),
        ("Told", "no check, no words", NONE, f"The plugin Told has no silent check: {REAL}"),
    ],
)
async def test_whatever_a_plugin_does_becomes_an_outcome(
    verifier: Verifier, plugin: str, does: str, outcome: DrillOutcome, detail: str | None
) -> None:
    found = await drilled(verifier, plugin, does)
    assert (found.outcome, found.detail) == (outcome, detail)


@pytest.mark.parametrize(("does", "kind"), [("false", "bool"), ("number", "int")])
async def test_what_is_no_sentence_is_no_success(verifier: Verifier, does: str, kind: str) -> None:
    found = await drilled(verifier, "Told", does)
    assert found.outcome is FAILED
    assert f"returned a {kind}: it must return nothing" in (found.detail or "")


async def test_a_check_has_the_channels_deadline(verifier: Verifier) -> None:
    for plugin in ("Hanging", "Told"):
        found = await drilled(verifier, plugin, "hang", timeout_seconds=0.3)
        assert found.outcome is FAILED
        assert found.detail == "The check took longer than the channel's deadline of 0.3 s."


async def test_of_checks_that_hang_a_channel_has_one(verifier: Verifier, plugins: Plugins) -> None:
    await drilled(verifier, "Told", "hang", timeout_seconds=0.3)
    second = await drilled(verifier, "Told", "hang")
    assert second == Drilled(FAILED, "A check that began before has not ended yet.", 0)
    go_on(plugins)
    while (third := await drilled(verifier, "Told", "hang")).detail == second.detail:
        await asyncio.sleep(0.01)
    assert third.outcome is OK


async def test_a_check_that_is_abandoned_came_to_nothing(verifier: Verifier) -> None:
    abandon = asyncio.get_running_loop().create_future()
    channel = a_channel(id="Hanging", plugin="Hanging")
    verifying = asyncio.create_task(verifier.verify(channel, abandon=abandon))
    await asyncio.sleep(0)
    abandon.set_result(None)
    assert await verifying is None
