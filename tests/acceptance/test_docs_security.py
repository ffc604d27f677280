"""The pages about security and keeping less, typed: what they say to run works."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from almenara.auth.issuers import read_issuers
from almenara.settings import read_settings
from tests.acceptance.test_docs_run import Reader
from tests.pages import Block, blocks, read
from tests.processes import ServerProcess
from tests.serving import until
from tests.tokens import SECRET

TOKENS = "docs/howto/ask-for-tokens.md"
SECRETS = "docs/howto/keep-secrets.md"
AUDIT = "docs/howto/see-who-changed-what.md"
LESS = "docs/howto/keep-less.md"
ISSUER = {"ALMENARA_JWT_ISSUER": "development", "ALMENARA_JWT_SECRET": SECRET}

pytestmark = pytest.mark.unmeasured

needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")


async def typed(
    commands: Sequence[Block], server: ServerProcess, environ: Mapping[str, str] | None = None
) -> str:
    """Run the commands of a page in a shell, and return what they wrote."""
    written = ""
    for block in commands:
        finished = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euo", "pipefail", "-c", block.text.replace(PLACE, server.url)],
            env=os.environ
            | dict(environ or {})
            | {
                "ALMENARA_URL": server.url,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "NO_PROXY": "*",
                "COLUMNS": "120",
            },
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        written += finished.stdout
    return written


PLACE = "http://127.0.0.1:8000"


@needs_curl
async def test_the_page_on_tokens_makes_one_and_shows_it(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, environ=ISSUER) as server:
        written = await typed(blocks(read(TOKENS), "sh")[1:], server, ISSUER)
    assert "Sent with a token" in written
    assert '"sender":"developer"' in written
    assert "401\n" in written
    assert '"tokens":"ok"' in written


def test_the_file_of_the_page_on_tokens_is_taken(tmp_path: Path) -> None:
    [block] = blocks(read(TOKENS), "toml")
    (tmp_path / "auth.toml").write_text(block.text)
    issuers = read_issuers(read_settings({"ALMENARA_AUTH_FILE": str(tmp_path / "auth.toml")}))
    assert [one.name for one in issuers] == ["staff", "shop"]


@needs_curl
async def test_the_page_on_changes_shows_who_made_them(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        written = await typed(blocks(read(AUDIT), "sh"), server)
    assert "topic.changed" in written
    assert "redact: False > True" in written
    assert '"action":"topic.changed"' in written


async def test_the_page_on_secrets_refers_and_rotates(tmp_path: Path) -> None:
    refer, rotate = blocks(read(SECRETS), "sh")
    with ServerProcess(tmp_path) as server:
        assert "env:HOOK_URL" in await typed([refer], server)
    data = {"ALMENARA_DATA_DIR": str(tmp_path / "data")}
    assert "sealed with the present key" in await typed([rotate], server, data)


@needs_curl
async def test_the_page_on_keeping_less_drops_the_text(tmp_path: Path) -> None:
    _, redact, see, old = blocks(read(LESS), "sh")
    send, look = see.text.split("\n", 1)
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        reader.api("POST", "/v1/topics", {"name": "payroll", "channels": ["log"]})
        await reader.type(redact)
        await reader.type(Block("sh", send))

        async def redacted() -> bool:
            [message] = reader.api("GET", "/v1/messages?topic=payroll")["data"]
            return message["redacted_at"] is not None

        await until(redacted)
        shown = await reader.type(Block("sh", look))
        await reader.type(old)
    assert "payroll" in shown
    assert "Ana earns more" not in shown
