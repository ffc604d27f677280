"""The stage of one scenario: a directory of its own with the oracle's files, and all that runs."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from bench.chaos.checker import UNKNOWN, Verdict, check_directory, first_arrivals
from bench.chaos.client import Client
from bench.chaos.journal import Journal, read_lines
from bench.chaos.log_reader import read_log, release_held, settle
from bench.chaos.mounts import PowerDisk, SmallDisk
from bench.chaos.postgres import Cluster
from bench.chaos.product import Product
from bench.chaos.rabbit import Broker
from bench.chaos.scenario import Size
from bench.chaos.sink import Sink
from bench.chaos.wire import Wire
from bench.chaos.workers import Worker

#: All that was accepted must have come to its end within so many seconds.
_SETTLING_SECONDS = 600
#: How long a sender rests: in the small size, reading the log must not take longer than the faults.
_PAUSES = {Size.PR: 0.05, Size.FULL: 0.0}


class Stage:
    """What a scenario plays with; everything that it makes is ended and unmounted with it."""

    def __init__(self, directory: Path, size: Size, say: Callable[[str], None]) -> None:
        self.directory = directory
        self.size = size
        #: Shows how far the scenario is.
        self.say = say
        self.journal = Journal(directory / "journal.jsonl")
        #: Deliveries that were held, though it was the bench that killed their processes.
        self.released_count = 0
        self.exits = ExitStack()
        self.sink = Sink(directory / "sink.jsonl")
        self.exits.callback(self.sink.close)
        self._clients: list[Client] = []

    def product(
        self,
        *,
        name: str = "product",
        directory: Path | None = None,
        database_url: str | None = None,
        program: Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Product:
        """Make a product; it is not started yet.

        Args:
            directory: where it keeps its data; in the stage's directory when absent.
            program: what Python runs instead of `almenara serve`.
            environ: more of its environment.
        """
        product = Product(
            directory or self.directory / name,
            journal=self.journal,
            output=self.directory / f"{name}.log",
            database_url=database_url,
            environ=environ,
            **({} if program is None else {"program": program}),
        )
        self.exits.callback(product.close)
        return product

    async def cluster(self, directory: Path | None = None) -> Cluster:
        """Make a private PostgreSQL cluster, and start it."""
        cluster = Cluster(
            directory or self.directory / "postgres",
            journal=self.journal,
            output=self.directory / "postgres.log",
        )
        self.exits.callback(cluster.close)
        await cluster.create()
        return cluster

    async def broker(self) -> Broker:
        """Make a private RabbitMQ node, and start it."""
        broker = Broker(
            self.directory / "rabbitmq",
            journal=self.journal,
            output=self.directory / "rabbitmq.log",
        )
        self.exits.callback(broker.close)
        await broker.start()
        return broker

    async def wire(self, url: str, *, host: str = "127.0.0.1") -> Wire:
        """Make a wire to a server; it listens on this address."""
        wire = Wire(url, host=host)
        self.exits.callback(wire.close)
        await wire.start()
        return wire

    def worker(
        self,
        product: Product,
        *,
        name: str,
        prefix: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Worker:
        """Make a worker of the product's fleet; it is not started yet.

        Args:
            prefix: what it is started by.
            environ: what of its environment is not the product's.
        """
        worker = Worker(
            {**product.environ, **(environ or {})},
            journal=self.journal,
            output=self.directory / f"{name}.log",
            prefix=prefix,
        )
        self.exits.callback(worker.close)
        return worker

    async def readiness(self, product: Product) -> tuple[str, str]:
        """Return what the product says of itself, and of its queue."""
        return await asyncio.to_thread(_readiness, f"{product.url}/readyz")

    def small_disk(self, *, megabytes: int) -> SmallDisk:
        """Mount a small tmpfs."""
        disk = SmallDisk(self.directory / "disk", megabytes=megabytes)
        self.exits.callback(disk.close)
        return disk

    def power_disk(self, *, megabytes: int) -> PowerDisk:
        """Mount a disk whose power can be cut."""
        disk = PowerDisk(self.directory / "disk", megabytes=megabytes)
        self.exits.callback(disk.close)
        return disk

    def client(
        self, *products: Product, senders: int = 16, pause_seconds: float | None = None
    ) -> Client:
        """Make a load client of these products.

        Args:
            pause_seconds: how long each sender rests after a message; as the size has it when
                absent.
        """
        if pause_seconds is None:
            pause_seconds = _PAUSES[self.size]
        client = Client(
            self.directory / "ledger.jsonl",
            [product.url for product in products],
            senders=senders,
            pause_seconds=pause_seconds,
        )
        self._clients.append(client)
        return client

    async def furnish(self, product: Product) -> None:
        """Give a product the topic `chaos`, which leads to the sink."""
        channel = {"plugin": "Webhook", "settings": {"url": self.sink.url}}
        await self.put(product, "/v1/channels/sink", channel)
        await self.put(product, "/v1/topics/chaos", {"channel": "sink"})

    async def put(self, product: Product, path: str, body: object) -> None:
        """Write something over the product's API."""
        await asyncio.to_thread(_put, f"{product.url}{path}", body)

    def first_arrivals(self, moments: Sequence[float]) -> list[float]:
        """Return for each moment how long the sink then waited for an arrival, in seconds."""
        return first_arrivals(read_lines(self.directory / "sink.jsonl"), moments)

    async def verdict(
        self, product: Product, *, excuses: Collection[str] = UNKNOWN, topic: str | None = None
    ) -> Verdict:
        """Let everything come to its end, read the log, and let the checker compare.

        What is held because processes died on it is released first; `released_count` tells.

        Args:
            topic: only the messages of this topic are the checker's business; what is held stays
                held then.
        """
        self.say("settling")
        settled = await settle(product.url, patience_seconds=_SETTLING_SECONDS)
        if topic is None:
            self.released_count = await release_held(product.url)
        if self.released_count:
            settled = await settle(product.url, patience_seconds=_SETTLING_SECONDS)
        self.say("reading the log")
        await read_log(product.url, self.directory / "log.jsonl", topic=topic)
        verdict = await asyncio.to_thread(check_directory, self.directory, excuses=excuses)
        if not settled:
            verdict.failures.append(f"messages still moved after {_SETTLING_SECONDS} s")
        for client in self._clients:
            if client.strange:
                verdict.failures.append(f"answers that should not be: {client.strange[:3]}")
            if client.unanswered_count:
                verdict.failures.append(f"{client.unanswered_count} requests were never answered")
        return verdict


@asynccontextmanager
async def staged(
    size: Size,
    say: Callable[[str], None],
    *,
    within: Path | None = None,
    keep: Path | None = None,
) -> AsyncIterator[Stage]:
    """Open a stage; at its end, everything that was started is ended and nothing is left.

    Args:
        within: where its directory is made; a real disk, open to PostgreSQL's service user.
        keep: where the oracle's files and what the processes wrote are copied at the end.
    """
    directory = _made(within)
    try:
        stage = Stage(directory, size, say)
        with stage.exits:
            yield stage
    finally:
        if keep is not None:
            await asyncio.to_thread(_keep, directory, keep)
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _keep(directory: Path, keep: Path) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    for file in (*directory.glob("*.jsonl"), *directory.glob("*.log")):
        shutil.copy(file, keep)


def _made(within: Path | None) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="almenara-chaos-", dir=within))
    directory.chmod(0o755)
    return directory


def _readiness(url: str) -> tuple[str, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    return body["status"], body["checks"]["queue"]


def _put(url: str, body: object) -> None:
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode(),
        method="PUT",
        headers={"Content-Type": "application/json"},
    )
    # No proxy of the environment's: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30):
        pass
