"""Drills of a fleet: asked for where nothing is sent, made by a worker with its environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.test_crash import client_of
from tests.processes import ServerProcess, WorkerProcess
from tests.servers import RABBITMQ

# One after another: they share the lines of one broker.
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("rabbitmq"),
]

SOURCE = """
from almenara import PluginSettings

class Tower:
    class Settings(PluginSettings):
        place: str

    def __init__(self, settings):
        self.place = settings.place

    def send_message(self, message, background_tasks):
        return None

    def verify(self):
        return f"Seen from {self.place}."
"""


async def test_a_worker_makes_the_drill_that_the_api_is_asked_for(
    tmp_path: Path, postgres_database: Callable[..., str]
) -> None:
    (tmp_path / "plugins" / "tower").mkdir(parents=True)
    (tmp_path / "plugins" / "tower" / "tower.py").write_text(SOURCE)
    url = postgres_database(migrated=True)
    environ = {"ALMENARA_BROKER_URL": RABBITMQ.url}
    with ServerProcess(tmp_path, database_url=url, environ=environ) as server:
        async with client_of(server) as client:
            body = {"name": "north", "plugin": "Tower", "timeout_seconds": 1}
            created = await client.post("/v1/channels", body)
            assert "TOWER_PLACE" in created.body["warnings"][0]
            nobody = await client.post("/v1/channels/north/verify")
            assert (nobody.status, nobody.body["code"]) == (503, "unavailable")
            assert "see that workers run" in nobody.body["detail"]
            assert nobody.headers["Retry-After"] == "5"
        with WorkerProcess(server.environ | {"TOWER_PLACE": "the worker"}, "--processes", "2"):
            async with client_of(server) as client:
                made = await client.post("/v1/channels/north/verify")
                shown = await client.get("/v1/channels/north")
    assert (made.status, made.body["detail"]) == (200, "Seen from the worker.")
    assert shown.body["verify_outcome"] == "ok"
