"""Appends each message as a line to a file in the operator's directory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from almenara import ChannelError, Message, PluginSettings, TemporaryError, as_text

if TYPE_CHECKING:
    from almenara import BackgroundTasks

_MODE = 0o640
#: A link may lead anywhere: it is not followed.
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class _Operator(BaseSettings):
    """Where files may be: from the environment of the process alone, never from a channel."""

    model_config = SettingsConfigDict(env_prefix="FILE_", extra="ignore", env_ignore_empty=True)

    directory: Path | None = None


class File:
    """Appends to one file; a line is written at once and synced, or not at all.

    Several processes may append to one file. A repeated attempt is a second line with the same id.
    """

    class Settings(PluginSettings):
        """Which file, and how it is written."""

        name: str = Field(
            examples=["messages.jsonl"],
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$",
            description="The file's name in the operator's FILE_DIRECTORY.",
        )
        lines: Literal["json", "text"] = Field(
            default="json", description="A line is the message as JSON, or time, title and text."
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str:
        """Append the message; return where its line begins, `name:offset`."""
        del background_tasks  # it is written here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        line = rendered["line"].encode("utf-8", "replace") + b"\n"
        file = self._file()
        return f"{file.name}:{await asyncio.to_thread(_append, file, line)}"

    async def verify(self) -> str:
        """Open the file, or see that it could be made; nothing is written."""
        file = self._file()
        await asyncio.to_thread(_try, file)
        return f"{file.name} can be written."

    def _file(self) -> Path:
        directory = _Operator().directory
        if directory is None:
            raise ChannelError("FILE_DIRECTORY is not set in the environment of this process.")
        return directory / self._settings.name

    def preview(self, message: Message) -> dict[str, str]:
        """Return the line that would be written."""
        if self._settings.lines == "json":
            return {"line": message.model_dump_json()}
        text = as_text(message).replace("\r", "").replace("\n", " | ")
        return {"line": f"{message.created_at.isoformat()} {text}"}


def _append(file: Path, line: bytes) -> int:
    """Append a line, and return where it begins, in bytes."""
    try:
        handle = os.open(file, _APPENDING | os.O_CREAT, _MODE)
    except OSError as error:
        raise ChannelError(f"{file.name} cannot be written ({error.strerror}).") from error
    try:
        written = os.write(handle, line)
        if written < len(line):
            raise TemporaryError(f"{file.name} could not be written to its end.")
        os.fsync(handle)
        return os.fstat(handle).st_size - len(line)
    except OSError as error:
        raise TemporaryError(f"{file.name} could not be written ({error.strerror}).") from error
    finally:
        os.close(handle)


def _try(file: Path) -> None:
    try:
        # What is no plain file, such as a pipe, would have to be waited for.
        os.close(os.open(file, _APPENDING | os.O_NONBLOCK))
    except FileNotFoundError as error:
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise ChannelError(
                f"{file.name} cannot be made: FILE_DIRECTORY is not there, or not writable."
            ) from error
    except OSError as error:
        raise ChannelError(f"{file.name} cannot be written ({error.strerror}).") from error
