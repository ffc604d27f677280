"""The contract of a plugin, tried against a service on this machine: what holds, and what does not.

One table says what a status means, for every channel that speaks HTTP. A plugin may know its
service better and differ; then its own tests say so.
"""

from __future__ import annotations

import asyncio
import json
import sysconfig
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from almenara.dispatch import Ended, verify_plugin
from almenara.errors import (
    ChannelError,
    PermanentError,
    RateLimitedError,
    SendError,
    TemporaryError,
)
from almenara.plugin import Receipt, build_settings, secret_fields, settings_class
from almenara.testing.messages import a_message, sending
from almenara.testing.service import Answer, FakeService

#: What a channel's settings are for a service at an address.
Values = Callable[[str], Mapping[str, Any]]

_GIVEN_UP: tuple[type[SendError], ...] = (PermanentError, ChannelError)
#: The table of statuses: what each of a service's answers comes to, by the errors that are right.
STATUSES: dict[int, tuple[type[SendError], ...]] = {
    302: _GIVEN_UP,
    400: _GIVEN_UP,
    401: _GIVEN_UP,
    403: _GIVEN_UP,
    404: _GIVEN_UP,
    410: _GIVEN_UP,
    429: (RateLimitedError,),
    500: (TemporaryError,),
    502: (TemporaryError,),
    503: (TemporaryError,),
}
#: The same of a silent check.
_REFUSED_CHECKS: dict[int, tuple[type[SendError], ...]] = {
    401: (ChannelError, PermanentError),
    503: (TemporaryError,),
}
#: Texts that break what was not written for them.
_TEXTS = (
    "😀 👩‍👩‍👧‍👦 \U0001f3f3\ufe0f",
    "שלום עולם, مرحبا",
    '<b>&amp;</b> "quotes" \\ %s {0} {{ x }} $HOME',
    "line\nline\r\n\ttab",
    "x" * 100_000,
)
#: Longer than this nothing here takes, in seconds.
_DEADLINE = 5.0
_WAIT = 7
#: Where code is that is no plugin's: ours, Python's, the libraries'.
_OTHERS = (
    str(Path(__file__).parent.parent),
    *(sysconfig.get_path(one) for one in ("stdlib", "purelib")),
)
_SHORTEST_SECRET = 6
_READABLE = "its settings can be read"


@dataclass(frozen=True)
class Finding:
    """One rule, and whether it holds."""

    rule: str
    ok: bool
    #: What was found where it does not.
    detail: str = ""


async def check_contract(
    plugin: type, values: Values, *, taken: Answer | None = None
) -> list[Finding]:
    """Try a plugin in every way that is known to go wrong, and return what was found.

    Args:
        plugin: the class.
        values: given the address of a service, the settings of a channel to it. A plugin whose
            settings do not use the address is not tried over HTTP.
        taken: what the service answers to a message that it takes; 200 with an empty object.
    """
    taken = taken or Answer(200, {})
    findings = [*_settings(plugin, values)]
    if any(one.rule == _READABLE and not one.ok for one in findings):
        return findings
    with FakeService(taken) as service:
        given = values(service.url)
        async with sending(plugin, given, timeout_seconds=_DEADLINE) as send:
            findings += [one async for one in _sends(plugin, send, service, given)]
            heard = bool(service.received)
            findings += [one async for one in _verifies(plugin, service, given)]
    if heard:
        async with sending(plugin, given, timeout_seconds=_DEADLINE) as send:
            ended = await send()
        findings.append(
            _error(
                "a service that is away is tried again",
                ended,
                (TemporaryError,),
                _secrets(plugin, given),
            )
        )
    return findings


def _settings(plugin: type, values: Values) -> list[Finding]:
    declared = settings_class(plugin)
    if declared is None:
        return [Finding("it takes no settings", ok=True)]
    found = []
    try:
        schema = declared.model_json_schema()
        bare = [
            name for name, one in schema.get("properties", {}).items() if "description" not in one
        ]
        found.append(
            Finding(
                "each setting says what it is for",
                ok=not bare,
                detail=f"write a description: {', '.join(bare)}" if bare else "",
            )
        )
        built = build_settings(plugin, declared, values("http://127.0.0.1:9"), None)
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return [*found, Finding(_READABLE, ok=False, detail="; ".join(wrong))]
    except Exception as error:  # noqa: BLE001 - a plugin's own checks may raise anything
        return [*found, Finding(_READABLE, ok=False, detail=_said(error))]
    shown = repr(built)
    open_ = [name for name in _secrets(plugin, values("http://127.0.0.1:9")) if name in shown]
    hidden = Finding("its settings hide their secrets", ok=not open_)
    return [*found, Finding(_READABLE, ok=True), hidden]


