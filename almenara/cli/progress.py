"""Bars for long work: on standard error, and only where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called with what is worked on, how much of it is done, and how much there is.
Tell = Callable[[str, int, int], None]


@contextmanager
def progress(*, in_bytes: bool = False) -> Iterator[Tell]:
    """Show a bar for each thing that is told of; elsewhere than on a terminal, nothing."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
    )

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    counter = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), counter)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        lines: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in lines:
                lines[what] = bar.add_task(what, total=total)
            bar.update(lines[what], completed=done, total=total)

        yield tell
