"""A collector of traces for tests: it takes OTLP over HTTP, as a real one does, and shows spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from almenara.testing import FakeService

KINDS = {Span.SPAN_KIND_SERVER: "server", Span.SPAN_KIND_CLIENT: "client"}


@dataclass(frozen=True)
class Seen:
    """One span, as a collector has it."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool
    service: str

    @property
    def traceparent(self) -> str:
        """Its context, with the flags of a recorded trace whose id may be random."""
        return f"00-{self.trace}-{self.id}-"


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Collector(FakeService):
    """The collector: ``with Collector() as collector``."""

    @property
    def environ(self) -> dict[str, str]:
        """What sends spans here, often."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "NO_PROXY": "127.0.0.1",
        }

    @property
    def raw(self) -> bytes:
        """All that came, as it came."""
        return b"".join(one.body for one in self.received)

    @property
    def spans(self) -> list[Seen]:
        """Every span that came, in the order of their ends."""
        return [
            Seen(
                name=span.name,
                kind=KINDS[span.kind],
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                attributes=_values(span.attributes),
                failed=span.status.code == Status.STATUS_CODE_ERROR,
                service=_values(resource.resource.attributes)["service.name"],
            )
            for one in self.received
            for resource in ExportTraceServiceRequest.FromString(one.body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Seen]:
        """The spans of one name."""
        return [one for one in self.spans if one.name == name]
