"""Each text through each text field: it is read back as it was written, or it was refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from bench.fuzz.outcome import Outcome
from bench.fuzz.texts import CONDITIONS, FIELDS

_AT_ONCE = 16
_STORED = {200, 201, 202}
#: 404 and 405 are for texts in an address that make another address of it.
_REFUSED = {400, 404, 405, 422}


async def fuzz_texts(url: str, token: str, texts: Sequence[str]) -> list[Outcome]:
    """Write each text into each field, and read it again.

    Args:
        url: where the server is, which has a channel ``log``.
        token: may do everything.
        texts: those of ``bench.fuzz.texts``, or some.
    """
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        writer = _Writer(url, session)
        return [
            await writer.messages(texts),
            await writer.names(texts),
            await writer.conditions(texts),
            await writer.reasons(texts),
            await writer.queries(texts),
            await writer.keys(texts),
        ]


class _Writer:
    """Somebody who writes strange things."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def messages(self, texts: Sequence[str]) -> Outcome:
        """Through the fields of a message, one at a time."""
        outcome = Outcome("texts in messages")

        async def write(field: str, text: str) -> None:
            members = FIELDS[field](text)
            body = {"channel": "log", "description": "x", **members}
            status, answer = await self._call("POST", "/v1/messages", body)
            if not self._taken(outcome, f"{field} = {text!r}", status, answer):
                return
            _, story = await self._call("GET", f"/v1/messages/{answer['id']}")
            if any(story.get(name) != value for name, value in members.items()):
                outcome.note(f"{field} = {text!r} came back as {story.get(next(iter(members)))!r}")

        await _each((write(field, text) for field in FIELDS for text in texts), outcome)
        return outcome

    async def names(self, texts: Sequence[str]) -> Outcome:
        """Through the names of topics and channels, in the body and in the address."""
        outcome = Outcome("texts as names")

        async def write(kind: str, body: dict[str, Any], text: str) -> None:
            named = f"the name of one of the {kind} = {text!r}"
            for method, path, sent in (
                ("POST", f"/v1/{kind}", {"name": text, **body}),
                ("PUT", f"/v1/{kind}/{_quoted(text)}", body),
            ):
                status, answer = await self._call(method, path, sent)
                if status == 409 or not self._taken(outcome, named, status, answer):
                    continue
                if answer["name"] != text.strip().lower():
                    outcome.note(f"{named} became {answer['name']!r}")
            await self._call("DELETE", f"/v1/{kind}/{_quoted(text)}?force=true")

        kept = {"log", "almenara.failed"}
        bodies: dict[str, dict[str, Any]] = {
            "topics": {"channels": []},
            "channels": {"plugin": "Log"},
        }
        await _each(
            (
                write(kind, body, text)
                for kind, body in bodies.items()
                for text in texts
                if text.strip().lower() not in kept
            ),
            outcome,
            at_once=1,
        )
        return outcome

    async def conditions(self, texts: Sequence[str]) -> Outcome:
        """Through the conditions of a topic."""
        outcome = Outcome("texts in conditions")

        async def write(kind: str, text: str) -> None:
            condition = CONDITIONS[kind](text)
            body = {"channels": [{"channel": "log", "condition": condition}]}
            status, answer = await self._call("PUT", "/v1/topics/fuzzed", body)
            if self._taken(outcome, f"{kind} = {text!r}", status, answer):
                [step] = answer["channels"]
                if step["condition"] != condition:
                    outcome.note(f"{kind} = {text!r} came back as {step['condition']!r}")

        await _each(
            (write(kind, text) for kind in CONDITIONS for text in texts), outcome, at_once=1
        )
        await self._call("DELETE", "/v1/topics/fuzzed")
        return outcome

    async def reasons(self, texts: Sequence[str]) -> Outcome:
        """Through what an operator writes on pausing a channel."""
        outcome = Outcome("texts as reasons")
        await self._call("PUT", "/v1/channels/fuzzed", {"plugin": "Log"})

        async def write(text: str) -> None:
            path = "/v1/channels/fuzzed"
            status, answer = await self._call("POST", f"{path}/pause", {"reason": text})
            if self._taken(outcome, f"reason = {text!r}", status, answer):
                if answer["state_detail"] != text:
                    outcome.note(f"reason = {text!r} came back as {answer['state_detail']!r}")
                await self._call("POST", f"{path}/resume")

        await _each((write(text) for text in texts), outcome, at_once=1)
        await self._call("DELETE", "/v1/channels/fuzzed?force=true")
        return outcome

    async def queries(self, texts: Sequence[str]) -> Outcome:
        """Through the filters of the lists: what was stored with a reference is found by it."""
        outcome = Outcome("texts in queries")

        async def ask(path: str, text: str) -> None:
            status, answer = await self._call("GET", path + _quoted(text))
            if self._taken(outcome, f"{path}{text!r}", status, answer) and "reference=" in path:
                strangers = {one["reference"] for one in answer["data"]} - {text}
                if strangers:
                    outcome.note(f"{path}{text!r} found {strangers!r}")

        paths = [
            *(f"/v1/messages?{name}=" for name in ("q", "topic", "channel", "reference", "cursor")),
            *(f"/v1/deliveries?{name}=" for name in ("channel", "topic", "since", "replay")),
            *(f"/v1/audit?{name}=" for name in ("object", "subject", "action", "until")),
            *("/v1/messages/", "/v1/deliveries/", "/v1/channels/", "/v1/topics/"),
        ]
        await _each((ask(path, text) for path in paths for text in texts), outcome)
        return outcome

    async def keys(self, texts: Sequence[str]) -> Outcome:
        """Through the header `Idempotency-Key`."""
        outcome = Outcome("texts as idempotency keys")

        async def write(number: int, text: str) -> None:
            body = {"channel": "log", "description": f"{number}"}
            first, again = [
                await self._call("POST", "/v1/messages", body, {"Idempotency-Key": text})
                for _ in range(2)
            ]
            taken = self._taken(outcome, f"Idempotency-Key = {text!r}", *first)
            if taken and again[1]["id"] != first[1]["id"]:
                outcome.note(f"Idempotency-Key = {text!r} made two messages")

        # No client writes controls into a header, or what Latin-1 has no letter for.
        able = [
            text
            for text in texts
            if all(" " <= one <= "~" or "\xa0" <= one <= "\xff" for one in text)
        ]
        distinct = list(dict.fromkeys(text.strip() for text in able))
        await _each((write(*one) for one in enumerate(distinct)), outcome, at_once=1)
        return outcome

    def _taken(self, outcome: Outcome, what: str, status: int, answer: Any) -> bool:
        """Tell whether it was stored; note what is neither that nor refused with a problem."""
        if status in _STORED:
            return True
        if status not in _REFUSED or not isinstance(answer, dict) or not answer.get("code"):
            outcome.note(f"{what}: {status} {answer!r}")
        return False

    async def _call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Call, with a path that is escaped already."""
        async with self._session.request(
            method,
            URL(self._url + path, encoded=True),
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
            allow_redirects=False,
        ) as answer:
            text = await answer.text()
            try:
                return answer.status, json.loads(text) if text else None
            except json.JSONDecodeError:
                return answer.status, text


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


async def _each(
    tries: Iterable[Awaitable[None]], outcome: Outcome, *, at_once: int = _AT_ONCE
) -> None:
    """Await them all, some at once, and count them."""
    waiting = iter(tries)

    async def work() -> None:
        for one in waiting:
            outcome.cases += 1
            await one

    await asyncio.gather(*(work() for _ in range(at_once)))
