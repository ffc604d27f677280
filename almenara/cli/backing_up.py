"""The commands that make and restore backups of SQLite."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from almenara.cli.client import UnreachableError, connect
from almenara.cli.output import print_line, print_note
from almenara.cli.progress import Tell, progress
from almenara.errors import ConfigurationError, ConflictError
from almenara.settings import read_settings

#: The server makes the whole copy before it answers, which takes a large database a while.
_PATIENCE_SECONDS = 3_600.0

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the backup is to stand.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a backup of the SQLite database into a file, while the server runs or not.

    Example: `almenara backup /backups/monday.sqlite3`

    It holds everything but the key for the channels' secrets: keep that beside it. The running
    server is asked (scope `admin:backup`); where none answers and ALMENARA_URL is not set, the
    database in ALMENARA_DATA_DIR is copied. On PostgreSQL use `pg_dump`.
    """
    from almenara.database.snapshot import BackupError, look_into, sync

    if file.exists() and not force:
        raise ConflictError(f"{file} is there already: choose another name, or add --force.")
    with _draft(file) as draft, progress(in_bytes=True) as tell:
        expected = _fetch(draft, tell)
        contents = look_into(draft)
        if expected is not None and expected != contents.message_count:
            raise BackupError(
                f"What came holds {contents.message_count} messages instead of {expected}."
            )
        sync(draft)
        size = draft.stat().st_size
        _put(draft, file, force=force)
        sync(file.absolute().parent)
    if as_json:
        told = {
            "file": str(file),
            "bytes": size,
            "messages": contents.message_count,
            "schema": contents.migrations[-1],
        }
        print_line(json.dumps(told))
        return
    print_line(
        f"Backed up {contents.message_count:,} messages and the whole set-up: {file}, {size:,} "
        "bytes, every page checked."
    )
    print_note(
        "The key for the channels' secrets is not in it. Keep it too, at another place: secret.key "
        "(and secret.key.old) in the data directory, or ALMENARA_SECRET_KEY."
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `backup` made.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the SQLite database in `ALMENARA_DATA_DIR`.

    The server must not run. The database before is kept, in a directory `before-restore-...` beside
    it. What waited or was under way when the backup was made is sent again after the start.
    """
    from almenara.restoring import restore as put_back
    from almenara.sending import utc_now

    if not file.is_file():
        raise ConfigurationError(f"There is no file {file}.")
    with progress(in_bytes=True) as tell:
        settings, show = read_settings(), partial(tell, "copied")
        done = asyncio.run(put_back(settings, file, now=utc_now(), tell=show))
    if as_json:
        told = {
            "messages": done.message_count,
            "applied": list(done.applied),
            "kept": None if done.kept is None else str(done.kept),
            "closed_channels": list(done.closed_channels),
        }
        print_line(json.dumps(told))
    else:
        print_line(f"Restored {done.message_count:,} messages and the whole set-up from {file}.")
        if done.applied:
            print_line(f"Its schema was older: applied {', '.join(done.applied)}.")
        if done.kept is not None:
            print_line(f"The database before is kept in {done.kept}.")
    if done.closed_channels:
        names = ", ".join(done.closed_channels)
        print_note(
            f"Warning: the key here does not open the secrets of {names}. Put the key that was "
            "kept with the backup in its place (secret.key in the data directory, or "
            "ALMENARA_SECRET_KEY), or write these channels' secrets anew."
        )


def _fetch(draft: Path, tell: Tell) -> int | None:
    """Fill the file from the server, or else from the data directory.

    Returns:
        How many messages the server says are in it.
    """
    try:
        return _download(draft, tell)
    except UnreachableError:
        if os.environ.get("ALMENARA_URL"):
            raise
    from almenara.restoring import back_up_here

    draft.unlink()
    asyncio.run(back_up_here(read_settings(), draft, partial(tell, "copied")))
    return None


def _download(draft: Path, tell: Tell) -> int | None:
    with draft.open("wb") as file:
        came = 0

        def take(piece: bytes, size: int) -> None:
            nonlocal came
            _write(file, piece)
            came += len(piece)
            tell("received", came, size)

        header = connect(_PATIENCE_SECONDS).download("/v1/backups", take)
    count = header.get("backup-message-count")  # a proxy may have left it out
    return None if count is None else int(count)


def _write(file: BinaryIO, piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise ConfigurationError(f"{file.name} cannot be written: {error.strerror}.") from error


@contextmanager
def _draft(file: Path) -> Iterator[Path]:
    """Give a new file beside the other one, for its owner alone; it is gone in the end."""
    try:
        descriptor, name = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.")
        os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}.") from error
    draft = Path(name)
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _put(draft: Path, file: Path, *, force: bool) -> None:
    """Give the file its name, in one step; nobody else's is replaced."""
    if force:
        draft.replace(file)
        return
    try:
        file.hardlink_to(draft)
    except FileExistsError as error:
        raise ConflictError(f"{file} came into being meanwhile; it was left alone.") from error
    except OSError:  # a disk that knows no second names
        draft.rename(file)
