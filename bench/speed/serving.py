"""One server on SQLite to be measured: started in a directory of its own, spoken to over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.fleet.programs import served
from bench.references.environment import DATABASE_VARIABLE

SERVE = ("-m", "almenara", "serve", "--port", "0")
#: A topic without channels: a message is stored and finished.
NOWHERE = "nowhere"

_NOOP = '''"""Sends nowhere."""


class Noop:
    async def send_message(self, message, background_tasks):
        return None
'''


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    url: str
    pid: int


def environ_of(place: Path) -> dict[str, str]:
    """Return the settings of a server whose files are in this directory."""
    return {
        "ALMENARA_DATA_DIR": str(place / "data"),
        "ALMENARA_PLUGINS_DIR": str(place / "plugins"),
        "ALMENARA_EGRESS_ALLOW": "127.0.0.0/8",
        "ALMENARA_LOG_FORMAT": "json",
        # The references store there.
        DATABASE_VARIABLE: f"sqlite://{place}/reference.sqlite3",
        # Nothing of a long log is purged while it is read.
        "ALMENARA_RETENTION_DAYS": "0",
        # As it is once it is installed: its byte code is on the disk.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def database_file(place: Path) -> Path:
    """Return where the server of this directory keeps its log."""
    return place / "data" / "almenara.sqlite3"


@contextmanager
def running(place: Path, arguments: Sequence[str] = SERVE) -> Iterator[Server]:
    """Run a server; with a plugin `Noop` that does nothing."""
    plugin = place / "plugins" / "noop" / "noop.py"
    if not plugin.exists():
        plugin.parent.mkdir(parents=True)
        plugin.write_text(_NOOP)
    output = place / "server.log"
    # What an earlier server of this directory wrote is none of this one's words.
    output.unlink(missing_ok=True)
    with served(arguments, output=output, environ=environ_of(place)) as (url, pid):
        yield Server(url, pid)


#: A server keeps an idle connection for longer than this, in seconds.
_KEPT_SECONDS = 30.0


class Client:
    """One keep-alive connection to a server, and how long each answer took."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._asked_at = 0.0

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def timed(self, method: str, path: str, body: object = None) -> tuple[float, Any]:
        """Ask, and return the seconds until the answer had come, and what it says.

        Raises:
            RuntimeError: it is refused.
        """
        content = b"" if body is None else json.dumps(body).encode()
        if time.monotonic() - self._asked_at > _KEPT_SECONDS:
            # The server may have hung up in the meantime.
            self._connection.close()
        self._asked_at = time.monotonic()
        began = time.perf_counter()
        self._connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        read = answer.read()
        took = time.perf_counter() - began
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} is answered with {answer.status}: {read[:500]!r}")
        return took, json.loads(read) if read else None

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask, and return what is answered."""
        return self.timed(method, path, body)[1]

    def prepare(self, topic: str, plugin: str | None = None, **settings: object) -> None:
        """Make a topic, and behind it a channel of the same name where a plugin is given."""
        if plugin is None:
            self.ask("PUT", f"/v1/topics/{topic}", {"channels": []})
        else:
            body = {"plugin": plugin, "settings": settings}
            self.ask("PUT", f"/v1/channels/{topic}", body)
            self.ask("PUT", f"/v1/topics/{topic}", {"channel": topic})

    def wait_until_finished(self, channel: str, seconds: float = 600) -> None:
        """Wait until nothing of a channel waits or is being sent.

        Raises:
            RuntimeError: it takes longer.
        """
        deadline = time.monotonic() + seconds
        for status in ("pending", "sending"):
            path = f"/v1/deliveries?channel={channel}&status={status}&limit=1"
            while self.ask("GET", path)["data"]:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the channel {channel} is still busy after {seconds} s")
                time.sleep(0.05)


@contextmanager
def client_of(server: Server) -> Iterator[Client]:
    """Connect to a server."""
    with closing(Client(server.url)) as client:
        yield client


def message_to(topic: str) -> dict[str, object]:
    """Return the body of a message such as a shop's bot would send."""
    return {
        "topic": topic,
        "title": "A question",
        "description": "I need help with my plan: which one has ten seats?",
        "tags": ["bench"],
        "data": {"plan": "large", "seats": 12},
    }
