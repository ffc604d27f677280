"""Spans by OpenTelemetry's library, to a collector by OTLP over HTTP; no other file knows of it.

Spans are handed over by a thread of the library, in batches. Where they go, and which are sampled,
OpenTelemetry's own variables say (``OTEL_*``). What the collector does not take is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from almenara import __version__
from almenara.errors import ConfigurationError
from almenara.telemetry import get_logger
from almenara.tracing.context import write_traceparent
from almenara.tracing.spans import Attributes, Kind

log = get_logger("tracing")

_KINDS: Final = {"accept": SpanKind.SERVER, "attempt": SpanKind.CLIENT}
#: At the end the last spans, and in a check what is tried, may take so long, in seconds.
_LAST_SECONDS = 3.0


class OtlpSpans:
    """Begins spans, and hands them to the collector once they have ended.

    Raises:
        ConfigurationError: one of OpenTelemetry's variables cannot be used.
    """

    def __init__(self) -> None:
        with _read_variables():
            self._exporter = _Exporter(OTLPSpanExporter())
            self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("almenara", __version__)

    def begin(self, kind: Kind, parent: str | None, attributes: Attributes) -> _Begun:
        """Begin a span; see :class:`~almenara.tracing.Spans`."""
        return _Begun(
            self._tracer.start_span(
                kind, context=_context(parent), kind=_KINDS[kind], attributes=attributes
            )
        )

    async def close(self) -> None:
        """Hand over the last spans, within a few seconds, and without holding up the loop."""
        ended = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        ended.start()
        deadline = asyncio.get_running_loop().time() + _LAST_SECONDS
        while ended.is_alive() and asyncio.get_running_loop().time() < deadline:
            if self._exporter.failing:
                break
            await asyncio.sleep(0.01)
        if ended.is_alive():
            # It would try again for as long as half a minute.
            self._exporter.shutdown()


class _Begun:
    """A span under way, which ends with its block."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """The context for what this work causes."""
        context = self._span.get_span_context()
        return write_traceparent(
            f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags
        )

    @property
    def recorded(self) -> bool:
        """Whether it will be exported."""
        return self._span.is_recording()

    def tell(self, attributes: Attributes, *, failed: bool = False) -> None:
        """Add what is known of it by now."""
        self._span.set_attributes(attributes)
        if failed:
            # Without a description: what a service or a plugin says may hold anything.
            self._span.set_status(StatusCode.ERROR)

    def __enter__(self) -> _Begun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _Exporter(SpanExporter):
    """Hands spans to the collector, and says once that it does not take them."""

    def __init__(self, exporter: OTLPSpanExporter) -> None:
        self._exporter = exporter
        #: Whether the last batch was not taken.
        self.failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand over a batch; called by the library's thread."""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self.failing:
            log.warning(
                "traces_dropped",
                reason="the collector does not take them; see OTEL_EXPORTER_OTLP_ENDPOINT",
            )
        self.failing = failed
        return result

    def shutdown(self) -> None:
        """Try nothing again that was not taken, and close the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's, half typed


def takes_spans() -> bool:
    """Hand the collector a batch of nothing, and tell whether it takes that; it blocks.

    Raises:
        ConfigurationError: one of OpenTelemetry's variables cannot be used.
    """
    with _read_variables():
        exporter = _Exporter(OTLPSpanExporter(timeout=_LAST_SECONDS))
    try:
        return exporter.export([]) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()


@contextmanager
def _read_variables() -> Iterator[None]:
    """Let the library read its variables, and say in a sentence of ours that one is wrong."""
    # Its own lines quote headers that it cannot read, and say again and again what we say once.
    for name in ("opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            "Traces cannot be made as OpenTelemetry's variables (OTEL_*) stand: "
            f"{type(error).__name__}; correct them, or set ALMENARA_TRACES=off."
        ) from error


def _context(parent: str | None) -> Context:
    if parent is None:
        return Context()
    _, trace, span, flags = parent.split("-")
    remote = SpanContext(
        int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _resource() -> Resource:
    """Say who we are; what the operator says of it in ``OTEL_*`` goes before."""
    resource = Resource.create({"service.version": __version__})
    name = str(resource.attributes.get("service.name", ""))
    named = name and not name.startswith("unknown_service")
    return resource if named else resource.merge(Resource({"service.name": "almenara"}))
