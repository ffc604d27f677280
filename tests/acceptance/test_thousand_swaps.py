"""A plugin that is changed a thousand times under load: nothing lost, repeated or left behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.test_crash import client_of
from tests.processes import ServerProcess
from tests.serving import Client, until

SWAPS = 1_000
#: So many come before, so that what every process keeps once is there.
WARM_UP = 100
#: A thousand versions may leave so much in memory, in MiB.
MOST_GROWTH_MIB = 10

#: What plugins do that could keep them: loggers, models, caches, modules imported late.
SOURCE = """
import functools, logging, os
from pathlib import Path
from typing import Annotated
from pydantic import BaseModel, Field
from almenara import PluginSettings, Receipt, SecretStr
from .helper import Body

log = logging.getLogger(__name__)
HERE = Path(__file__).parent


class Sms:
    class Settings(PluginSettings):
        token: SecretStr = SecretStr("a-secret-token")
        number: Annotated[int, Field(ge=0)] = {version}

    def __init__(self, settings):
        self.settings = settings
        self.sink = os.open(HERE / "sent", os.O_APPEND | os.O_WRONLY | os.O_CREAT)

    async def send_message(self, message, background_tasks):
        from . import late
        body = Body(text=late.word(message.description))
        os.write(self.sink, f"{message.idempotency_key} {body.text}\\n".encode())
        return Receipt(reference=f"version {self.settings.number}")

    @functools.cache
    def cached(self):
        return self

    def close(self):
        self.cached()
        os.close(self.sink)


(HERE / "loaded").write_text("{version}")
"""
HELPER = """
from pydantic import BaseModel

class Body(BaseModel):
    text: str
    ballast: bytes = bytes(100_000)
"""


def write(directory: Path, version: int) -> None:
    text = SOURCE.replace("{version}", str(version))
    (directory / "sms.new").write_text(text)
    (directory / "sms.new").replace(directory / "sms.py")


async def swap(directory: Path, versions: range) -> None:
    """Write one version after another, each when the one before was loaded."""
    for version in versions:
        write(directory, version)
        deadline = time.monotonic() + 60
        while (directory / "loaded").read_text() != str(version):
            assert time.monotonic() < deadline, f"version {version} was not loaded"
            await asyncio.sleep(0.002)


async def post(client: Client, accepted: list[str], numbers: itertools.count[int]) -> None:
    while True:
        batch = [{"channel": "sms", "description": str(next(numbers))} for _ in range(4)]
        answer = await client.post("/v1/messages/batch", {"messages": batch})
        assert answer.status in {200, 202, 207}, answer.text
        accepted += [one["message"]["deliveries"][0]["id"] for one in answer.body["data"]]
        await asyncio.sleep(0.01)


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.unmeasured
@pytest.mark.timeout(600)
async def test_a_thousand_swaps_lose_repeat_and_leak_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "plugins" / "sms"
    directory.mkdir(parents=True)
    (directory / "helper.py").write_text(HELPER)
    (directory / "late.py").write_text("def word(text): return text\n")
    write(directory, 0)
    accepted: list[str] = []
    numbers = itertools.count()
    with ServerProcess(tmp_path, look_seconds=0.002) as server:
        async with client_of(server) as client:
            made = await client.call("PUT", "/v1/channels/sms", {"plugin": "Sms"})
            assert made.status == 201, made.text
            load = [asyncio.create_task(post(client, accepted, numbers)) for _ in range(2)]
            await swap(directory, range(1, WARM_UP))
            before = resident_mib(server.pid)
            await swap(directory, range(WARM_UP, WARM_UP + SWAPS))
            growth = resident_mib(server.pid) - before
            for task in load:
                task.cancel()
            ended = await asyncio.gather(*load, return_exceptions=True)
            assert {type(one) for one in ended} == {asyncio.CancelledError}

            async def idle() -> bool:
                answers = [
                    await client.get(f"/v1/deliveries?status={status}&limit=1")
                    for status in ("pending", "sending")
                ]
                return not any(answer.body["data"] for answer in answers)

            await until(idle)
    lines = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    swaps = sum(line["event"] == "plugins_changed" for line in lines)
    sent = Counter(line.split()[0] for line in (directory / "sent").read_text().splitlines())
    with sqlite3.connect(tmp_path / "data" / "almenara.sqlite3") as database:
        rows = database.execute(
            "SELECT d.status, a.outcome, a.late, count(*) FROM delivery d"
            " LEFT JOIN attempt a ON a.delivery_id = d.id GROUP BY 1, 2, 3"
        ).fetchall()
    database.close()
    print(f"{swaps} swaps, {len(accepted)} accepted, {growth:.1f} MiB")  # noqa: T201 - with -s
    assert swaps >= SWAPS
    # Requests under way at the end were stored as well.
    assert set(accepted) <= sent.keys()
    assert set(sent.values()) == {1}
    assert [(status, outcome, late) for status, outcome, late, _ in rows] == [("sent", "sent", 0)]
    assert rows[0][3] == len(sent)
    assert growth <= MOST_GROWTH_MIB
