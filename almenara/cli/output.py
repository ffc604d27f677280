"""What the command line writes: tables for people, JSON for machines, errors on stderr.

Texts of senders and services are written so that they cannot command the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from almenara.cli.client import Answer, RefusedError
from almenara.errors import AlmenaraError, FieldError, InvalidInputError

if TYPE_CHECKING:
    from rich.console import Console

#: Where no terminal limits a table, a line has at most so many columns.
WIDEST = 4096

#: Between two columns.
_GAP = 2

#: So much of a text stands in a table; `almenara show` has all of it.
PREVIEW_LENGTH = 200

#: Statuses and outcomes: what went well, what waits, what went wrong.
_STYLES = {
    "sent": "green",
    "done": "green",
    "pending": "cyan",
    "queued": "cyan",
    "running": "cyan",
    "scheduled": "cyan",
    "sending": "cyan",
    "accepted": "cyan",
    "held": "yellow",
    "partial": "yellow",
    "cancelled": "yellow",
    "no_route": "yellow",
    "temporary_error": "yellow",
    "rate_limited": "yellow",
    "timeout": "yellow",
    "unknown": "yellow",
    "no route": "yellow",
    "attempt failed": "yellow",
    "attempt unknown": "yellow",
    "late result": "yellow",
    "chain moved": "yellow",
    "failed": "red",
    "permanent_error": "red",
    "broken": "red",
}

#: C0 and C1 controls, line separators, and what turns the direction of writing round.
_HIDDEN = (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ESCAPES = {code: chr(code).encode("unicode_escape").decode("ascii") for code in _HIDDEN}
_ESCAPES_BUT_LINES = {code: text for code, text in _ESCAPES.items() if chr(code) not in "\n\t"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    #: Never shortened: ids, times.
    whole: bool = False
    #: Shortened with an ellipsis instead of going on in the next line.
    one_line: bool = False
    #: Statuses: coloured by what they say.
    status: bool = False
    #: Always so wide; for tables that are written line by line.
    width: int | None = None
    #: With less it says nothing: then rows are written as cards.
    least: int = 8


#: The server's advice, which is for its own clients, as it is followed here.
_HERE = {
    "?force=true": "--force",
    "?sent_too=true": "--sent-too",
    "with PATCH or PUT": "with `update`",
}


def clean(text: str) -> str:
    """Return a text in which controls are visible; its lines stay."""
    return text.translate(_ESCAPES_BUT_LINES)


def one_line(text: str, length: int = PREVIEW_LENGTH) -> str:
    """Return the beginning of a text as one line."""
    line = " ".join(text[: length * 2].split()).translate(_ESCAPES)
    return line if len(line) <= length else f"{line[: length - 1]}…"


def print_json(answer: Answer) -> None:
    """Write an answer of the server as it came."""
    print(answer.text)


def print_line(text: str) -> None:
    """Write one sentence to stdout."""
    print(clean(text))


def print_note(text: str) -> None:
    """Write one sentence for people to stderr, where it disturbs no machine."""
    print(clean(text), file=sys.stderr)


def print_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    empty: str = "Nothing.",
    header: bool = True,
) -> None:
    """Write a table that fits the terminal; into a file, lines are not shortened.

    Where not even ids would fit beside the rest, each row is a card: one line for each column.

    Args:
        empty: what to say on stderr when there are no rows.
    """
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows:
        print_note(empty)
        return
    limit = line_width()
    if _least_width(columns, rows) > limit:
        _print_cards(columns, rows, limit)
        return
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=header)
    for column, width in zip(columns, _widths(columns, rows, limit), strict=True):
        table.add_column(
            Text(column.title.upper()),
            no_wrap=column.one_line,
            overflow="ellipsis" if column.one_line else "fold",
            width=width,
        )
    for row in rows:
        table.add_row(
            *(
                Text(clean(cell), style=_STYLES.get(cell, "") if column.status else "")
                for column, cell in zip(columns, row, strict=True)
            )
        )
    _print(table)


def _least_width(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """Return how wide a table must be to say something in each column."""
    cells = zip(*rows, strict=True)
    needs = [_need(column, texts) for column, texts in zip(columns, cells, strict=True)]
    least = [
        need if column.whole else min(need, column.least)
        for column, need in zip(columns, needs, strict=True)
    ]
    return sum(least) + _GAP * (len(columns) - 1)


def _print_cards(columns: Sequence[Column], rows: Sequence[Sequence[str]], limit: int) -> None:
    """Write each row as lines of a name and a value; what is too long goes below its name."""
    from rich.cells import cell_len
    from rich.text import Text

    indent = max(len(column.title) for column in columns) + _GAP
    for number, row in enumerate(rows):
        if number:
            print_line("")
        for column, cell in zip(columns, row, strict=True):
            value = clean(cell)
            if column.one_line:
                value = "\n".join(one_line(line, limit) for line in value.split("\n"))
            fits = max(map(cell_len, value.split("\n"))) <= limit - indent and "\n" not in value
            head = f"{column.title.upper():{indent}}" if fits else f"{column.title.upper()}\n"
            style = _STYLES.get(cell, "") if column.status else ""
            if value:
                _print(Text(head, overflow="fold").append(value, style=style))


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Write names and values under each other; those without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            style = _STYLES.get(value, "") if name == "status" else ""
            table.add_row(Text(name, style="bold"), Text(clean(value), style=style))
    _print(table)


def line_width() -> int:
    """Return how many columns a line may have: the terminal's, or no limit to speak of."""
    return _console().width


def print_error(error: AlmenaraError) -> None:
    """Write an error to stderr: one sentence, then one line a field."""
    message = error.message
    for advice, here in _HERE.items():
        message = message.replace(advice, here)
    print_note(f"Error: {message}")
    for one in _field_errors(error):
        line = f"{one.field}: {one.message}" if one.field else one.message
        if one.message not in error.message:
            print_note(f"  {line}")


def _field_errors(error: AlmenaraError) -> Sequence[FieldError]:
    return error.errors if isinstance(error, RefusedError | InvalidInputError) else ()


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], limit: int) -> list[int]:
    """Share a line out: every column gets what it needs, or else as much as the others.

    (The library would take all that is missing from the first column that can be folded.)
    """
    cells = zip(*rows, strict=True)
    needs = [_need(column, texts) for column, texts in zip(columns, cells, strict=True)]
    left = limit - _GAP * (len(columns) - 1)
    widths = dict(enumerate(needs))
    # Those that cannot give way come first, then the modest ones.
    order = sorted(widths, key=lambda one: (not columns[one].whole, needs[one]))
    for done, one in enumerate(order):
        share = max(left // (len(order) - done), 1)
        widths[one] = needs[one] if columns[one].whole else min(needs[one], share)
        left -= widths[one]
    return [widths[one] for one in range(len(columns))]


def _need(column: Column, cells: Iterable[str]) -> int:
    from rich.cells import cell_len

    if column.width is not None:
        return column.width
    lines = (line for cell in (column.title, *cells) for line in clean(cell).split("\n"))
    return max(cell_len(line) for line in lines)


def _print(table: object) -> None:
    """Render, and take away the spaces that fill up lines."""
    console = _console()
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        print(line.rstrip())


def _console() -> Console:
    from rich.console import Console

    unlimited = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(
        file=sys.stdout,
        width=WIDEST if unlimited else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
