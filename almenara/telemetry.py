"""Log lines, one event each: for people on a terminal, JSON otherwise.

Every line of the process goes through here, uvicorn's and the plugins' included. Ids are bound as
``message_id`` and ``delivery_id``; texts of messages and secrets are never logged.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from functools import cache, partial
from typing import Any, Literal, TextIO

# Without rich, which structlog imports wherever it finds it, and never uses here: the server starts
# faster and is five megabytes smaller. The command line finds it when it wants it.
_NO_RICH = "rich" not in sys.modules
if _NO_RICH:
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's word for "not to be found"
try:
    import structlog
    from structlog.typing import EventDict, Processor, WrappedLogger
finally:
    if _NO_RICH:
        del sys.modules["rich"]

#: No log line is longer, in characters of one value.
_LONGEST_VALUE = 8_000

#: Libraries that would write a line for each request, statement or ring.
_CHATTERERS = (
    *("aiosqlite", "tortoise", "asyncio", "uvicorn.access", "uvicorn.error"),
    *("celery.worker.strategy", "celery.app.trace"),
)


def get_logger(name: str) -> Any:
    """Return a structured logger; works before :func:`configure` too."""
    return structlog.get_logger(f"almenara.{name}")


def process_name() -> str:
    """Return what this process is called among those that share a database."""
    return f"{os.getpid()}@{socket.gethostname()}"


def configure(
    log_format: Literal["auto", "human", "json"] = "auto",
    level: Literal["debug", "info", "warning", "error"] = "info",
    *,
    process: str | None = None,
) -> None:
    """Send every log line of the process to standard error in one format.

    Args:
        process: stands in every line, where several processes write.
    """
    human = log_format == "human" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if process is not None:
        shared.append(partial(_name_process, process))
    # A plain traceback: the usual one of structlog shows the values of variables, secrets included.
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if human
        else structlog.processors.JSONRenderer()
    )
    finishing: list[Processor] = [structlog.processors.format_exc_info, _cut_values, renderer]
    # Our own lines go there straight: by the standard library they would cost three times as much.
    lines = cache(partial(_Lines, sys.stderr))
    structlog.configure(
        processors=[*shared, *finishing],
        logger_factory=lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finishing],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _CHATTERERS:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Lines(structlog.WriteLogger):
    """Writes the lines of one logger."""

    def __init__(self, file: TextIO, name: str) -> None:
        super().__init__(file)
        self.name = name


def _name_process(process: str, _logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Say which process wrote a line."""
    event["process"] = process
    return event


def _cut_values(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Cut the middle out of overlong values, so that one event never floods the log."""
    half = _LONGEST_VALUE // 2
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _LONGEST_VALUE:
            # A traceback says what happened at its end.
            event[key] = f"{value[:half]}…{value[-half:]}"
    return event
