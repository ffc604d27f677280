"""Previews: what plugins may do when they are asked what they would send."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from almenara.dispatch import Instances, Preview, Previewer
from almenara.loader import Plugins
from almenara.secrets import open_vault
from tests.serving import make_settings
from tests.stored import a_channel, a_plan

SOURCE = '''
import asyncio, threading, time
from almenara import PermanentError, PluginSettings, SecretStr

GO_ON = threading.Event()


class Sender:
    def send_message(self, message, background_tasks):
        raise AssertionError("a preview sends nothing")


class Plain(Sender):
    """Has no preview."""


class Told(Sender):
    class Settings(PluginSettings):
        token: SecretStr

    def __init__(self, settings):
        self.token = settings.token.get_secret_value()

    def preview(self, message):
        said = message.description
        message.data["changed"] = True
        if said == "leak":
            return {"text": f"with {self.token}", self.token: [{"a": self.token}, 1, None, True]}
        if said == "leaking error":
            raise ValueError(f"no good: {self.token}")
        if said == "permanent":
            raise PermanentError("Leave `to` out.")
        if said == "exit":
            raise SystemExit(3)
        if said == "nothing":
            return None
        if said == "object":
            return {"text": object()}
        if said == "itself":
            parts = {}
            parts["parts"] = parts
            return parts
        if said == "nan":
            return {"number": float("nan")}
        if said == "surrogate":
            return "\\ud800"
        if said == "huge":
            return "x" * 2_000_000
        if said == "hang":
            GO_ON.wait(20)
        return f"{said} as {message.channel} by {message.idempotency_key[:0]}"


class Later(Sender):
    async def preview(self, message):
        await asyncio.sleep(0)
        if message.description == "hang":
            await asyncio.sleep(60)
        if message.description == "cancelled":
            raise asyncio.CancelledError
        return {"text": message.description}


class Hanging(Sender):
    def __init__(self):
        GO_ON.wait(20)

    def preview(self, message):
        return "never"


class Raising(Sender):
    def __init__(self):
        raise RuntimeError("the constructor")

    def preview(self, message):
        return "never"
'''

TOKEN = "a-secret-token"


@pytest.fixture
async def plugins(tmp_path: Path) -> AsyncIterator[Plugins]:
    directory = tmp_path / "plugins" / "author"
    directory.mkdir(parents=True)
    (directory / "plugins.py").write_text(textwrap.dedent(SOURCE))
    found = Plugins(tmp_path / "plugins", shipped=False)
    await asyncio.to_thread(found.load)
    yield found
    module: Any = sys.modules[found.get("Told").cls.__module__]
    module.GO_ON.set()


@pytest.fixture
def previewer(tmp_path: Path, plugins: Plugins) -> Previewer:
    vault = open_vault(make_settings(tmp_path))
    return Previewer(Instances(plugins, vault), seconds=0.5)


async def asked(previewer: Previewer, plugin: str, description: str = "hello") -> Preview:
    settings = {"token": TOKEN} if plugin == "Told" else {}
    channel = a_channel("team", id=plugin, plugin=plugin, settings=settings)
    message = a_plan(description=description, data={"a": 1}).message
    preview = await previewer.preview(channel, message)
    assert message.data == {"a": 1}
    assert TOKEN not in json.dumps([preview.content, preview.error])
    return preview


async def test_a_plugin_says_what_it_would_send(previewer: Previewer) -> None:
    assert await asked(previewer, "Told") == Preview({"text": "hello as team by "}, rendered=True)
    assert await asked(previewer, "Later") == Preview({"text": "hello"}, rendered=True)


async def test_without_a_preview_the_message_is_shown_as_it_is(previewer: Previewer) -> None:
    parts = {"title": None, "description": "hello", "format": "text"}
    assert await asked(previewer, "Plain") == Preview(parts)


async def test_secrets_are_masked_at_any_depth_and_in_names(previewer: Previewer) -> None:
    preview = await asked(previewer, "Told", "leak")
    mask = "********"
    assert preview.content == {"text": f"with {mask}", mask: [{"a": mask}, 1, None, True]}


SENTENCES: list[tuple[str, str, str]] = [
    ("Told", "leaking error", "The plugin raised ValueError: no good: ********"),
    ("Told", "permanent", "Leave `to` out."),
    ("Told", "exit", "The plugin raised SystemExit: 3"),
    ("Told", "nothing", "The plugin's preview is a NoneType; it must be a text, or texts by name."),
    ("Told", "object", "The plugin's preview holds something that is not JSON."),
    ("Told", "itself", "The plugin's preview holds something that is not JSON."),
    ("Told", "nan", "The plugin's preview holds something that is not JSON."),
    ("Told", "huge", "The plugin's preview is too long to be shown."),
    ("Told", "hang", "The plugin had not answered after 0.5 s."),
    ("Later", "hang", "The plugin had not answered after 0.5 s."),
    ("Later", "cancelled", "The plugin raised CancelledError"),
    ("Hanging", "hello", "The plugin had not answered after 0.5 s."),
    ("Raising", "hello", "The constructor of author.Raising raised RuntimeError: the constructor."),
    ("Nowhere", "hello", "There is no plugin 'Nowhere'."),
]


@pytest.mark.parametrize(("plugin", "description", "sentence"), SENTENCES)
async def test_whatever_a_plugin_does_becomes_a_sentence(
    previewer: Previewer, plugin: str, description: str, sentence: str
) -> None:
    assert await asked(previewer, plugin, description) == Preview(error=sentence)


async def test_what_no_answer_can_hold_is_replaced(previewer: Previewer) -> None:
    assert await asked(previewer, "Told", "surrogate") == Preview({"text": "?"}, rendered=True)


async def test_settings_that_are_missing_become_a_sentence(previewer: Previewer) -> None:
    channel = a_channel("team", plugin="Told")
    preview = await previewer.preview(channel, a_plan().message)
    assert preview.error is not None
    assert "TOLD_TOKEN" in preview.error


async def test_of_previews_that_hang_a_channel_has_one(
    previewer: Previewer, plugins: Plugins
) -> None:
    first = await asked(previewer, "Told", "hang")
    assert first.error == "The plugin had not answered after 0.5 s."
    second = await asked(previewer, "Told")
    assert second.error == "A preview that was asked for before has not ended yet."
    module: Any = sys.modules[plugins.get("Told").cls.__module__]
    module.GO_ON.set()
    while (third := await asked(previewer, "Told")).error == second.error:
        await asyncio.sleep(0.01)
    assert third.content == {"text": "hello as team by "}
