"""The bell over RabbitMQ and the worker that hears it, by Celery; no other file knows Celery."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from amqp.exceptions import (
    AccessRefused,
    AMQPError,
    ChannelError,
    MessageNacked,
    NotAllowed,
    NotFound,
    PreconditionFailed,
)
from billiard import active_children, current_process
from celery import Celery, bootsteps, signals
from celery.worker.consumer import Consumer
from kombu import Connection, Producer
from kombu.exceptions import KombuError, OperationalError

from almenara import __version__
from almenara.errors import ConfigurationError, UnavailableError
from almenara.queues.lines import DEAD_LINE, LINES, REQUIRED, check_settings
from almenara.queues.relay import Rung
from almenara.queues.rings import HIGH, NORMAL, TASK, Engine, hear_ring
from almenara.settings import Settings

#: The broker must confirm a ring within so many seconds.
_CONFIRM_SECONDS = 5.0


def make_celery(settings: Settings) -> Celery:
    """Make the Celery application that rings and that hears.

    Raises:
        ConfigurationError: there is no broker in the settings.
    """
    if settings.broker_url is None:
        raise ConfigurationError(
            "ALMENARA_BROKER_URL is not set. A worker is rung over RabbitMQ; without one, "
            "`almenara serve` sends by itself."
        )
    app = Celery("almenara", set_as_current=False)
    app.conf.update(REQUIRED, broker_url=settings.broker_url.get_secret_value())
    return app


def make_worker(settings: Settings, engine: Engine) -> Celery:
    """Make the Celery application of a worker.

    Args:
        engine: begun in every process of the pool, and told of every ring.

    Raises:
        ConfigurationError: there is no broker in the settings.
    """
    app = make_celery(settings)

    @app.task(name=TASK, ignore_result=True, shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def ring(rung: object, version: object = None) -> None:
        hear_ring(engine, rung, version)

    app.conf.worker_consumer = _Hearer
    app.steps["consumer"].add(_DeadLine)

    def check(options: Mapping[str, Any], **_: object) -> None:
        try:
            check_settings(app.conf, options)
            engine.check()
        except ConfigurationError as error:
            # Celery logs what a signal's receiver raises, and goes on; this it does not catch.
            print(error.message, file=sys.stderr)  # noqa: T201 - the log is not set up yet
            raise SystemExit(78) from error

    _connect(signals.celeryd_init, check)
    _connect(signals.worker_process_init, lambda **_: engine.begin(current_process().index))
    _connect(signals.worker_process_shutdown, lambda **_: engine.end())
    _connect(signals.worker_shutting_down, lambda **_: _end_at_once_if_asked_again())
    # Every line goes through our own log; Celery would set up another.
    _connect(signals.setup_logging, lambda **_: None)
    return app


class CeleryBell:
    """Rings workers over RabbitMQ; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_celery(settings)
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._blocked = False

    def ring(self, rung: Rung, *, urgent: bool) -> None:
        """Publish one ring, and return when the broker has it on disk.

        Raises:
            UnavailableError: the broker does not take it.
        """
        names = {channel: [str(one) for one in ids] for channel, ids in rung.items()}
        self._try(
            lambda producer: self._app.send_task(
                TASK,
                [names],
                {"version": __version__},
                queue=HIGH if urgent else NORMAL,
                producer=producer,
                ignore_result=True,
                argsrepr=", ".join(f"{channel}: {len(ids)}" for channel, ids in rung.items()),
                kwargsrepr="",
                retry=False,
                mandatory=True,
                confirm_timeout=_CONFIRM_SECONDS,
            )
        )

    def probe(self) -> None:
        """Look whether the broker has our lines.

        Raises:
            UnavailableError: it does not answer, or has not.
        """
        self._try(
            lambda producer: [line(producer.channel).queue_declare(passive=True) for line in LINES]
        )

    def version(self) -> str:
        """Return the version that the broker says it has, after :meth:`probe`."""
        said = self._connected().channel.connection.server_properties
        return str(said.get("version", "of an unknown version"))

    def close(self) -> None:
        """Hang up, at once: a broker that is away would not answer a goodbye."""
        if self._connection is not None:
            with suppress(Exception):
                self._connection.collect()
        self._connection = self._producer = None

    def _try(self, act: Callable[[Producer], object]) -> None:
        try:
            act(self._connected())
        except Exception as error:
            place = self._place()
            blocked, self._blocked = self._blocked, False
            self.close()
            if blocked:
                raise UnavailableError(
                    f"{place} takes no messages: its memory or disk alarm is on."
                ) from error
            if isinstance(error, (AMQPError, KombuError, OSError)):
                raise UnavailableError(f"{place} {_reason(error)}") from error
            raise

    def _connected(self) -> Producer:
        if self._producer is None:
            options = {
                "confirm_publish": True,
                "read_timeout": _CONFIRM_SECONDS,
                "write_timeout": _CONFIRM_SECONDS,
                "on_blocked": self._note_block,
                "on_unblocked": self._note_end_of_block,
            }
            self._connection = self._app.connection_for_write(transport_options=options)
            self._connection.connect()
            self._producer = Producer(self._connection.default_channel)
            for line in (DEAD_LINE, *LINES):
                line(self._producer.channel).declare()
        return self._producer

    def _note_block(self, _reason: object) -> None:
        self._blocked = True

    def _note_end_of_block(self) -> None:
        self._blocked = False

    def _place(self) -> str:
        connection = self._app.connection_for_write()
        return f"RabbitMQ at {connection.hostname}:{connection.port or 5672}"


