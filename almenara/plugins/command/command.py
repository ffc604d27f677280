"""Runs one of the operator's commands, with the message on its standard input; no shell."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from almenara import (
    ChannelError,
    Message,
    PermanentError,
    PluginSettings,
    TemporaryError,
    as_text,
    leave_out,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: What a command may end with (``sysexits.h``): its data are wrong, or its set-up is.
_WRONG_DATA, _WRONG_SET_UP = 65, 78
#: Nothing longer of what it writes is kept, in characters.
_LONGEST_WORD = 200
_ENDING_SECONDS = 0.4


class _Operator(BaseSettings):
    """What may be run: from the environment of the process alone, never from a channel."""

    model_config = SettingsConfigDict(env_prefix="COMMAND_", extra="ignore")

    allowed: dict[str, list[str]] = Field(default_factory=dict)


class Command:
    """Runs a command for each message; what it may be is the operator's word, not the API's."""

    carries_attachments = True

    class Settings(PluginSettings):
        """Which of the commands, and what it reads."""

        name: str = Field(
            examples=["wall"],
            min_length=1,
            description="The command, by its name in the operator's COMMAND_ALLOWED.",
        )
        input: Literal["text", "json"] = Field(
            default="text", description="What it reads: title and text, or the message as JSON."
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Run the command to its end; return the first line that it writes."""
        del background_tasks  # it is run here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._words(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(message),
                cwd="/",
                start_new_session=True,
            )
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # It may run already, though nobody knows its number yet.
            await _kill(await starting)
            raise
        except OSError as error:
            raise ChannelError(
                f"The command {self._settings.name!r} cannot be run ({error.strerror})."
            ) from error
        try:
            written, complaint = await process.communicate(rendered["input"].encode())
        except asyncio.CancelledError:
            await _kill(process)
            raise
        _check(self._settings.name, process.returncode or 0, _line(complaint, last=True))
        return _line(written, last=False) or None

    async def verify(self) -> str:
        """See that the command is there and may be run; it is not run."""
        name, command = self._settings.name, self._words()[0]
        # A path is meant from where it is run; a bare name is looked up.
        place = Path("/") / command if "/" in command else Path(command)
        if await asyncio.to_thread(shutil.which, place) is None:
            raise ChannelError(f"The command {name!r} is not there, or may not be run.")
        return f"The command {name!r} can be run."

    def preview(self, message: Message) -> dict[str, str]:
        """Return what the command would read."""
        if self._settings.input == "json":
            return {"input": message.model_dump_json() + "\n"}
        leave_out(message, message.attachments)
        return {"input": as_text(message) + "\n"}

    def _words(self) -> list[str]:
        try:
            allowed = _Operator().allowed
        except (ValidationError, SettingsError) as error:
            raise ChannelError(
                'COMMAND_ALLOWED is not written as {"name": ["/path/to/command", "argument"]}.'
            ) from error
        words = allowed.get(self._settings.name)
        if not words:
            raise ChannelError(
                f"COMMAND_ALLOWED of this process names no command {self._settings.name!r}."
            )
        return words


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End a command whose deadline has passed, and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # What has left its session may hold its pipes open; nobody waits for that.
    with suppress(TimeoutError):
        async with asyncio.timeout(_ENDING_SECONDS):
            await process.wait()


def _environment(message: Message) -> dict[str, str]:
    """Return the little that a command is told besides its input; no secret of the server's."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return kept | {
        "MESSAGE_ID": str(message.id),
        "MESSAGE_TOPIC": message.topic or "",
        "MESSAGE_CHANNEL": message.channel,
        "MESSAGE_PRIORITY": str(message.priority),
        "MESSAGE_TAGS": json.dumps(message.tags),
        "MESSAGE_KEY": message.idempotency_key,
    }


def _check(name: str, code: int, complaint: str) -> None:
    if code == 0:
        return
    said = f": {complaint}" if complaint else ""
    ended = f"by signal {-code}" if code < 0 else f"with {code}"
    sentence = f"The command {name!r} ended {ended}{said}."
    if code == _WRONG_DATA:
        raise PermanentError(sentence)
    if code == _WRONG_SET_UP:
        raise ChannelError(sentence)
    raise TemporaryError(sentence)


def _line(written: bytes, *, last: bool) -> str:
    lines = written.decode("utf-8", errors="replace").split("\n")
    filled = [line.strip() for line in lines if line.strip()]
    return (filled[-1 if last else 0] if filled else "")[:_LONGEST_WORD]
