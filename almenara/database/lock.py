"""SQLite serves one process: an exclusive lock on a file beside the database.

The lock lives as long as the process, whatever kills it. So at a start, nobody else can hold a
claim, and nobody else checkpoints.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from almenara.errors import ConfigurationError


class FileLock:
    """An exclusive lock that names its holder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ConfigurationError: another process has it; says which. Or there can be none here.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(self._unusable(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigurationError(
                f"Another process serves this SQLite database already ({holder}; lock file "
                f"{self._path}). Stop it first, choose another ALMENARA_DATA_DIR, or use "
                "PostgreSQL (ALMENARA_DATABASE_URL) for several processes."
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise ConfigurationError(self._unusable(error)) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _unusable(self, error: OSError) -> str:
        return (
            f"The lock file {self._path} cannot be used: {error.strerror}. "
            "Check ALMENARA_DATA_DIR; it must be on a local disk."
        )
