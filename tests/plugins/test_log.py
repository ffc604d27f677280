"""The log channel: one line a message, whatever stands in it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from fastapi import BackgroundTasks

from tests.plugins.shipped import a_message, load


@pytest.fixture(autouse=True)
def _listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="almenara.channel.log")


async def logged(caplog: pytest.LogCaptureFixture, **message: Any) -> logging.LogRecord:
    log = load("log", "log").Log()
    assert await log.send_message(a_message(**message), BackgroundTasks()) is None
    [record] = caplog.records
    return record


async def test_a_message_becomes_one_structured_line(caplog: pytest.LogCaptureFixture) -> None:
    record = await logged(caplog, title="Question", description="What does it cost?")
    assert record.name == "almenara.channel.log"
    assert record.levelname == "INFO"
    assert record.getMessage() == "pricing: Question: What does it cost?"
    assert {key: record.__dict__[key] for key in ("message_id", "topic", "channel")} == {
        "message_id": "0190aaaa-0000-7000-8000-000000000001",
        "topic": "pricing",
        "channel": "backoffice-mail",
    }
    assert record.__dict__["title"] == "Question"
    assert record.__dict__["description"] == "What does it cost?"


async def test_without_topic_and_title_the_channel_and_the_text_remain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = await logged(caplog, topic=None, description="hi")
    assert record.getMessage() == "backoffice-mail: hi"
    assert record.__dict__["title"] is None


async def test_a_message_cannot_forge_a_line_or_hide_a_part_of_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    evil = "a\r\nERROR forged\x1b[2K\x00\x7f\x85\u2028\u2029\u202e\u2066 %s %(name)s ñ 🦊 עברית"
    record = await logged(caplog, title=evil, description=evil)
    line = record.getMessage()
    assert line.splitlines() == [line]
    assert (
        r"a\r\nERROR forged\x1b[2K\x00\x7f\x85\u2028\u2029\u202e\u2066 %s %(name)s ñ 🦊 עברית"
        in line
    )
    json.dumps(record.__dict__["description"], ensure_ascii=False).encode("utf-8")


async def test_a_long_message_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    record = await logged(caplog, title="t" * 500, description="d" * 100_000)
    assert record.__dict__["title"] == "t" * 199 + "…"
    assert record.__dict__["description"] == "d" * 1999 + "…"
