"""The pages for programs: their Python, shell, JavaScript, PHP and workflow, run."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pages import blocks, read
from tests.serving import Client, make_settings, served

PAGE = "docs/howto/use-the-client.md"
LANDBOT = "docs/howto/connect-landbot.md"
_HERE = "http://127.0.0.1:8000"


@pytest.fixture
async def almenara(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    async with served(make_settings(tmp_path)) as client:
        monkeypatch.setenv("ALMENARA_URL", client.url)
        yield client


async def _run(command: Sequence[str], text: str, environ: Mapping[str, str]) -> str:
    """Run a program with a text on its input, and return what it wrote."""
    finished = await asyncio.to_thread(
        subprocess.run,
        command,
        input=text,
        env=os.environ | {"NO_PROXY": "*", "COLUMNS": "200"} | dict(environ),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return str(finished.stdout)


async def _shell(script: str, client: Client, **environ: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    here = {"ALMENARA_URL": client.url, "PATH": path}
    script = "set -euo pipefail\n" + script.replace(_HERE, client.url)
    return await _run(["bash"], script, here | environ)


async def _descriptions(client: Client) -> list[str]:
    page = (await client.get("/v1/messages")).body["data"]
    return [one["description"] for one in page]


async def test_the_python_on_the_page_runs(almenara: Client) -> None:
    written = []
    for block in blocks(read(PAGE), "python"):
        # Not all of standard output: the server in this process writes its log there.
        out = io.StringIO()
        names = {"__name__": "__main__", "print": functools.partial(print, file=out)}
        await asyncio.to_thread(exec, block.text, names)
        written.append(out.getvalue())
    assert re.match(r"sent \['log'\]\n\d{4}-.* The report of today\n", written[0])
    assert written[1].startswith("sent\nlog sent\n")
    assert re.match(r"4\d\d \w+ .*no-such-topic", written[2])
    assert await _descriptions(almenara) == ["From an event loop", "The report of today"]


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
@pytest.mark.unmeasured
async def test_the_commands_on_the_page_run(almenara: Client) -> None:
    send, see = blocks(read(PAGE), "sh")
    await _shell(send.text, almenara)
    await _shell(send.text, almenara)
    assert await _descriptions(almenara) == ["Backup done"]
    assert "Backup done" in await _shell(see.text, almenara)


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node here")
async def test_the_javascript_on_the_page_runs(almenara: Client) -> None:
    [block] = blocks(read(PAGE), "js")
    environ = {"ALMENARA_URL": almenara.url}
    out = await _run(["node", "--input-type=module", "-"], block.text, environ)
    assert re.match(r"[0-9a-f-]{36} \w+\n", out)
    assert await _descriptions(almenara) == ["From JavaScript"]


@pytest.mark.skipif(not shutil.which("php"), reason="there is no PHP here")
async def test_the_php_on_the_page_runs(almenara: Client) -> None:
    [block] = blocks(read(PAGE), "php")
    await _run(["php"], block.text, {"ALMENARA_URL": almenara.url})
    assert await _descriptions(almenara) == ["From PHP"]


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="there is no curl or jq here"
)
async def test_the_workflow_on_the_page_tells_of_a_failure(almenara: Client) -> None:
    [block] = blocks(read(PAGE), "yaml")
    workflow: dict[Any, Any] = yaml.safe_load(block.text)
    [job] = workflow["jobs"].values()
    *_, step = job["steps"]
    assert step["if"] == "failure()"
    assert set(step["env"]) == {"ALMENARA_URL", "ALMENARA_TOKEN", "KEY", "TEXT"}
    assert "${{" not in step["run"]
    evil = "The tests of x failed on $(touch pwned)\"'"
    for _ in range(2):
        await _shell(step["run"], almenara, ALMENARA_TOKEN="none", KEY="x/y-1-1", TEXT=evil)
    assert await _descriptions(almenara) == [evil]


@pytest.mark.unmeasured
async def test_landbots_block_hands_in_what_the_page_says(tmp_path: Path) -> None:
    page = read(LANDBOT)
    topic, token, see = blocks(page, "sh")
    [issuer], [body] = blocks(page, "toml"), blocks(page, "json")
    secret = tmp_path / "landbot.secret"
    secret.write_text("any-secret-that-is-long-enough-for-hs256-0123456789")
    secret.chmod(0o600)
    file = tmp_path / "issuers.toml"
    file.write_text(issuer.text.replace("/run/secrets/landbot", str(secret)))
    async with served(make_settings(tmp_path, auth_file=str(file))) as client:
        environ = {"ALMENARA_AUTH_FILE": str(file)}
        mine = (await _shell("almenara token", client, **environ)).strip()
        assert "log" in await _shell(topic.text, client, ALMENARA_TOKEN=mine)
        bots = (await _shell(token.text, client, **environ)).strip()

        [address] = re.findall(r"`https://almenara\.example\.org(/\S+)`", page)
        sent = re.sub(r"@{(\w+)}", r"the \1", body.text)
        headers = {"Authorization": f"Bearer {bots}", "Content-Type": "application/json"}
        answer = await client.call("POST", address, json.loads(sent), headers=headers)
        assert answer.status == 202
        other = await client.call(
            "POST", "/v1/topics/hello/messages", {"description": "x"}, headers=headers
        )
        assert other.status == 403
        empty = await client.call("POST", address, {"description": ""}, headers=headers)
        assert empty.status == 422
        assert (await client.post(address, {"description": "x"})).status == 401

        script = re.sub(r"\bID\b", answer.body["id"], see.text)
        shown = await _shell(script, client, ALMENARA_TOKEN=mine)
        assert '"email": "the email"' in shown
        story = await client.get(
            f"/v1/messages/{answer.body['id']}", headers={"Authorization": f"Bearer {mine}"}
        )
        assert story.body["sender"] == "landbot:bot"
