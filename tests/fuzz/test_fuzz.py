"""The short form of `make fuzz`, and a proof that it finds what is wrong."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bench.fuzz.__main__ import SIZES
from bench.fuzz.described import fuzz_description
from bench.fuzz.noise import fuzz_socket, noise
from bench.fuzz.run import fuzz
from bench.fuzz.texts import TEXTS
from bench.fuzz.written import fuzz_texts

pytestmark = pytest.mark.unmeasured

SENT = {"id": "1", "name": "", "code": "refused"}


@pytest.mark.xdist_group("processes")
@pytest.mark.timeout(400)
def test_nothing_that_comes_breaks_it(tmp_path: Path) -> None:
    outcomes = fuzz(tmp_path, SIZES["short"], seed=random.Random().randrange(2**32))
    assert [mistake for one in outcomes for mistake in one.mistakes] == []
    cases = {one.name: one.cases for one in outcomes}
    assert cases["described, every scope"] > 1_000
    assert cases["texts in messages"] == 10 * len(TEXTS[:: SIZES["short"].step])
    assert all(cases.values()), cases


def test_the_texts_are_many_and_distinct() -> None:
    assert len(set(TEXTS)) == len(TEXTS) >= 150
    assert any("\ud800" <= letter <= "\udfff" for text in TEXTS for letter in text)


def test_noise_is_repeated_by_its_seed() -> None:
    first, again = random.Random(7), random.Random(7)
    assert [noise(first) for _ in range(50)] == [noise(again) for _ in range(50)]
    assert len({noise(first) for _ in range(50)}) > 40


# --- a server that does everything wrong


@pytest.fixture
async def wrong() -> AsyncIterator[str]:
    """Where a server is that changes what it stores, and breaks now and then."""
    stored: dict[str, Any] = {}

    async def store(request: web.Request) -> web.Response:
        body = await request.json()
        if "\\ud800" in await request.text():
            return web.json_response({"detail": "Internal Server Error"}, status=500)
        stored.update(body)
        return web.json_response(SENT | body | {"state_detail": "?"}, status=202)

    async def show(_request: web.Request) -> web.Response:
        story = {
            name: value.strip() if isinstance(value, str) else None
            for name, value in stored.items()
        }
        return web.json_response(story | {"data": [{"reference": "another's"}]})

    async def describe(_request: web.Request) -> web.Response:
        operation = {"responses": {"200": {"description": "Good."}}}
        return web.json_response(
            {
                "openapi": "3.1.0",
                "info": {"title": "Wrong", "version": "1"},
                "paths": {"/v1/messages": {"get": operation}, "/broken": {"get": operation}},
            }
        )

    async def change(request: web.Request) -> web.Response:
        body = await request.json()
        steps = [{"condition": None} for _ in body.get("channels", ())]
        return web.json_response({"name": "another", "channels": steps})

    async def fail(_request: web.Request) -> web.Response:
        return web.Response(status=500)

    app = web.Application()
    app.router.add_get("/openapi.json", describe)
    app.router.add_post("/{path:.*}", store)
    app.router.add_put("/{path:.*}", change)
    app.router.add_delete("/{path:.*}", show)
    app.router.add_get("/broken", fail)
    app.router.add_get("/{path:.*}", show)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_text_that_comes_back_as_another_is_found(wrong: str) -> None:
    outcomes = await fuzz_texts(wrong, "token", [" a", "\ud800"])
    found = {one.name: " | ".join(one.mistakes) for one in outcomes}
    assert "title = ' a' came back as" in found["texts in messages"]
    assert "500" in found["texts in messages"]
    assert "became" in found["texts as names"]
    assert "came back as None" in found["texts in conditions"]
    assert "came back as '?'" in found["texts as reasons"]
    assert "another's" in found["texts in queries"]
    assert all(one.cases for one in outcomes)


async def test_an_answer_that_is_not_described_is_found(wrong: str, tmp_path: Path) -> None:
    outcome = await asyncio.to_thread(
        fuzz_description,
        wrong,
        tmp_path,
        name="wrong",
        token=None,
        document_token="",
        examples=1,
        seed=1,
        phases=("examples", "coverage", "fuzzing"),
    )
    assert any("Server error" in mistake for mistake in outcome.mistakes), outcome.mistakes


async def test_who_neither_answers_nor_hangs_up_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.fuzz.noise._PATIENCE_SECONDS", 0.3)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        if chance.random() < 0.5:
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
        else:
            await over.wait()
        writer.close()
        await writer.wait_closed()

    chance, over = random.Random(1), asyncio.Event()
    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await fuzz_socket(f"http://127.0.0.1:{port}", cases=20, seed=1)
    assert any("neither answered" in mistake for mistake in outcome.mistakes)
    assert any("500 Internal" in mistake for mistake in outcome.mistakes)
    over.set()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.1)


def test_the_command_explains_itself() -> None:
    command = [sys.executable, "-m", "bench.fuzz", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "--database-url" in done.stdout
