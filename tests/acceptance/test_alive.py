"""`almenara alive`: the health check of containers, for a worker and for a server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from almenara import heartbeat
from almenara.cli import run
from tests.acceptance.test_celery_worker import server_of
from tests.processes import ServerProcess, WorkerProcess
from tests.serving import until

Databases = Callable[..., str]


def alive(environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "almenara", "alive"],
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.timeout(120)
@pytest.mark.xdist_group("rabbitmq")
async def test_a_worker_is_alive_while_each_of_its_processes_turns(
    tmp_path: Path, postgres_database: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = tmp_path / f"almenara-{os.geteuid()}"
    monkeypatch.setattr(heartbeat, "SILENT_SECONDS", heartbeat.BEAT_SECONDS + 1.5)
    with server_of(tmp_path, postgres_database(migrated=True)) as server:
        environ = server.environ | {"TMPDIR": str(tmp_path), "ALMENARA_PORT": "9"}
        with WorkerProcess(environ, "--processes", "2") as worker:

            async def both() -> bool:
                return len(heartbeat.feel(beats)) == 2

            await until(both)
            told = alive(environ)
            assert told.returncode == 0, told.stdout
            assert [f"Worker process {one} is alive" in told.stdout for one in worker.children] == [
                True,
                True,
            ]
            frozen, other = worker.children
            os.kill(frozen, signal.SIGSTOP)

            async def hangs() -> list[int]:
                return [one.process for one in heartbeat.feel(beats) if one.hangs]

            assert await until(hangs) == [frozen]
            os.kill(frozen, signal.SIGKILL)

            async def replaced() -> bool:
                felt = heartbeat.feel(beats)
                return len(felt) == 2 and not any(one.hangs for one in felt)

            await until(replaced, 30)
            assert other in worker.children
        gone = alive(environ)
    assert gone.returncode == 1
    assert "No worker runs here, and the server at 127.0.0.1:9 does not answer" in gone.stdout


def test_a_server_is_alive_while_it_answers(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        environ = server.environ | {
            "TMPDIR": str(tmp_path),
            "ALMENARA_PORT": server.url.rpartition(":")[2],
            "http_proxy": "http://127.0.0.1:9",
        }
        told = alive(environ)
    assert (told.returncode, "answers with 200" in told.stdout) == (0, True)
    assert alive(environ).returncode == 1


async def test_where_no_beat_can_be_written_it_goes_on_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    async with heartbeat.beating(tmp_path / "file"):
        await asyncio.sleep(0)
    assert "no_heartbeat" in capsys.readouterr().out


async def test_a_file_that_another_process_holds_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with heartbeat.beating(tmp_path):
        async with heartbeat.beating(tmp_path):
            assert len(heartbeat.feel(tmp_path)) == 1
        assert "no_heartbeat" in capsys.readouterr().out
        assert len(heartbeat.feel(tmp_path)) == 1
    assert heartbeat.feel(tmp_path) == []


async def test_what_a_dead_process_left_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1.beat").write_text("00000000000000000.001")
    (tmp_path / "2.beat").symlink_to("nowhere")
    assert heartbeat.feel(tmp_path) == []


def test_a_process_that_hangs_is_told_of_by_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        heartbeat, "feel", lambda: [heartbeat.Pulse(7, 61.0), heartbeat.Pulse(8, 1)]
    )
    assert run(["alive"]) == 1
    assert "Worker process 7 hangs: it beat last 61 s ago." in capsys.readouterr().out
