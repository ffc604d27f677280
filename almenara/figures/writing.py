"""The text of `/metrics`, written by `prometheus_client`; no other file knows it.

It is loaded when it is first asked for: that takes longer than to load what answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from almenara.figures.described import BUILD, METRICS, Described, Key
from almenara.figures.sharing import Counted

if TYPE_CHECKING:
    from prometheus_client import Metric

#: The media type of the text.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def write(everyone: Sequence[Counted], standing: Mapping[Key, float], *, version: str) -> bytes:
    """Write what processes have counted, added up, and what stands in the database.

    Args:
        standing: what was read from the database, by name and labels.
        version: which Almenara runs.
    """
    from prometheus_client import generate_latest

    return generate_latest(_Collected([*_families(everyone, standing, version)]))


class _Collected:
    """What `generate_latest` takes for a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return all of it."""
        return self._families


def _families(
    everyone: Sequence[Counted], standing: Mapping[Key, float], version: str
) -> Iterator[Metric]:
    values: defaultdict[Key, float] = defaultdict(float, standing)
    values[BUILD, version] = 1
    for counted in everyone:
        for key, count in counted.counters.items():
            values[key] += count
        for name, value in counted.gauges.items():
            values[name,] += value
    for metric in METRICS:
        if metric.kind == "histogram":
            yield _histogram(metric, everyone)
        else:
            found = {key[1:]: value for key, value in values.items() if key[0] == metric.name}
            yield _plain(metric, found)
    yield from _processes(everyone)


def _plain(metric: Described, found: Mapping[Key, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.text, labels=metric.labels)
    for labels, value in sorted(found.items()):
        family.add_metric(labels, value)
    return family


def _histogram(metric: Described, everyone: Sequence[Counted]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    counts: dict[Key, list[int]] = {}
    totals: defaultdict[Key, float] = defaultdict(float)
    for counted in everyone:
        for key, (some, total) in counted.histograms.items():
            if key[0] == metric.name:
                before = counts.get(key[1:], [0] * len(some))
                counts[key[1:]] = [one + other for one, other in zip(before, some, strict=True)]
                totals[key[1:]] += total
    ends = [*(str(float(bound)) for bound in metric.bounds), "+Inf"]
    family = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, some in sorted(counts.items()):
        buckets = list(zip(ends, map(float, accumulate(some)), strict=True))
        family.add_metric(labels, buckets, totals[labels])
    return family


def _processes(everyone: Sequence[Counted]) -> Iterator[Metric]:
    """Say of each process what its kernel knows; one that has died is left out."""
    from prometheus_client import Metric, ProcessCollector

    families: dict[str, Metric] = {}
    for counted in everyone:
        pid = partial(int, counted.pid)
        for found in ProcessCollector(pid=pid, registry=None).collect():
            empty = Metric(found.name, found.documentation, found.type)
            family = families.setdefault(found.name, empty)
            for sample in found.samples:
                family.add_sample(sample.name, {"process": counted.place}, sample.value)
    yield from families.values()
