"""The lock that keeps SQLite to one process: who gets it, who is refused, when it is free again."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from almenara.database.lock import FileLock
from almenara.errors import ConfigurationError

_HOLD = """
import sys
from pathlib import Path
from almenara.database.lock import FileLock

FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A lock file in a directory that does not exist yet."""
    return tmp_path / "data" / "almenara.lock"


@contextmanager
def another_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock until the end, or until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_that_another_process_has_is_refused_and_its_holder_named(path: Path) -> None:
    with another_holder(path) as holder:
        lock = FileLock(path)
        with pytest.raises(ConfigurationError) as caught:
            lock.acquire()
        # What was refused holds nothing, and has nothing to give back.
        lock.release()
        with pytest.raises(ConfigurationError, match=f"process {holder.pid} on "):
            lock.acquire()
    assert f"process {holder.pid} on " in caught.value.message
    assert str(path) in caught.value.message


def test_a_killed_process_leaves_the_lock_free(path: Path) -> None:
    with another_holder(path) as holder:
        holder.kill()
        holder.wait()
        lock = FileLock(path)
        lock.acquire()
        assert path.read_text().startswith(f"process {os.getpid()} on ")
        lock.release()


def test_a_lock_can_be_had_once_in_one_process_too(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    first.acquire()
    with pytest.raises(ConfigurationError, match=f"process {os.getpid()} on "):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_giving_a_lock_back_twice_takes_it_from_nobody(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    first.acquire()
    first.release()
    second.acquire()
    first.release()
    with pytest.raises(ConfigurationError):
        first.acquire()
    second.release()


def test_a_lock_that_was_never_taken_can_be_given_back(path: Path) -> None:
    FileLock(path).release()
    assert not path.exists()


def test_the_new_holder_is_named_without_a_rest_of_the_old_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("process 1234567890 on a-host-with-a-very-long-name\n" * 10)
    lock = FileLock(path)
    lock.acquire()
    assert path.read_text().count("\n") == 1
    assert "1234567890" not in path.read_text()
    lock.release()


def test_a_holder_that_left_no_name_is_called_unknown(path: Path) -> None:
    path.parent.mkdir()
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match=r"already \(unknown; lock file"):
            FileLock(path).acquire()


def test_what_a_holder_wrote_that_is_no_text_is_shown_as_far_as_it_can_be(path: Path) -> None:
    path.parent.mkdir()
    with path.open("wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"\xff\xfe host")
        with pytest.raises(ConfigurationError, match=r"already \(.* host; lock file"):
            FileLock(path).acquire()


def test_the_lock_file_is_for_its_owner_only(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    assert path.stat().st_mode & 0o077 == 0
    lock.release()


def test_a_process_started_by_the_holder_does_not_keep_the_lock(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    with subprocess.Popen(
        ["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False, bufsize=0
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        # An echo comes from a program that runs, and so has let go of what it did not inherit.
        child.stdin.write(b"here\n")
        assert child.stdout.readline() == b"here\n"
        lock.release()
        again = FileLock(path)
        again.acquire()
        again.release()
        child.stdin.close()


def test_a_place_where_no_lock_file_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file stands where the directory should be")
    with pytest.raises(
        ConfigurationError, match=r"data/almenara\.lock cannot be used: File exists"
    ):
        FileLock(tmp_path / "data" / "almenara.lock").acquire()


def test_a_file_system_without_locks_is_said_to_be_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ConfigurationError, match=r"No locks available\. .* on a local disk"):
        FileLock(path).acquire()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
