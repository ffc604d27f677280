"""The synchronous client: every operation as a method that returns its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from almenara.client import message_operations, set_up_operations
from almenara.client.calling import Caller
from almenara.client.pages import Pages
from almenara.client.steps import Steps

P = ParamSpec("P")
T = TypeVar("T")


def _method(operation: Callable[P, Steps[T]]) -> Callable[Concatenate[Caller, P], T]:
    @wraps(operation)
    def method(self: Caller, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(operation(*args, **kwargs))

    return method


def _listing(
    operation: Callable[P, Pages[T]],
) -> Callable[Concatenate[Caller, P], Iterator[T]]:
    @wraps(operation)
    def method(self: Caller, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        pages = operation(*args, **kwargs)
        while not pages.at_end:
            yield from self.run(pages.step())

    return method


class Client(Caller):
    """A running server: ``with Client("https://almenara.example.org", token) as client``.

    Several threads may use one. Each method raises what ``call`` does.
    """

    send = _method(message_operations.send)
    send_many = _method(message_operations.send_many)
    send_webhook = _method(message_operations.send_webhook)
    explain = _method(message_operations.explain)
    explain_webhook = _method(message_operations.explain_webhook)
    message = _method(message_operations.message)
    messages = _listing(message_operations.messages)
    wait = _method(message_operations.wait)
    cancel = _method(message_operations.cancel)
    resend = _method(message_operations.resend)
    attachment = _method(message_operations.attachment)
    delivery = _method(message_operations.delivery)
    deliveries = _listing(message_operations.deliveries)
    cancel_delivery = _method(message_operations.cancel_delivery)
    release = _method(message_operations.release)
    resend_delivery = _method(message_operations.resend_delivery)

    topics = _method(set_up_operations.topics)
    topic = _method(set_up_operations.topic)
    create_topic = _method(set_up_operations.create_topic)
    put_topic = _method(set_up_operations.put_topic)
    change_topic = _method(set_up_operations.change_topic)
    delete_topic = _method(set_up_operations.delete_topic)
    channels = _method(set_up_operations.channels)
    channel = _method(set_up_operations.channel)
    create_channel = _method(set_up_operations.create_channel)
    put_channel = _method(set_up_operations.put_channel)
    change_channel = _method(set_up_operations.change_channel)
    delete_channel = _method(set_up_operations.delete_channel)
    pause_channel = _method(set_up_operations.pause_channel)
    resume_channel = _method(set_up_operations.resume_channel)
    test_channel = _method(set_up_operations.test_channel)
    verify_channel = _method(set_up_operations.verify_channel)
    plugins = _method(set_up_operations.plugins)
    audit = _listing(set_up_operations.audit)
    create_replay = _method(set_up_operations.create_replay)
    try_replay = _method(set_up_operations.try_replay)
    replays = _listing(set_up_operations.replays)
    replay = _method(set_up_operations.replay)
    cancel_replay = _method(set_up_operations.cancel_replay)
    workers = _method(set_up_operations.workers)
    stats = _method(set_up_operations.stats)
    readiness = _method(set_up_operations.readiness)
