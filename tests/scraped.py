"""What `/metrics` says, read as Prometheus reads it: by the parser of its own library."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from almenara.figures.counting import counters, histograms, keep_channels
from tests.serving import Answer, Client

#: What is counted, and never goes backwards.
GROWS = ("_total", "_count", "_sum", "_bucket")


def forget_figures() -> None:
    """Let this process begin anew to count, as one that has just started."""
    keep_channels([], [])
    counters.update(dict.fromkeys(counters, 0))
    for one in histograms.values():
        one.counts[:] = [0] * len(one.counts)
        one.total = 0.0


class Scrape:
    """The samples of one answer, by name and labels."""

    def __init__(self, answer: Answer) -> None:
        assert answer.status == 200, answer.text
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        self.kinds: dict[str, str] = {}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(answer.text):
            assert family.documentation, family.name
            for sample in family.samples:
                self.kinds[sample.name] = family.type
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, f"{key} is said twice"
                self.samples[key] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        """Return one sample."""
        return self.samples[name, frozenset(labels.items())]

    def of(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Return the samples that are not 0 of a metric, by one of its labels."""
        return {
            dict(having)[label]: value
            for (found, having), value in self.samples.items()
            if found == name and value and labels.items() <= dict(having).items()
        }

    @property
    def counted(self) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
        """Everything of ours that may only grow."""
        return {
            key: value
            for key, value in self.samples.items()
            if key[0].startswith("almenara_") and key[0].endswith(GROWS)
        }


async def scrape(client: Client, path: str = "/metrics") -> Scrape:
    """Ask for the metrics."""
    return Scrape(await client.get(path))


def outcomes(one: Scrape, channel: str) -> dict[str, float]:
    """Return how often the attempts of a channel came to each outcome."""
    return one.of("almenara_delivery_attempts_total", "outcome", channel=channel)


def assert_grown(before: Scrape, after: Scrape) -> None:
    """Nothing that is counted went backwards, or was forgotten."""
    fallen = {
        key: (value, after.counted.get(key))
        for key, value in before.counted.items()
        if after.counted.get(key, -1.0) < value
    }
    assert not fallen, fallen
