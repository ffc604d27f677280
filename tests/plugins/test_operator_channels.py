"""The channels that act on the machine itself: they do what the operator allows, and no more."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks
from pydantic import ValidationError

from almenara import ChannelError, PermanentError, TemporaryError
from almenara.plugin import build_settings
from tests.plugins.shipped import a_message, load

#: Tells what it was given: its arguments, its environment, its input.
TELL = """
import json, os, sys
told = {"words": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd()}
told["input"] = sys.stdin.read()
open(sys.argv[1], "w").write(json.dumps(told))
print("reference 7")
print("more")
"""


def channel(directory: str, plugin: str, **values: Any) -> Any:
    cls = getattr(load(directory, directory), plugin)
    return cls(build_settings(cls, cls.Settings, values, None))


async def send(one: Any, **message: Any) -> Any:
    return await one.send_message(a_message(**message), BackgroundTasks())


def allow(monkeypatch: pytest.MonkeyPatch, **commands: list[str]) -> None:
    monkeypatch.setenv("COMMAND_ALLOWED", json.dumps(commands))


async def test_a_command_reads_the_message_and_is_told_little_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    told = tmp_path / "told"
    allow(monkeypatch, tell=[sys.executable, str(tmp_path / "tell.py"), str(told), "; ls $HOME"])
    monkeypatch.setenv("ALMENARA_SECRET_KEY", "hush")
    text = "$(touch /tmp/no) `x` 😀\nline"
    reference = await send(channel("command", "Command", name="tell"), title="T", description=text)
    found = json.loads(told.read_text())
    assert reference == "reference 7"
    assert found["words"] == [str(told), "; ls $HOME"]
    assert found["input"] == f"T\n{text}\n"
    assert found["cwd"] == "/"
    assert found["environ"]["MESSAGE_KEY"] == a_message().idempotency_key
    assert found["environ"]["MESSAGE_TOPIC"] == "pricing"
    kept = {name for name in found["environ"] if not name.startswith("MESSAGE_")}
    assert kept <= {"PATH", "LANG", "TZ", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}


async def test_a_command_may_read_the_whole_message(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, cat=["cat"])
    one = channel("command", "Command", name="cat", input="json")
    reference = await send(one, data={"a": [1]}, description="x")
    assert reference == a_message(data={"a": [1]}, description="x").model_dump_json()[:200]
    assert json.loads(one.preview(a_message())["input"])["description"] == "What does it cost?"


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("exit 65", PermanentError, "ended with 65"),
        ("echo set me up >&2; exit 78", ChannelError, "ended with 78: set me up"),
        ("echo first >&2; echo last >&2; exit 1", TemporaryError, "ended with 1: last"),
        ("kill -9 $$", TemporaryError, "ended by signal 9"),
        ("exit 75", TemporaryError, "ended with 75"),
    ],
)
async def test_what_a_command_ends_with_says_what_follows(
    monkeypatch: pytest.MonkeyPatch, script: str, kind: type[Exception], words: str
) -> None:
    allow(monkeypatch, one=["sh", "-c", script])
    with pytest.raises(kind, match=words) as caught:
        await send(channel("command", "Command", name="one"))
    assert type(caught.value) is kind


async def test_a_command_that_reads_nothing_is_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow(monkeypatch, true=["true"])
    assert await send(channel("command", "Command", name="true"), description="x" * 200_000) is None


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (None, "names no command 'one'"),
        ({"two": ["true"]}, "names no command 'one'"),
        ({"one": []}, "names no command 'one'"),
        ({"one": ["/no/such/command"]}, "cannot be run"),
        ("not json", "is not written as"),
        ({"one": "true"}, "is not written as"),
    ],
)
async def test_what_is_not_allowed_or_not_there_pauses_the_channel(
    monkeypatch: pytest.MonkeyPatch, allowed: Any, words: str
) -> None:
    if allowed is not None:
        text = allowed if isinstance(allowed, str) else json.dumps(allowed)
        monkeypatch.setenv("COMMAND_ALLOWED", text)
    with pytest.raises(ChannelError, match=words):
        await send(channel("command", "Command", name="one"))


async def test_what_a_command_has_started_ends_with_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    allow(monkeypatch, slow=["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"])
    sending = asyncio.create_task(send(channel("command", "Command", name="slow")))
    async with asyncio.timeout(10):
        while not (pid.exists() and pid.read_text().strip()):
            await asyncio.sleep(0.02)
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled()
        child = int(pid.read_text())
        while _lives(child):
            await asyncio.sleep(0.02)


def _lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and was not asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_channel_cannot_say_what_is_allowed(tmp_path: Path) -> None:
    tries: dict[str, dict[str, Any]] = {
        "Command": {"allowed": {"one": ["true"]}},
        "File": {"directory": str(tmp_path)},
    }
    for plugin, values in tries.items():
        cls = getattr(load(plugin.lower(), plugin.lower()), plugin)
        built = cls(build_settings(cls, cls.Settings, {"name": "one", **values}, None))
        with pytest.raises(ChannelError):
            await send(built)


# --- the file


async def test_a_message_is_a_line_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILE_DIRECTORY", str(tmp_path))
    one = channel("file", "File", name="sales.jsonl")
    first = await send(one, description="señal 😀\nline")
    second = await send(one, description="x")
    lines = (tmp_path / "sales.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["description"] == "señal 😀\nline"
    assert (first, second) == ("sales.jsonl:0", f"sales.jsonl:{len(lines[0].encode()) + 1}")
    assert (tmp_path / "sales.jsonl").stat().st_mode & 0o777 == 0o640 & ~_umask()
    text = channel("file", "File", name="sales.txt", lines="text")
    await send(text, title="T", description="a\r\nb")
    assert (tmp_path / "sales.txt").read_text() == "2026-11-02T09:30:00+00:00 T | a | b\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_many_at_once_tear_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILE_DIRECTORY", str(tmp_path))
    one = channel("file", "File", name="many")
    await asyncio.gather(*(send(one, description=f"{n} " * 2_000) for n in range(50)))
    lines = (tmp_path / "many").read_text().splitlines()
    assert sorted(int(json.loads(line)["description"].split()[0]) for line in lines) == [*range(50)]


async def test_a_file_that_cannot_be_written_pauses_the_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ChannelError, match="FILE_DIRECTORY is not set"):
        await send(channel("file", "File", name="x"))
    monkeypatch.setenv("FILE_DIRECTORY", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "directory").mkdir()
    for name in ("link", "directory"):
        with pytest.raises(ChannelError, match="cannot be written"):
            await send(channel("file", "File", name=name))
    assert not (tmp_path / "elsewhere").exists()


async def test_a_full_disk_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILE_DIRECTORY", "/dev")
    with pytest.raises(TemporaryError, match="No space left"):
        await send(channel("file", "File", name="full"))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 101, "a\0b", "~root"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(ValidationError):
        channel("file", "File", name=name)
