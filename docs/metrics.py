"""The reference page of the metrics, from what the code describes."""
# ruff: noqa: INP001 - a folder of pages with one script is no package

from __future__ import annotations

from collections.abc import Iterator

from almenara.figures import METRICS, Described
from docs.tables import NOTE, table

_SOURCES = {
    "process": "Counted by each process",
    "database": "Read from the database, by servers alone",
}


def metrics_page() -> str:
    """Describe every metric."""
    lines = [
        "# Metrics",
        "",
        NOTE,
        "`GET /metrics` answers in the text format of Prometheus 0.0.4. Where tokens are asked",
        "for, it needs one with the scope `admin:read`. How to use it:",
        "[Watch it](../howto/watch-it.md).",
    ]
    for source, heading in _SOURCES.items():
        rows = [_row(one) for one in METRICS if one.source == source]
        lines += ["", f"## {heading}", ""]
        lines += table(("name", "kind", "labels", "what it says"), rows)
    lines += [
        "",
        "Servers of one database all say the same of it: take `max by (channel)`, not `sum`.",
        "What is read is kept for 3 to 30 seconds, the longer the slower it was.",
        "",
        "## Buckets",
        "",
        *table(("histogram", "upper ends"), [*_bounds()]),
        "",
        "## Processes",
        "",
        "`process_cpu_seconds_total`, `process_resident_memory_bytes`,",
        "`process_virtual_memory_bytes`, `process_open_fds`, `process_max_fds` and",
        "`process_start_time_seconds`, as everywhere, for each process of the server, on Linux.",
        "The label `process` is its place: 0 for one that is alone, 0 and 1 for `--workers 2`;",
        "one that is started again has the place of the one before.",
        "",
        "## What is counted where",
        "",
        "Each process counts in memory and begins at 0 when its server starts. With `--workers`",
        "or `almenara worker --processes`, whichever process is asked answers for all of them;",
        "one that is killed takes at most its last second with it, and what was shown never",
        "goes backwards. The label `channel` has the names of the channels that there are: a",
        "channel that is deleted is forgotten within 5 seconds. No label has text of a message, a",
        "sender or a secret.",
    ]
    return "\n".join([*lines, ""])


def _row(metric: Described) -> tuple[str, str, str, str]:
    labels = ", ".join(f"`{one}`" for one in metric.labels)
    return f"`{metric.name}`", metric.kind, labels, metric.text


def _bounds() -> Iterator[tuple[str, str]]:
    for metric in METRICS:
        if metric.bounds:
            yield f"`{metric.name}`", ", ".join(f"{one:g}" for one in metric.bounds)
