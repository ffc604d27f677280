"""Traces: from the request that brings a message to each attempt, across processes and hours.

Off, there is no `Spans`, and nothing of OpenTelemetry is imported by us. On, spans go to a
collector by the library that ``otlp.py`` alone knows; one that cannot be reached costs spans and
nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from almenara.errors import ConfigurationError
from almenara.settings import Settings
from almenara.tracing.context import read_traceparent, write_traceparent
from almenara.tracing.spans import Attributes, Span, Spans

if TYPE_CHECKING:
    from almenara.tracing.otlp import OtlpSpans

__all__ = [
    "Attributes",
    "Span",
    "Spans",
    "look_at_collector",
    "read_traceparent",
    "require_traces",
    "tracing",
    "write_traceparent",
]


def require_traces(settings: Settings) -> None:
    """Find out whether traces can be made, if they are asked for.

    Raises:
        ConfigurationError: the extra is not installed.
    """
    if settings.traces == "on":
        _library()


async def look_at_collector(settings: Settings) -> bool:
    """Tell whether the collector takes spans.

    Raises:
        ConfigurationError: the extra is not installed, or a variable of OpenTelemetry's is wrong.
    """
    require_traces(settings)
    from almenara.tracing.otlp import takes_spans

    return await asyncio.to_thread(takes_spans)


@asynccontextmanager
async def tracing(settings: Settings) -> AsyncIterator[Spans | None]:
    """Export spans until the block ends, then hand in the last; ``None``: tracing is off.

    Raises:
        ConfigurationError: the extra is not installed, or a variable of OpenTelemetry's is wrong.
    """
    if settings.traces == "off":
        yield None
        return
    spans = _library()()
    try:
        yield spans
    finally:
        await spans.close()


def _library() -> type[OtlpSpans]:
    try:
        from almenara.tracing.otlp import OtlpSpans
    except ImportError as error:
        raise ConfigurationError(
            "ALMENARA_TRACES=on needs OpenTelemetry, which is not installed: "
            "pip install 'almenara[otel]'."
        ) from error
    return OtlpSpans