class _Hearer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer, without its delays: 28 queues, and due times live in the database."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]  # same
        """The parts of a worker's connection."""

        default_steps = tuple(
            step
            for step in Consumer.Blueprint.default_steps
            if not step.endswith(":DelayedDelivery")
        )


class _DeadLine(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Makes the line of dead rings, whenever a worker has connected."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        """Declare it."""
        with consumer.connection.channel() as channel:
            DEAD_LINE(channel).declare()


_LET_IN = (
    "does not let us in: check the user, the password and the virtual host in ALMENARA_BROKER_URL, "
    "and the user's permissions."
)
#: The first that fits; the more special before what it is one of.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (MessageNacked, "refuses more rings: the line is full, so more workers are needed."),
    (
        PreconditionFailed,
        (
            "has one of our queues with other arguments; delete it (nothing is lost by that): it "
            "will be made anew."
        ),
    ),
    (AccessRefused, _LET_IN),
    (NotAllowed, _LET_IN),
    (NotFound, _LET_IN),
    (ChannelError, "has lost our queues; they are made anew by the next ring."),
    (TimeoutError, "does not answer in time."),
    (
        socket.gaierror,
        "cannot be reached: its name is not known; check the host in ALMENARA_BROKER_URL.",
    ),
    (
        ssl.SSLError,
        (
            "makes no TLS connection that can be trusted; write amqp:// for one without TLS, or "
            "check its certificate."
        ),
    ),
)


def _reason(error: Exception) -> str:
    """Say what is wrong with the broker, and what to do."""
    cause = error.__cause__ if isinstance(error, OperationalError) and error.__cause__ else error
    for kind, reason in _REASONS:
        if isinstance(cause, kind):
            return reason
    if "ACCESS_REFUSED" in str(cause):
        return _LET_IN
    if isinstance(cause, OSError) and cause.errno is None:
        return "is not RabbitMQ, or hangs up; check the port in ALMENARA_BROKER_URL."
    return (
        f"cannot be reached ({type(cause).__name__}); check ALMENARA_BROKER_URL, and that it runs."
    )


def _end_at_once_if_asked_again() -> None:
    """Let a second SIGTERM or Ctrl-C end the worker at once, as it ends a server.

    What is under way is found again by another process when its lease ends.
    """

    def end(*_: object) -> None:
        for child in active_children():
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _connect(moment: Any, receiver: Callable[..., None]) -> None:
    """Let a signal of Celery's call a function for as long as the process lives."""
    moment.connect(receiver, weak=False)
