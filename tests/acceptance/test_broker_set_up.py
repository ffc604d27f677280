"""A broker that cannot be used: one sentence, by `almenara check` and by every command."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from almenara.check import check_set_up
from tests.acceptance.test_postgres_set_up import hangs_up, something_else, speaks_http
from tests.processes import ServerProcess
from tests.servers import POSTGRES, RABBITMQ
from tests.serving import make_settings

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.timeout(120)]

Databases = Callable[..., str]
PASSWORD = "s3cr3t-p4ss"


def _other(**changes: str) -> str:
    """The broker's URL with something wrong in it."""
    parts = urlsplit(RABBITMQ.url)
    user = changes.get("user", f"{parts.username}:{parts.password}")
    host = changes.get("host", f"{parts.hostname}:{parts.port or 5672}")
    return urlunsplit(
        (changes.get("scheme", "amqp"), f"{user}@{host}", changes.get("path", parts.path), "", "")
    )


async def told(directory: Path, database_url: str, url: str) -> str:
    """Return what `check` says of a broker; nothing of the password may be in it."""
    findings = await check_set_up(make_settings(directory, database_url, broker_url=url))
    [broker] = [one for one in findings if one.subject == "broker"]
    assert broker.level == "error"
    assert PASSWORD not in broker.message
    assert "\n" not in broker.message
    return broker.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user": f"guest:{PASSWORD}"}, "does not let us in: check the user, the password and"),
        ({"path": "/no-such-host"}, "does not let us in: check the user, the password and the"),
        ({"host": "no-such-host.invalid:5672"}, "its name is not known; check the host"),
        ({"host": "127.0.0.1:9"}, "cannot be reached (ConnectionRefusedError); check ALMENARA"),
        ({"scheme": "amqps"}, "makes no TLS connection that can be trusted; write amqp://"),
        (
            {"host": f"127.0.0.1:{urlsplit(POSTGRES.url).port or 5432}"},
            "is not RabbitMQ, or hangs up; check the port",
        ),
    ],
)
async def test_a_broker_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, postgres_database: Databases, changes: dict[str, str], words: str
) -> None:
    assert words in await told(tmp_path, postgres_database(), _other(**changes))


@pytest.mark.parametrize("talk", [hangs_up, speaks_http])
async def test_what_is_not_rabbitmq_is_told_from_it(
    tmp_path: Path, postgres_database: Databases, talk: Callable[..., object]
) -> None:
    async with something_else(talk) as port:  # type: ignore[arg-type]  # either of the two
        url = _other(host=f"127.0.0.1:{port}")
        words = await told(tmp_path, postgres_database(), url)
    assert "is not RabbitMQ, or hangs up; check the port" in words


async def test_a_broker_that_can_be_used_is_said_to_be(
    tmp_path: Path, postgres_database: Databases
) -> None:
    settings = make_settings(tmp_path, postgres_database(), broker_url=RABBITMQ.url)
    [finding] = [one for one in await check_set_up(settings) if one.subject == "broker"]
    assert finding.level == "ok"
    assert re.fullmatch(
        r"RabbitMQ \d+\.\d+\.\S+ answers, and has the lines in which rings wait\.", finding.message
    )


@pytest.mark.parametrize("command", ["serve", "worker", "check", "migrate"])
def test_a_url_that_is_none_is_refused_by_every_command(tmp_path: Path, command: str) -> None:
    """What cannot be read as a port may be a piece of the password."""
    environ = ServerProcess(
        tmp_path,
        database_url="postgres://me@127.0.0.1:9/x",
        environ={"ALMENARA_BROKER_URL": f"amqp://me:{PASSWORD}/1@mq.example/"},
    ).environ
    done = subprocess.run(
        [sys.executable, "-m", "almenara", command],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "ALMENARA_BROKER_URL: is not a URL such as amqp://user:password@host" in done.stderr
    assert PASSWORD not in done.stderr
    assert "Traceback" not in done.stderr