async def _sends(
    plugin: type, send: Any, service: FakeService, given: Mapping[str, Any]
) -> AsyncIterator[Finding]:
    ended = await send()
    yield Finding("a message is sent", ok=_is_sent(ended), detail=_told(ended))
    value = ended.value
    known = value is None or isinstance(value, str | Receipt)
    yield Finding("it returns a reference, a receipt or nothing", ok=known)
    refused = ""
    for text in _TEXTS:
        for format_ in ("text", "markdown", "html"):
            ended = await send(description=text, format=format_, title=None)
            if not refused and not _is_sent(ended):
                refused = f"{format_}, {text[:20]!r}: {_told(ended)}"
    yield Finding("any text is sent", ok=not refused, detail=refused)
    yield _preview(plugin, given)
    if not service.received:
        return
    secrets = _secrets(plugin, given)
    for status, kinds in STATUSES.items():
        echo = {"error": " ".join(secrets)}
        service.queue.append(Answer(status, echo, {"Retry-After": str(_WAIT)}))
        ended = await send()
        service.queue.clear()
        yield _error(f"{status} is {_named(kinds)}", ended, kinds, secrets)
        if status == HTTPStatus.TOO_MANY_REQUESTS and isinstance(ended.error, RateLimitedError):
            waits = ended.error.retry_after == _WAIT
            yield Finding("a Retry-After is kept", ok=waits, detail="" if waits else "it is lost")
    for body in (b"", b"<html>", b"[1]", b"null", b'{"id": {}}'):
        service.queue.append(Answer(200, body))
        ended = await send()
        service.queue.clear()
        fine = _is_sent(ended) or isinstance(ended.error, SendError)
        yield Finding(f"an answer of {body!r} breaks nothing", ok=fine, detail=_told(ended))


async def _verifies(
    plugin: type, service: FakeService, given: Mapping[str, Any]
) -> AsyncIterator[Finding]:
    """Try the silent check, where there is one that asks the service."""
    secrets = _secrets(plugin, given)
    for status, kinds in _REFUSED_CHECKS.items():
        heard = len(service.received)
        service.queue.append(Answer(status, {"error": " ".join(secrets)}))
        ended = await verify_plugin(
            lambda: _built(plugin, given),
            timeout_seconds=_DEADLINE,
            abandon=asyncio.get_running_loop().create_future(),
        )
        service.queue.clear()
        if len(service.received) == heard:
            yield Finding("it has no check that asks the service", ok=True)
            return
        rule = f"a check that is answered {status} fails as {_named(kinds)}"
        succeeded = ended.error is None and not ended.timed_out
        if succeeded:
            yield Finding(rule, ok=False, detail="it counts as a success")
        else:
            yield _error(rule, ended, kinds, secrets)


def _built(plugin: type, given: Mapping[str, Any]) -> Any:
    declared = settings_class(plugin)
    return plugin(build_settings(plugin, declared, given, None)) if declared else plugin()


def _preview(plugin: type, given: Mapping[str, Any]) -> Finding:
    preview = getattr(plugin, "preview", None)
    if preview is None:
        return Finding("it has no preview", ok=True)
    instance = _built(plugin, given)
    try:
        shown = json.dumps(instance.preview(a_message()))
    except Exception as error:  # noqa: BLE001 - a plugin's own code may raise anything
        return Finding("its preview is JSON", ok=False, detail=_said(error))
    told = [one for one in _secrets(plugin, given) if one in shown]
    return Finding("its preview tells no secret", ok=not told)


def _error(
    rule: str, ended: Ended, kinds: tuple[type[SendError], ...], secrets: Sequence[str]
) -> Finding:
    error = ended.error
    if error is None:
        return Finding(rule, ok=False, detail=_told(ended) or "it counts as sent")
    if not isinstance(error, kinds):
        return Finding(rule, ok=False, detail=f"it is a {type(error).__name__}")
    if any(one in str(error) for one in secrets):
        return Finding(rule, ok=False, detail="its text tells a secret")
    return Finding(rule, ok=True)


def _secrets(plugin: type, given: Mapping[str, Any]) -> list[str]:
    """Return the texts that must not be told; of an address, all but the host, which may be."""
    declared = settings_class(plugin)
    names = secret_fields(declared) if declared else frozenset()
    texts = [text for name in names if name in given for text in _texts(given[name])]
    texts = [urlsplit(text).path if "://" in text else text for text in texts]
    # What is short stands anywhere.
    return [text for text in texts if len(text) >= _SHORTEST_SECRET]


def _texts(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list | tuple):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def _is_sent(ended: Ended) -> bool:
    return ended.error is None and not ended.timed_out


def _told(ended: Ended) -> str:
    if ended.timed_out:
        return f"it had not ended after {_DEADLINE:g} s"
    return "" if ended.error is None else _said(ended.error)


def _said(error: BaseException) -> str:
    """Say what was raised, and by which line of the plugin, unless it was raised on purpose."""
    said = f"{type(error).__name__}: {error}"[:300]
    if isinstance(error, SendError):
        return said
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if not one.filename.startswith(_OTHERS)]
    return f"{said} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else said


def _named(kinds: tuple[type[SendError], ...]) -> str:
    return " or ".join(kind.__name__ for kind in kinds)
