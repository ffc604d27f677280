"""The heartbeat of processes that serve no port, so that anybody on their machine can look.

A process beats on its event loop. A beat says that the loop still turns, and nothing else: a
database or a broker that is away stops no heart, as starting anew would mend neither.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from almenara.telemetry import get_logger

log = get_logger("heartbeat")

#: How often a process beats, in seconds.
BEAT_SECONDS = 5.0
#: One that was silent for so long hangs, in seconds: three attempts at their longest.
SILENT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is felt of one living process."""

    process: int
    silent_seconds: float

    @property
    def hangs(self) -> bool:
        """Whether it was silent for too long."""
        return self.silent_seconds > SILENT_SECONDS


@asynccontextmanager
async def beating(directory: Path | None = None) -> AsyncIterator[None]:
    """Beat on this event loop until the block ends, or the process does, whatever kills it.

    Where no file can be written it goes on without, and says so in the log.

    Args:
        directory: where the beats are written; absent, where :func:`feel` looks.
    """
    try:
        descriptor, path = _open(directory)
    except OSError as error:
        log.warning("no_heartbeat", reason=f"{error.strerror}; `almenara alive` will not see it")
        yield
        return
    beats = asyncio.create_task(_beat(descriptor), name="heartbeat")
    try:
        yield
    finally:
        beats.cancel()
        with suppress(asyncio.CancelledError):
            await beats
        path.unlink(missing_ok=True)
        os.close(descriptor)


def feel(directory: Path | None = None) -> list[Pulse]:
    """Feel the pulse of every process that lives and beats; those of dead ones are left out."""
    found = []
    for path in sorted((directory or _directory()).glob("*.beat")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # it ended just now
        try:
            if _is_held(descriptor):
                beaten_at = float(os.pread(descriptor, 64, 0) or "inf")
                silent_seconds = max(0.0, time.monotonic() - beaten_at)
                found.append(Pulse(int(path.stem), silent_seconds))
        finally:
            os.close(descriptor)
    return found


def _directory() -> Path:
    """Name the place where all of this user's processes beat, on this machine or container."""
    return Path(tempfile.gettempdir()) / f"almenara-{os.geteuid()}"


def _open(directory: Path | None) -> tuple[int, Path]:
    """Open this process's file, and hold it for as long as the process lives."""
    place = directory or _directory()
    place.mkdir(mode=0o700, exist_ok=True)
    path = place / f"{os.getpid()}.beat"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, path


async def _beat(descriptor: int) -> None:
    while True:
        # Of one width, so that a beat covers the one before. The wall's clock may be set meanwhile.
        with suppress(OSError):
            os.pwrite(descriptor, f"{time.monotonic():020.3f}".encode(), 0)
        await asyncio.sleep(BEAT_SECONDS)


def _is_held(descriptor: int) -> bool:
    """Tell whether the process that opened the file lives; its lock goes when it does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
