"""What every installation must do, in one go: `python -m tests.smoke.journey DIRECTORY`.

It starts a server on SQLite, sends by HTTP and to a file, backs up, stops in the middle of an
attempt, starts again, and restores. Nothing is written but in the directory. `tests.smoke.shut_in`
runs it where nothing else could be.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from almenara.testing import Answer, FakeService, Received
from tests.processes import ServerProcess

_PATIENCE_SECONDS = 30


class Journey:
    """One server, one receiver, one directory."""

    def __init__(self, directory: Path, receiver: FakeService) -> None:
        self._directory = directory
        self._receiver = receiver
        self._server = ServerProcess(directory, environ={"FILE_DIRECTORY": str(directory)})

    def go(self) -> None:
        """Go all of it; the first thing that is not as it must be raises."""
        with self._server:
            done("it started on SQLite")
            self._make_channels()
            first = self._send_and_see("hello")
            self._back_up()
            second = self._stop_while_sending("at the last moment")
        with self._server:
            self._see_again([first, second])
        self._restore(first)

    def _make_channels(self) -> None:
        hook = {"plugin": "Webhook", "settings": {"url": self._receiver.url}}
        self._call("PUT", "/v1/channels/hook", hook)
        file = {"plugin": "File", "settings": {"name": "sent.jsonl"}}
        self._call("PUT", "/v1/channels/file", file)
        self._call("POST", "/v1/topics", {"name": "both", "channels": ["hook", "file"]})

    def _send_and_see(self, text: str) -> str:
        message = self._accept(text)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (story := self._call("GET", f"/v1/messages/{message}"))["status"] != "sent":
            assert time.monotonic() < deadline, story
            time.sleep(0.02)
        assert [text in one.body.decode() for one in self._receiver.received] == [True]
        assert text in (self._directory / "sent.jsonl").read_text()
        done("a message was accepted, and sent by HTTP and to a file")
        return message

    def _back_up(self) -> None:
        said = self._command("backup", str(self._directory / "copy.sqlite3"))
        assert "every page checked" in said, said
        done("a backup was made")

    def _stop_while_sending(self, text: str) -> str:
        under_way, go_on = threading.Event(), threading.Event()

        def slowly(_: Received) -> Answer:
            under_way.set()
            go_on.wait(_PATIENCE_SECONDS)
            return Answer()

        self._receiver.queue.append(slowly)
        message = self._accept(text)
        assert under_way.wait(_PATIENCE_SECONDS)
        self._server.stop()
        go_on.set()
        assert self._server.wait() == 0, self._server.output
        done("it drained, and ended with 0")
        return message

    def _see_again(self, sent: list[str]) -> None:
        listed = self._call("GET", "/v1/messages?topic=both")["data"]
        newest_first = [(one, "sent") for one in reversed(sent)]
        assert [(one["id"], one["status"]) for one in listed] == newest_first
        assert len(self._receiver.received) == len(sent)
        assert self._call("GET", "/readyz")["status"] == "ready"
        done("after a restart, both are in the log, sent once")

    def _restore(self, first: str) -> None:
        other = self._directory / "restored"
        other.mkdir()
        key = self._directory / "data" / "secret.key"
        (other / key.name).write_bytes(key.read_bytes())
        copy = str(self._directory / "copy.sqlite3")
        self._command("restore", copy, ALMENARA_DATA_DIR=str(other))
        with closing(sqlite3.connect(other / "almenara.sqlite3")) as database:
            assert database.execute("SELECT id FROM message").fetchall() == [(first,)]
        done("the backup was restored, with the message in it")

    def _accept(self, text: str) -> str:
        answer = self._call("POST", "/v1/messages", {"topic": "both", "description": text})
        return str(answer["id"])

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self._server.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def _command(self, *arguments: str, **environ: str) -> str:
        own = {"ALMENARA_URL": self._server.url, "NO_PROXY": "*"}
        finished = subprocess.run(
            [sys.executable, "-m", "almenara", *arguments],
            env=self._server.environ | own | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout


def done(step: str) -> None:
    """Say that a step was as it must be."""
    print(f"ok: {step}", flush=True)


if __name__ == "__main__":
    with FakeService() as one:
        Journey(Path(sys.argv[1]), one).go()
