"""Disks that may be filled or lose their power: a small tmpfs, and ext4 in a file.

The power cut is ext4's own shutdown: from that moment on nothing reaches the disk, what stood in
the page cache and in the file system's log unflushed is gone. A drive that lies is not modelled.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

from bench.chaos.scenario import CannotRun

_EXT4_IOC_SHUTDOWN = 0x8004587D
#: Go down without flushing the log.
_NO_LOG_FLUSH = 2
_UNMOUNTING_SECONDS = 20


class SmallDisk:
    """A tmpfs of some megabytes.

    Raises:
        CannotRun: this process may not mount.
    """

    def __init__(self, directory: Path, *, megabytes: int) -> None:
        self.directory = directory
        directory.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(directory))

    def fill(self) -> int:
        """Fill it to the last byte from outside; return how many that were."""
        written = 0
        with (self.directory / "filler").open("ab", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        written += filler.write(bytes(size)) or 0
                except OSError:
                    continue
        return written

    def free(self) -> None:
        """Take the filler away."""
        (self.directory / "filler").unlink()

    def close(self) -> None:
        """Unmount it."""
        _unmount(self.directory)


class PowerDisk:
    """An ext4 file system in a file, whose power can be cut.

    Raises:
        CannotRun: this process may not mount, or there are no loop devices.
    """

    def __init__(self, directory: Path, *, megabytes: int) -> None:
        self.directory = directory
        self._image = directory.with_suffix(".ext4")
        self._mounted = False
        if shutil.which("mkfs.ext4") is None:
            raise CannotRun("mkfs.ext4 is not installed here")
        directory.mkdir()
        with self._image.open("wb") as image:
            image.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self._image)], check=True, capture_output=True)
        self.mount()

    def mount(self) -> None:
        """Mount it; after a cut, the file system's log is replayed."""
        _mount("-o", "loop", "-t", "ext4", str(self._image), str(self.directory))
        self._mounted = True

    def cut(self) -> None:
        """Cut the power: from now on, nothing is written any more."""
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        except OSError as error:
            raise CannotRun(f"this kernel cannot shut an ext4 down: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Unmount it; nobody may have a file open."""
        _unmount(self.directory)
        self._mounted = False

    def close(self) -> None:
        """Unmount it, if it is mounted, and remove the file."""
        if self._mounted:
            self.unmount()
        self._image.unlink(missing_ok=True)


def _mount(*arguments: str) -> None:
    if os.geteuid() != 0:
        raise CannotRun("only root may mount")
    finished = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if finished.returncode != 0:
        raise CannotRun(f"nothing can be mounted here: {finished.stderr.strip()}")


def _unmount(directory: Path) -> None:
    deadline = time.monotonic() + _UNMOUNTING_SECONDS
    while True:
        finished = subprocess.run(
            ["umount", str(directory)], check=False, capture_output=True, text=True
        )
        if finished.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{directory} cannot be unmounted: {finished.stderr.strip()}")
        time.sleep(0.05)
