"""Plugins as authors write them, for tests of the queue and the dispatcher.

Each leaves a trace in a directory, so that what really ran is seen from outside, whatever process
it ran in.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

SOURCE = '''
import asyncio, json, os, time, uuid
from pathlib import Path
from almenara import PermanentError, PluginSettings, RateLimitedError, Receipt, SecretStr
from almenara import TemporaryError

TRACES = Path({traces!r})


def leave(message, kind):
    name = uuid.uuid4().hex
    text = json.dumps(
        {{"kind": kind, "id": str(message.id), "key": message.idempotency_key,
         "description": message.description, "at": time.time(), "pid": os.getpid()}}
    )
    (TRACES / f".{{name}}").write_text(text)
    os.replace(TRACES / f".{{name}}", TRACES / f"{{name}}.json")


class Sink:
    async def send_message(self, message, background_tasks):
        leave(message, "sink")
        return "receipt-" + message.idempotency_key


class SyncSink:
    def send_message(self, message, background_tasks):
        leave(message, "sync")
        return Receipt(reference="sync-reference", detail="by a thread")


class Plain:
    """As for plain FastAPI: no base, no arguments, the environment, work in the background."""

    def __init__(self):
        self.token = os.getenv("PLAIN_TOKEN", "no token")

    def send_message(self, message, background_tasks):
        self.message = message
        background_tasks.add_task(self.post, message, kind="async in the background")
        background_tasks.add_task(leave, message, "sync in the background")

    async def post(self, message, kind):
        await asyncio.sleep(0)
        leave(message, kind + " with " + self.token)


class BackgroundFailure:
    def send_message(self, message, background_tasks):
        background_tasks.add_task(self.post)

    async def post(self):
        raise ValueError("the background work failed")


class Told:
    """Does what the message says."""

    class Settings(PluginSettings):
        token: SecretStr = SecretStr("s3cr3t-t0ken")

    def __init__(self, settings):
        self.settings = settings

    async def send_message(self, message, background_tasks):
        leave(message, "told")
        said = message.description
        if said == "permanent":
            raise PermanentError("The address does not exist.")
        if said == "temporary":
            raise TemporaryError("Try later.")
        if said == "limited":
            raise RateLimitedError("Slow down.", retry_after=3600)
        if said == "surprise":
            raise KeyError("a surprise with " + self.settings.token.get_secret_value())
        if said == "exit":
            raise SystemExit(3)
        if said == "interrupt":
            raise KeyboardInterrupt
        if said == "cancelled":
            raise asyncio.CancelledError
        if said == "number":
            return 42
        if said == "hang":
            await asyncio.sleep(600)
        if said == "stubborn":
            for _ in range(4):
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    pass
        if said.startswith("wait for "):
            while not (TRACES / said.removeprefix("wait for ")).exists():
                await asyncio.sleep(0.01)
        return None


    async def preview(self, message):
        leave(message, "preview")
        while not (TRACES / message.description.removeprefix("wait for ")).exists():
            await asyncio.sleep(0.01)
        return "told"


class SyncTold:
    def send_message(self, message, background_tasks):
        leave(message, "sync told")
        if message.description == "exit":
            raise SystemExit(3)
        if message.description.startswith("wait for "):
            while not (TRACES / message.description.removeprefix("wait for ")).exists():
                time.sleep(0.01)


class NeedsLoop:
    """Its constructor wants a running loop, as one that opens a session does."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()

    async def send_message(self, message, background_tasks):
        leave(message, "on the loop")
'''


class Author:
    """Writes the plugins into a plugin directory, and reads what they left."""

    def __init__(self, plugins_dir: Path) -> None:
        self.traces_dir = plugins_dir.parent / "traces"
        self.traces_dir.mkdir(parents=True, exist_ok=True)
        directory = plugins_dir / "author"
        directory.mkdir(parents=True, exist_ok=True)
        source = textwrap.dedent(SOURCE).format(traces=str(self.traces_dir))
        (directory / "plugins.py").write_text(source, encoding="utf-8")

    def traces(self) -> list[dict[str, Any]]:
        """Return what arrived, in the order of its arrival."""
        found = [json.loads(path.read_text()) for path in self.traces_dir.glob("*.json")]
        return sorted(found, key=lambda one: float(one["at"]))

    def kinds(self) -> list[str]:
        """Return what kinds of sends arrived."""
        return [one["kind"] for one in self.traces()]

    def allow(self, name: str) -> None:
        """Let a plugin go on that waits for this name."""
        (self.traces_dir / name).touch()
