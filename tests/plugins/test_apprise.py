"""Any service of the library apprise, within bounds: real requests, and what it may not do."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

import almenara
from almenara import ChannelError, PermanentError, RateLimitedError, TemporaryError
from almenara.dispatch import call_plugin
from almenara.plugin import build_settings, secret_fields
from almenara.testing import Answer, FakeService
from tests.plugins.shipped import a_message, load

SECRET = "s3cr3tt0ken"
DISCORD = f"discord://4444444444444444444/{SECRET}{'a' * 57}"

#: Makes a service of a URL, and says which files that opened.
LOOK = """
import sys
from almenara import SecretStr
from tests.plugins.shipped import load
sys.addaudithook(lambda event, about: event == "open" and print(about[0]))
service = load("apprise", "library").service_of(SecretStr(sys.argv[1]))
print("no template" if service is None or not len(service.template) else "a template")
"""


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeService]:
    monkeypatch.setenv("APPRISE_ALLOWED", "json, ntfy")
    with FakeService() as receiver:
        yield receiver


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the server's own log would get at its most talkative.

    pytest's listens to loggers that hand nothing on, too.
    """
    written = io.StringIO()
    handler, root = logging.StreamHandler(written), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(before)


def plugin_class() -> Any:
    return load("apprise", "apprise").Apprise


def built(*urls: str) -> Any:
    cls = plugin_class()
    return cls(build_settings(cls, cls.Settings, {"urls": list(urls)}, None))


async def send(channel: Any, **message: Any) -> Any:
    """Send as the server does: in a thread, while the loop, and in it the receiver, goes on."""
    abandon = asyncio.get_running_loop().create_future()
    ended = await call_plugin(
        channel, lambda: None, a_message(**message), timeout_seconds=30, abandon=abandon
    )
    if ended.error is not None:
        raise ended.error
    return ended.value


def url(receiver: FakeService, rest: str = "") -> str:
    return f"json://ana:{SECRET}@127.0.0.1:{receiver.port}/{SECRET}{rest}"


# --- what arrives


async def test_a_message_arrives_as_apprise_sends_it(receiver: FakeService) -> None:
    receipt = await send(
        built(url(receiver)), title="Sales", description="**Señal** 😀", format="markdown"
    )
    assert (receipt.reference, receipt.detail) == (None, None)
    [arrived] = receiver.received
    assert arrived.target == f"/{SECRET}"
    body = arrived.json()
    assert (body["title"], body["message"]) == ("Sales", "Señal 😀")
    assert (body["type"], body["attachments"]) == ("info", [])


async def test_another_service_speaks_its_own_way(receiver: FakeService) -> None:
    await send(built(f"ntfy://127.0.0.1:{receiver.port}/{SECRET}"), description="x" * 40_000)
    [arrived] = receiver.received
    assert arrived.json()["topic"] == SECRET
    # One message, cut: not several.
    assert len(arrived.json()["message"]) <= 7_800


async def test_the_priority_is_the_type(receiver: FakeService) -> None:
    channel = built(url(receiver))
    for number in range(1, 6):
        await send(channel, priority=number)
    found = [one.json()["type"] for one in receiver.received]
    assert found == ["failure", "warning", "info", "info", "info"]


# --- what fails


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, PermanentError),
        (400, PermanentError),
        (401, ChannelError),
        (403, ChannelError),
        (404, ChannelError),
        (410, ChannelError),
        (413, PermanentError),
        (429, RateLimitedError),
        (500, TemporaryError),
        (503, TemporaryError),
    ],
)
async def test_a_status_has_the_meaning_of_the_one_table_and_nothing_tells_the_url(
    receiver: FakeService, status: int, kind: type[Exception], log: io.StringIO
) -> None:
    target = f"http://127.0.0.1:{receiver.port}/elsewhere"
    receiver.answer = Answer(status, SECRET.encode(), {"Location": target, "X-Echo": SECRET})
    with pytest.raises(kind, match=r"json \(URL 1 of the channel\)") as caught:
        await send(built(url(receiver, "?redirect=yes&retry=5")), description=SECRET)
    assert type(caught.value) is kind
    said = "".join([*traceback.format_exception(caught.value), repr(caught.value), log.getvalue()])
    assert SECRET not in said
    # No redirect was followed, and nothing was tried again behind our back.
    assert len(receiver.received) == 1


