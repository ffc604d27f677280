"""The lines in which rings wait at RabbitMQ, and the settings that a worker must run with.

They are not a matter of taste: each is the answer to a loss that was reproduced, so a worker
refuses to start with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu import Exchange, Queue

from almenara.errors import ConfigurationError
from almenara.queues.rings import CONNECT_SECONDS, DEAD, HIGH, NORMAL

#: So many rings may wait in a line; a full one refuses more, and workers look by themselves.
_LONGEST_LINE = 10_000
#: A ring that is given back so often lies with the dead ones: it kills whoever takes it.
_DELIVERY_LIMIT = 20

_ROUTER = Exchange("almenara", type="direct", durable=True)
_GRAVEYARD = Exchange(DEAD, type="fanout", durable=True)
#: Kept to be looked at, the newest thousand.
DEAD_LINE = Queue(
    DEAD, _GRAVEYARD, queue_arguments={"x-queue-type": "quorum", "x-max-length": 1_000}
)


def _line(name: str) -> Queue:
    """Describe one of the two lines, as everybody must declare it."""
    return Queue(
        name,
        _ROUTER,
        routing_key=name,
        durable=True,
        queue_arguments={
            # Replicated, and synced before it is confirmed; a classic queue is neither.
            "x-queue-type": "quorum",
            "x-delivery-limit": _DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD,
            "x-max-length": _LONGEST_LINE,
            "x-overflow": "reject-publish",
        },
    )


LINES = (_line(HIGH), _line(NORMAL))

#: What a worker must run with.
REQUIRED: Mapping[str, Any] = {
    # A ring belongs to the broker until its deliveries are claimed.
    "task_acks_late": True,
    # Without it, `task_acks_late` loses what a killed process had (celery/celery#1628).
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    # A ring ends with the claim; what is in flight then must not be killed with the connection.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": CONNECT_SECONDS,
    # A broker that went silent is noticed within two of these, in seconds.
    "broker_heartbeat": 10,
    "broker_transport_options": {"confirm_publish": True},
    "task_queues": LINES,
    "task_default_queue": NORMAL,
    "task_create_missing_queues": False,
    "task_ignore_result": True,
    "result_backend": None,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_always_eager": False,
    "enable_utc": True,
}
#: The same as the options of `celery worker`.
_OPTIONS: Mapping[str, frozenset[object]] = {
    "prefetch_multiplier": frozenset({None, 1}),
    "autoscale": frozenset({None}),
}


def check_settings(conf: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse what loses or repeats deliveries.

    Args:
        conf: the Celery application's configuration.
        options: those of the command line.

    Raises:
        ConfigurationError: names every setting that is not as it must be.
    """
    wrong = [name for name, value in REQUIRED.items() if conf[name] != value]
    wrong += [
        f"--{name.replace('_', '-')}"
        for name, fine in _OPTIONS.items()
        if options.get(name) not in fine
    ]
    pool = options.get("pool") or options.get("pool_cls")
    if pool is not None and "prefork" not in f"{pool}":
        wrong.append("--pool")
    queues = options.get("queues") or []
    names = queues.split(",") if isinstance(queues, str) else list(queues)
    if not set(names) <= {HIGH, NORMAL}:
        wrong.append("--queues")
    if wrong:
        raise ConfigurationError(
            f"Celery is set up in a way that loses or repeats deliveries: {', '.join(wrong)}. "
            "Leave these settings and options to Almenara."
        )
