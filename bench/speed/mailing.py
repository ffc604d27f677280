"""Mail to many: what a channel delivers, beside a connection and a rendering for each recipient.

Both sides send to the same mail server, a process of the bench on loopback, which counts. Ours is
`almenara serve` with a channel of the plugin Email on SQLite: messages are posted over HTTP, each
to a hundred recipients, and the clock runs until the last recipient's mail was taken. The other
side has its mail at hand, and needs only to send it.
"""

from __future__ import annotations

import http.client
import json
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from bench.fleet.stage import SERVE
from bench.processes import put, server
from bench.speed.figure import Figure, Measured, alternate
from bench.speed.size import Context

RECEIVER = ("-m", "bench.speed.smtp_receiver")
REFERENCE = ("-m", "bench.references.mail_each")

_RECIPIENTS = 100
#: So many messages are posted before it is looked whether their mails arrived.
_AT_A_TIME = 40
#: Threads of the other side: as many as a channel has connections.
_AT_ONCE = 4
_LOOK_SECONDS, _TOO_LONG_SECONDS = 0.005, 60

_SUBJECT = "The prices of this week"
_TEXT = """Hello, these are **the prices of this week**, from [the shop](https://shop.example.org).

- The small plan: 10 euros a month, for *one* seat.
- The large plan: 80 euros a month, for up to twelve seats.

"""
_TEXT += "Whoever orders before Friday pays the old price until the end of the year. " * 16

_OTHERS = "a connection and a rendering for each mail"
TO = Figure("mail to recipients that a message names", _OTHERS, 8)
LIST = Figure("mail to the recipients of a channel", _OTHERS, 8)


@dataclass(frozen=True)
class _Place:
    """Where both sides send to, and what posts to ours."""

    mail_port: int
    url: str
    #: A connection to the mail server, to ask it what came.
    asking: smtplib.SMTP
    numbers: Iterator[int] = field(default_factory=count)

    def deliver(self, figure: Figure, seconds: float) -> float:
        """Post messages for a while; return how many recipients a second got their mail."""
        before, mails, begun = self._counts(), 0, time.perf_counter()
        while mails == 0 or time.perf_counter() - begun < seconds:
            _post(self.url, [self._body(figure) for _ in range(_AT_A_TIME)])
            mails += _AT_A_TIME
            while self._counts()["mails"] < before["mails"] + mails:
                if time.perf_counter() - begun > seconds + _TOO_LONG_SECONDS:
                    break
                time.sleep(_LOOK_SECONDS)
        took = time.perf_counter() - begun
        self._check(before, mails=mails, recipients=mails * _RECIPIENTS)
        return mails * _RECIPIENTS / took

    def send_each(self, seconds: float) -> float:
        """Let the other side send for a while; return how many a second got their mail."""
        before = self._counts()
        finished = subprocess.run(
            [sys.executable, *REFERENCE, str(self.mail_port), str(seconds), str(_AT_ONCE)],
            input=f"{_SUBJECT}\n{_TEXT}",
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        mails, took = finished.stdout.split()
        self._check(before, mails=int(mails), recipients=int(mails))
        return int(mails) / float(took)

    def _counts(self) -> dict[str, int]:
        """Ask the mail server what came so far."""
        counts: dict[str, int] = json.loads(self.asking.docmd("XCOUNT")[1])
        return counts

    def _check(self, before: dict[str, int], **wanted: int) -> None:
        """Refuse a measurement in which not each mail arrived, once, at each recipient."""
        now = self._counts()
        came = {name: now[name] - before[name] for name in wanted}
        if came != wanted:
            raise RuntimeError(f"Not each mail arrived once: {came} instead of {wanted}.")

    def _body(self, figure: Figure) -> bytes:
        """Make a message; recipients that it names are others each time."""
        body = {"title": _SUBJECT, "description": _TEXT, "format": "markdown"}
        if figure is LIST:
            return json.dumps({"channel": "list", **body}).encode()
        to = [f"customer-{next(self.numbers)}@example.org" for _ in range(_RECIPIENTS)]
        return json.dumps({"channel": "named", "to": to, **body}).encode()


def measure(context: Context) -> Iterable[Measured]:
    """Measure mail to recipients of a message, who do not see each other, and of a channel."""
    seconds = context.size.seconds / 2  # two figures in the time of one
    with _served(context.place("mailing")) as place:
        for figure in (TO, LIST):
            place.deliver(figure, 0)  # opens connections, and loads what is loaded late
            yield alternate(
                figure,
                ("almenara", partial(place.deliver, figure, seconds)),
                ("each on its own", partial(place.send_each, seconds)),
                rounds=context.size.rounds,
                counted="recipients/s",
                remark=f"One mail of text and HTML for each message, to {_RECIPIENTS} recipients.",
            )


@contextmanager
def _served(directory: Path) -> Iterator[_Place]:
    """Serve the mail server, and Almenara with a channel of each kind."""
    for name in ("receiver", "almenara"):
        (directory / name).mkdir()
    with (
        server(RECEIVER, directory / "receiver") as mail_server,
        server(SERVE, directory / "almenara") as url,
    ):
        port = urlsplit(mail_server).port
        assert port is not None
        members = [f"member-{number}@example.org" for number in range(_RECIPIENTS)]
        settings = {"server": "127.0.0.1", "port": port, "from": "shop@example.org"}
        for name, own in {
            "list": {"to": members},
            "named": {
                "to": "desk@example.org",
                "allow_to": "*@example.org",
                "hide_recipients": True,
            },
        }.items():
            body = {"plugin": "Email", "settings": settings | own}
            put(f"{url}/v1/channels/{name}", body)
        with smtplib.SMTP("127.0.0.1", port, local_hostname="bench", timeout=30) as asking:
            yield _Place(port, url, asking)


def _post(url: str, bodies: list[bytes]) -> None:
    """Post messages one after the other, over one connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        for body in bodies:
            connection.request("POST", "/v1/messages", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            words = answer.read()
            if answer.status != http.HTTPStatus.ACCEPTED:
                raise RuntimeError(f"A message was not accepted: {words.decode()}")
    finally:
        connection.close()