async def test_no_connection_is_temporary_and_tells_nothing(
    receiver: FakeService, log: io.StringIO
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = f"json://ana:{SECRET}@127.0.0.1:{taken.getsockname()[1]}/{SECRET}"
        with pytest.raises(TemporaryError, match="gave no answer") as caught:
            await send(built(away))
    said = "".join([*traceback.format_exception(caught.value), repr(caught.value), log.getvalue()])
    assert SECRET not in said


async def test_who_has_it_does_not_get_it_again_for_another(receiver: FakeService) -> None:
    receiver.queue.extend([Answer(200), Answer(500)])
    receipt = await send(built(url(receiver, "/1"), url(receiver, "/2")))
    assert receipt.detail.startswith("Sent to 1 of 2 services. json (URL ")
    assert SECRET not in receipt.detail


async def test_who_comes_too_late_is_not_begun_with(
    receiver: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load("apprise", "apprise"), "_BEGINNING_SECONDS", -1.0)
    receipt = await send(built(url(receiver, "/1"), url(receiver, "/2")))
    assert receipt.detail == (
        "Sent to 1 of 2 services. json (URL 2 of the channel) was not tried, the others took too "
        "long."
    )
    assert len(receiver.received) == 1


async def test_no_thread_is_left(receiver: FakeService) -> None:
    await send(built(url(receiver)))
    assert not [one.name for one in threading.enumerate() if "Executor" in one.name]


async def test_what_fails_within_the_library_is_told_by_its_kind(
    receiver: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise

    channel = built(url(receiver))

    def notify(*_args: Any, **_more: Any) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(apprise.Apprise, "notify", notify)
    with pytest.raises(TemporaryError, match="KeyError") as caught:
        await send(channel)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_url_that_this_version_of_the_library_does_not_take_pauses_the_channel(
    receiver: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise

    channel = built(url(receiver))

    def instantiate(*_args: Any, **_more: Any) -> None:
        raise AttributeError(SECRET)

    monkeypatch.setattr(apprise.Apprise, "instantiate", instantiate)
    with pytest.raises(ChannelError, match=r"cannot use json \(URL 1 of the channel\)") as caught:
        await send(channel)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


# --- what it may not do


async def test_what_leads_anywhere_needs_the_operators_word(
    receiver: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = built(url(receiver))
    for allowed in ("", "jsons,ntfy"):
        monkeypatch.setenv("APPRISE_ALLOWED", allowed)
        with pytest.raises(ChannelError, match="APPRISE_ALLOWED"):
            await send(channel)
    assert receiver.received == []


def test_a_channel_cannot_say_what_is_allowed() -> None:
    cls = plugin_class()
    assert secret_fields(cls.Settings) == {"urls"} == cls.Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (SECRET, "must be a URL of Apprise's"),
        ("", "must be a URL of Apprise's"),
        (f"file:///{SECRET}", "cannot read this URL"),
        (f"nosuchservice://{SECRET}", "cannot read this URL"),
        (f"discord://{SECRET}", "cannot read this URL"),
        (f"syslog://{SECRET}", "acts on the machine itself"),
        (f"dbus://{SECRET}", "acts on the machine itself"),
        (f"windows://{SECRET}", "acts on the machine itself"),
        (f"{DISCORD}?template=/etc/passwd", "may name a file"),
        (f"{DISCORD}?Template=/etc/passwd", "may name a file"),
        (f"{DISCORD}?a=1&%74emplate=/etc/passwd", "may name a file"),
        (f"mailto://a:{SECRET}@x.org?pgpprv=/etc/passwd", "may name a file"),
        (f"json://[{SECRET}", "must be a URL of Apprise's"),
    ],
)
def test_a_wrong_url_is_refused_when_it_is_written(wrong: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        built(wrong)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_whatever_a_url_says_no_file_and_no_redirect_is_taken(tmp_path: Path) -> None:
    library = load("apprise", "library")
    (tmp_path / "passwd").write_text(SECRET)
    service = library.service_of(almenara.SecretStr(f"{DISCORD}?redirect=yes&retry=9&rto=600"))
    assert (service.redirects, service.retry, service.socket_read_timeout) == (False, 0, 4.0)
    # An audit hook cannot be taken out again, and while one is in, CPython 3.11 lets no two threads
    # be traced at the same moment: the second of them ends before it began.
    looked = subprocess.run(
        [sys.executable, "-c", LOOK, f"{DISCORD}?template={tmp_path / 'passwd'}"],
        cwd=Path(almenara.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    opened = looked.stdout.splitlines()
    assert opened[-1] == "no template"
    assert any("library" in name for name in opened)
    assert not any("passwd" in name for name in opened)


async def test_nothing_is_written_to_disk(
    receiver: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    await send(built(url(receiver, "?store=yes")))
    assert list(tmp_path.rglob("*")) == []


# --- what it knows of the library


def test_what_is_called_public_has_an_address_of_apprises_own() -> None:
    urls, library = load("apprise", "urls"), load("apprise", "library")
    library.service_of(almenara.SecretStr(DISCORD))
    from apprise.manager_plugins import NotificationManager

    manager = NotificationManager()
    manager.load_modules()
    for schema in urls.PUBLIC:
        plugin = manager[schema]
        assert "host" not in plugin.template_tokens, schema
        source = inspect.getsource(inspect.getmodule(plugin))
        for found in re.findall(r"https?://[^\s\"')]+", source):
            if "github" not in found:
                assert not set("{%") & set(found.split("/")[2]), (schema, found)


def test_whatever_may_name_a_file_is_known() -> None:
    urls = load("apprise", "urls")
    from apprise.manager_plugins import NotificationManager

    manager = NotificationManager()
    manager.load_modules()
    found = {
        name
        for schema in manager.schemas()
        for name, one in manager[schema].template_args.items()
        if one.get("private") and re.search(r"path|file", str(one.get("name")), re.IGNORECASE)
    }
    assert {"template", "pgpprv", "keyfile"} <= found <= urls.FILES


def test_without_the_library_a_channel_says_what_to_install(tmp_path: Path) -> None:
    """In a process of its own, in which it cannot be found."""
    program = (
        "import sys; sys.modules['apprise'] = None\n"
        "from pathlib import Path; from almenara.loader import Plugins\n"
        "plugins = Plugins(Path(sys.argv[1])); plugins.load()\n"
        "[one] = [one for one in plugins.found if one.name == 'Apprise']\n"
        "from almenara.loader.building import build\n"
        "try: build(one, {'urls': [sys.argv[2]]})\n"
        "except Exception as error: print(len(plugins.broken), error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), DISCORD],
        cwd=Path(almenara.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("0 ")
    assert "pip install 'almenara[apprise]'" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_loading_the_channel_does_not_import_the_library(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from almenara.loader import Plugins\n"
        "plugins = Plugins(Path(sys.argv[1])); plugins.load(); print('apprise' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(almenara.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_its_papers_are_in_order() -> None:
    directory = Path(almenara.__file__).parent / "plugins" / "apprise"
    readme = (directory / "README.md").read_text(encoding="utf-8")
    urls = load("apprise", "urls")
    for heading in ("## What to set", "## What arrives", "## What fails, and how"):
        assert heading in readme
    assert "| `urls` | `APPRISE_URLS` |" in readme
    lists = [set(one.split()) for one in re.findall(r"`([^`]+)`", readme)]
    assert urls.PUBLIC in lists
    assert urls.LOCAL in lists
    assert urlsplit(json.loads(re.search(r'"urls": (\[.*\])\}\}', readme)[1])[0]).scheme in (  # type: ignore[index]  # it fails then
        urls.PUBLIC
    )
    assert "APPRISE_URLS=" in (directory / ".env.example").read_text(encoding="utf-8")
