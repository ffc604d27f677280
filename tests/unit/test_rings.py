"""What a worker refuses to start with, and what it makes of a ring that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from almenara import __version__, sending, worker
from almenara.errors import ConfigurationError, UnavailableError
from almenara.models import new_id
from almenara.queues import rings
from almenara.queues.celery import CeleryBell, make_celery, make_worker
from almenara.queues.lines import REQUIRED, check_settings
from almenara.queues.rings import hear_ring
from almenara.settings import Settings
from almenara.worker import Sender

DATABASE = SecretStr("postgres://nobody@127.0.0.1:9/none")


def settings(broker_url: str = "amqp://me:hush@127.0.0.1:9/") -> Settings:
    return Settings(database_url=DATABASE, broker_url=SecretStr(broker_url))


class Engine:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Sequence[UUID]]] = []
        self.trouble: Exception | None = None

    def check(self) -> None:
        """Nothing."""

    def begin(self, place: int) -> None:
        """Nothing."""

    def hear(self, rung: Mapping[str, Sequence[UUID]]) -> None:
        """Note it."""
        if self.trouble:
            raise self.trouble
        self.heard.append(rung)

    def end(self) -> None:
        """Nothing."""


#: For each setting, a value that loses, repeats or delays something.
WRONG: Mapping[str, Any] = {
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "worker_prefetch_multiplier": 4,
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "broker_connection_retry_on_startup": False,
    "broker_connection_max_retries": 3,
    "broker_connection_timeout": 60,
    "broker_heartbeat": 0,
    "broker_transport_options": {},
    "task_queues": (),
    "task_default_queue": "celery",
    "task_create_missing_queues": True,
    "task_ignore_result": False,
    "result_backend": "rpc://",
    "task_serializer": "pickle",
    "accept_content": ["pickle"],
    "task_always_eager": True,
    "enable_utc": False,
}


def test_the_workers_own_settings_are_what_they_must_be() -> None:
    check_settings(make_worker(settings(), Engine()).conf, {})


def test_every_setting_that_matters_is_tried_here() -> None:
    assert set(WRONG) == set(REQUIRED)


@pytest.mark.parametrize("name", WRONG)
def test_a_worker_refuses_another_setting(name: str) -> None:
    app = make_celery(settings())
    app.conf[name] = WRONG[name]
    with pytest.raises(ConfigurationError, match=f"repeats deliveries: {name}\\."):
        check_settings(app.conf, {})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"pool": "solo"}, "--pool"),
        ({"prefetch_multiplier": 8}, "--prefetch-multiplier"),
        ({"autoscale": "10,1"}, "--autoscale"),
        ({"queues": "celery,almenara.high"}, "--queues"),
        ({"queues": ["celery"]}, "--queues"),
    ],
)
def test_a_worker_refuses_an_option(options: Mapping[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"deliveries: {named}\\."):
        check_settings(make_celery(settings()).conf, options)


@pytest.mark.parametrize("options", [{"pool": "prefork"}, {"queues": "almenara.high"}])
def test_a_worker_takes_an_option_that_does_no_harm(options: Mapping[str, Any]) -> None:
    check_settings(make_celery(settings()).conf, options)


def test_a_line_is_replicated_bounded_and_has_a_place_for_the_dead() -> None:
    for line in REQUIRED["task_queues"]:
        assert line.durable
        assert line.queue_arguments["x-queue-type"] == "quorum"
        assert line.queue_arguments["x-delivery-limit"] >= 20
        assert line.queue_arguments["x-dead-letter-exchange"] == "almenara.dead"


def test_a_ring_is_handed_over() -> None:
    engine, one = Engine(), new_id()
    hear_ring(engine, {"slack": [str(one)], "mail": []}, __version__)
    assert engine.heard == [{"slack": [one], "mail": []}]


@pytest.mark.parametrize(
    "rung", [None, "slack", ["slack"], {"slack": ["no id"]}, {"slack": [7]}, {"slack": None}]
)
def test_a_ring_that_is_none_is_dropped(rung: object) -> None:
    engine = Engine()
    hear_ring(engine, rung, __version__)
    assert engine.heard == []


def test_a_ring_that_cannot_be_heard_is_dropped_as_the_scan_finds_what_it_named() -> None:
    engine = Engine()
    engine.trouble = UnavailableError()
    hear_ring(engine, {"slack": []}, __version__)


def test_another_version_is_told_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "_versions_seen", set())
    for _ in range(3):
        hear_ring(Engine(), {}, "0.0.7")
    assert capsys.readouterr().out.count("other_version") == 1


def test_a_broker_that_refuses_is_named_without_its_password() -> None:
    bell = CeleryBell(settings())
    for act in (bell.probe, lambda: bell.ring({"slack": []}, urgent=False)):
        with pytest.raises(UnavailableError) as caught:
            act()
        assert caught.value.message.startswith("RabbitMQ at 127.0.0.1:9 cannot be reached")
        assert "hush" not in caught.value.message
    bell.close()


def test_without_the_extra_the_command_to_install_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'almenara\[celery\]'"):
        worker.make_app(settings())


def test_a_sender_that_was_never_begun_hears_nothing_and_ends() -> None:
    sender = Sender(settings())
    with pytest.raises(UnavailableError):
        sender.hear({})
    sender.end()


def test_a_worker_module_has_nothing_but_an_app() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'celery_app'"):
        worker.celery_app  # type: ignore[attr-defined]  # noqa: B018 - looking is the test
