"""One run over a real server process, from an empty database to one that must be whole."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fuzz.described import fuzz_description
from bench.fuzz.noise import fuzz_socket
from bench.fuzz.outcome import Outcome
from bench.fuzz.texts import TEXTS
from bench.fuzz.written import fuzz_texts
from bench.processes import server

#: Made for the run; protects nothing.
_SECRET = "fuzzing-only-fuzzing-only-fuzzing-only"
_SENT_SECONDS = 60


@dataclass(frozen=True)
class Size:
    """How much is tried."""

    #: Requests to each operation in each phase of Schemathesis that draws them.
    examples: int
    #: Connections of noise.
    noise: int
    #: Of the texts, each so-manieth.
    step: int = 1
    #: Whether a narrowed token, and none at all, are tried as well.
    strangers: bool = True


def fuzz(
    directory: Path, size: Size, *, seed: int, database_url: str | None = None
) -> list[Outcome]:
    """Run it all against one server.

    Args:
        directory: where the server's files and the reports go.
        size: how much is tried.
        seed: what is drawn is drawn from it.
        database_url: an empty PostgreSQL database, instead of SQLite's file.

    Raises:
        RuntimeError: the server or Schemathesis did not start.
    """
    environment = {
        "ALMENARA_JWT_ISSUER": "https://fuzz.example",
        "ALMENARA_JWT_AUDIENCE": "almenara",
        "ALMENARA_JWT_SECRET": _SECRET,
    }
    if database_url:
        environment["ALMENARA_DATABASE_URL"] = database_url
        environment["ALMENARA_SECRET_KEY"] = base64.b64encode(os.urandom(32)).decode()
    (directory / "plugins").mkdir(parents=True, exist_ok=True)
    all_, narrow = _token(environment), _token(environment, "--topic", "sales.*")
    with server(("-m", "almenara", "serve", "--port", "0"), directory, environment) as url:
        runs: list[tuple[str, str | None, int]] = [("every scope", all_, size.examples)]
        if size.strangers:
            runs.append(("narrowed to topics", narrow, max(size.examples // 3, 1)))
            runs.append(("no token", None, max(size.examples // 10, 1)))
        outcomes = [
            fuzz_description(
                url,
                directory / name.replace(" ", "-"),
                name=f"described, {name}",
                token=token,
                document_token=all_,
                examples=examples,
                seed=seed,
            )
            for name, token, examples in runs
        ]
        outcomes += asyncio.run(fuzz_texts(url, all_, TEXTS[:: size.step]))
        outcomes.append(asyncio.run(fuzz_socket(url, cases=size.noise, seed=seed)))
        outcomes.append(_still_serves(url, all_))
    outcomes.append(_log_has_no_break(directory / "server.log"))
    if not database_url:
        outcomes.append(_whole(directory / "data" / "almenara.sqlite3"))
    return outcomes


def _still_serves(url: str, token: str) -> Outcome:
    """Send one message and see that it arrives."""
    outcome = Outcome("serves afterwards", cases=1)
    _call("PUT", f"{url}/v1/channels/last", token, {"plugin": "Log"})
    sent = _call("POST", f"{url}/v1/messages", token, {"channel": "last", "description": "x"})
    deadline = time.monotonic() + _SENT_SECONDS
    while time.monotonic() < deadline:
        status = _call("GET", f"{url}/v1/messages/{sent['id']}", token)["status"]
        if status == "sent":
            return outcome
        time.sleep(0.1)
    outcome.note(f"a message is {status} after {_SENT_SECONDS} s")
    return outcome


def _log_has_no_break(log: Path) -> Outcome:
    """Look for mistakes of the server's own in what it wrote."""
    outcome = Outcome("the server's log")
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        outcome.cases += 1
        if "Traceback" in line or '"request_broken"' in line:
            outcome.note(line)
    return outcome


def _whole(file: Path) -> Outcome:
    """Let SQLite look at its file, after the server was killed."""
    outcome = Outcome("the database is whole", cases=2)
    with closing(sqlite3.connect(file)) as connection:
        for question, good in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
            found = connection.execute(f"PRAGMA {question}").fetchall()
            if found != good:
                outcome.note(f"{question}: {found}")
    return outcome


def _token(environment: Mapping[str, str], *narrowed: str) -> str:
    command = [sys.executable, "-m", "almenara", "token", "--subject", "fuzz", *narrowed]
    return subprocess.run(
        command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def _call(method: str, url: str, token: str, body: object = None) -> Any:
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)
