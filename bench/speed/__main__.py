"""`make bench`: every figure of the speed table beside its reference, as one table and one page.

Everything runs on this machine: servers and receivers of the bench's own, PostgreSQL with its
defaults on the bench's disk, a virtual host of the RabbitMQ that is there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import psycopg

from bench.chaos.machine import describe_machine
from bench.fleet.broker import DEFAULT_URL
from bench.fleet.stage import Stage
from bench.speed.figure import Measured
from bench.speed.page import PICTURE, details, line, page
from bench.speed.size import SIZES, Context

#: What can be measured, by the name that chooses it: the modules, each with a `measure`.
PARTS = {
    name: f"bench.speed.{name.replace('-', '_')}"
    for name in (
        "accepting",
        "accepting-postgres",
        "delivering",
        "delivering-celery",
        "mailing",
        "latency",
        "growth",
        "memory",
        "resting",
        "starting",
    )
}

#: What else a reader wants to know the versions of.
_PACKAGES = ("uvicorn", "fastapi", "tortoise-orm", "aiohttp", "celery", "apprise")


class LazyStage:
    """PostgreSQL and RabbitMQ of the bench's own, made when the first part asks for them."""

    def __init__(self, directory: Path, *, broker_url: str, own_broker_url: str | None) -> None:
        self.directory = directory
        self._broker_url = broker_url
        self._own_broker_url = own_broker_url
        self._stage: Stage | None = None

    def open(self) -> Stage:
        """Make it, or give the one that is there."""
        if self._stage is None:
            self._stage = Stage(
                self.directory, broker_url=self._broker_url, own_broker_url=self._own_broker_url
            )
        return self._stage

    def last_words(self) -> str:
        """Return the end of what the database has written."""
        return "" if self._stage is None else self._stage.last_words()

    def close(self) -> None:
        """Take away what was made."""
        if self._stage is not None:
            self._stage.close()


def main() -> None:
    """Measure what is asked for, print it, and write the page."""
    options = _options()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="almenara-bench-") as name:
        # PostgreSQL's own user must get in.
        directory = Path(name)
        directory.chmod(0o755)
        machine = describe_machine(directory)
        machine["versions"] += "".join(f", {one} {version(one)}" for one in _PACKAGES)
        print(f"{machine['machine']}; {machine['versions']}; size {options.size}")
        with _stage(options, directory) as stage:
            measured = [one for part in options.parts for one in _measure(part, options, stage)]
    minutes = (time.monotonic() - begun) / 60
    print("\n" + "\n".join(line(one) for one in measured))
    print(f"\n{minutes:.1f} minutes")
    if options.write is not None:
        size = SIZES[options.size]
        run = f"Size {size.name}; rounds: {size.rounds}; {minutes:.0f} minutes in all."
        if options.parts != list(PARTS):
            run += f" Only a part of it was measured: {', '.join(options.parts)}."
        picture = (options.write.parent / PICTURE).exists()
        text = page(measured, machine=machine, run=run, picture=picture)
        options.write.write_text(text, encoding="utf-8")


def _measure(part: str, options: argparse.Namespace, stage: LazyStage) -> Iterator[Measured]:
    """Give the figures of one part, and print each as it comes out."""
    begun = time.monotonic()
    directory = stage.directory / part
    directory.mkdir(mode=0o755)
    context = Context(SIZES[options.size], directory, stage.open)
    print(f"\n{part}", flush=True)
    for one in import_module(PARTS[part]).measure(context):
        print(f"  {line(one)}")
        print("".join(f"      {detail}\n" for detail in details(one)), end="", flush=True)
        yield one
    print(f"  {time.monotonic() - begun:,.0f} s", flush=True)


@contextmanager
def _stage(options: argparse.Namespace, directory: Path) -> Iterator[LazyStage]:
    stage = LazyStage(
        directory, broker_url=options.broker_url, own_broker_url=options.own_broker_url
    )
    try:
        yield stage
    except psycopg.OperationalError as error:
        # The directory goes; what the database said of its end would go with it.
        error.add_note(f"The last words of the database:\n{stage.last_words()}")
        raise
    finally:
        stage.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.speed", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--directory", help="where the databases lie; the system's own if absent")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the page that is written")
    parser.add_argument("--broker-url", default=DEFAULT_URL, help="a RabbitMQ on this machine")
    parser.add_argument("--own-broker-url", help="an unused virtual host, instead of a new one")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    options.parts = options.parts or list(PARTS)
    return options


if __name__ == "__main__":
    main()
