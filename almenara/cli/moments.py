"""Times on the command line: read as durations or ISO 8601, written in local time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(?:\d{1,6}[smhdw])+")
_PART = re.compile(r"(\d+)([smhdw])")


def read_moment(
    text: str | None, option: str, *, now: datetime, towards: Literal["past", "future"] = "past"
) -> str | None:
    """Read a time and return it as the API takes it; ``None`` stays ``None``.

    A duration such as ``90s``, ``1h30m`` or ``2d`` is counted from now; an ISO time without a zone
    is a local one.

    Args:
        option: what to name in the error, such as ``--since``.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text is None:
        return None
    try:
        moment = _counted(text.strip().lower(), now, towards) or _read_iso(text.strip())
        return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is neither a duration such as 90s, 1h30m or 2d nor a time such as "
            "2026-11-23T22:00.",
            param_hint=option,
        ) from error


def show_moment(text: str | None) -> str:
    """Return a time of the API as a local one, to the second."""
    return _local(text).strftime("%Y-%m-%d %H:%M:%S") if text else ""


def show_short(text: str, *, now: datetime) -> str:
    """Return a time of the API in eleven columns at most: today's with seconds."""
    moment = _local(text)
    same_day = moment.date() == now.astimezone().date()
    return moment.strftime("%H:%M:%S" if same_day else "%m-%d %H:%M")


def show_exact(text: str, *, since: str) -> str:
    """Return a time of the API as a local one, to the millisecond; the date if it is another."""
    moment = _local(text)
    date = "" if moment.date() == _local(since).date() else f"{moment:%m-%d }"
    return f"{date}{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _counted(text: str, now: datetime, towards: str) -> datetime | None:
    if not _DURATION.fullmatch(text):
        return None
    duration = sum(
        (timedelta(**{_UNITS[unit]: int(count)}) for count, unit in _PART.findall(text)),
        start=timedelta(),
    )
    return now - duration if towards == "past" else now + duration


def _read_iso(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone() if moment.tzinfo is None else moment


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()
