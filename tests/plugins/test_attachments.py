"""Files of a message, through each channel that carries them, to a real server that reads them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara import Attachment, Message, PermanentError, Receipt
from almenara.egress import Egress, configure
from almenara.plugin import build_settings
from almenara.testing import Answer, FakeService, SmtpSink
from tests.forms import FilePart, form_of
from tests.plugins.shipped import DIRECTORY, a_message, email_channel, load
from tests.plugins.shipped import send as send_mail

LARGE = bytes(range(256)) * 1_200
NAME = 'año "2" 😀.bin'
OCTETS = "application/octet-stream"
NOTE = "Attached, but not sent by this channel: "
URL = "http://127.0.0.1"

#: Those that carry files, by their directories; the others' READMEs say the same words.
CARRYING = {
    "almenara": "Almenara",
    "command": "Command",
    "discord": "Discord",
    "email": "Email",
    "pushover": "Pushover",
    "telegram": "Telegram",
    "webhook": "Webhook",
}
NOT_SENT = "Attachments are not sent: a note under the text names them."


@pytest.fixture
def receiver() -> Iterator[FakeService]:
    with FakeService(Answer(200, {})) as receiver:
        yield receiver


@pytest.fixture(autouse=True)
async def _egress() -> AsyncIterator[None]:
    """Let the channels reach loopback."""
    egress = Egress(["127.0.0.0/8"])
    configure(egress)
    yield
    configure(None)
    await egress.close()


def two_files() -> list[Attachment]:
    return [Attachment.of(NAME, LARGE), Attachment.of("b.txt", b"hello")]


def channel(plugin: str, url: str = URL, **changes: Any) -> Any:
    values: dict[str, dict[str, Any]] = {
        "Almenara": {"server": url, "topic": "sales"},
        "Discord": {"webhook_url": f"{url}/api/webhooks/1/x"},
        "Pushover": {"token": "t", "user": "u", "api_url": url},
        "Telegram": {"bot_token": "1:x", "chat_id": "7", "message_thread_id": 3, "api_url": url},
        "Webhook": {"url": url},
        "Command": {"name": "tell"},
    }
    cls = getattr(load(plugin.lower(), plugin.lower()), plugin)
    return cls(build_settings(cls, cls.Settings, values[plugin] | changes, None))


async def send(plugin: str, url: str, *files: Attachment, **changes: Any) -> str | None:
    message = a_message(**changes, attachments=list(files))
    taken = await channel(plugin, url).send_message(message, BackgroundTasks())
    assert not isinstance(taken, Receipt)
    return taken  # type: ignore[no-any-return]  # it is a plugin's


def shown(plugin: str, *files: Attachment, **changes: Any) -> Any:
    return channel(plugin).preview(a_message(**changes, attachments=list(files)))


# --- Discord


async def test_discord_gets_text_and_files_in_one_request(receiver: FakeService) -> None:
    receiver.answer = Answer(200, {"id": "12"})
    assert await send("Discord", receiver.url, *two_files()) == "12"
    [arrived] = receiver.received
    form = await form_of(arrived)
    payload = json.loads(str(form.pop("payload_json")))
    assert payload == {"content": "What does it cost?", "allowed_mentions": {"parse": []}}
    assert form == {
        "files[0]": FilePart(NAME, OCTETS, LARGE),
        "files[1]": FilePart("b.txt", "text/plain", b"hello"),
    }


async def test_discord_gets_ten_files_and_the_names_of_the_rest(receiver: FakeService) -> None:
    files = [Attachment.of(f"{number}.txt", b"same") for number in range(12)]
    await send("Discord", receiver.url, *files)
    form = await form_of(receiver.received[0])
    assert [*form][1:] == [f"files[{number}]" for number in range(10)]
    content = json.loads(str(form["payload_json"]))["content"]
    assert content.endswith(f"{NOTE}10.txt (4 B), 11.txt (4 B)")
    assert shown("Discord", *files)["files"] == [f"{number}.txt" for number in range(10)]


# --- Telegram


async def test_telegram_gets_one_file_with_its_text(receiver: FakeService) -> None:
    receiver.answer = Answer(200, {"ok": True, "result": {"message_id": 42}})
    file = Attachment.of(NAME, LARGE)
    assert await send("Telegram", receiver.url, file, title="T", priority=5) == "42"
    [arrived] = receiver.received
    assert arrived.target == "/bot1:x/sendDocument"
    assert await form_of(arrived) == {
        "chat_id": "7",
        "message_thread_id": "3",
        "disable_notification": "true",
        "parse_mode": "HTML",
        "caption": "<b>T</b>\nWhat does it cost?",
        "document": FilePart(NAME, OCTETS, LARGE),
    }


async def test_telegram_gets_files_as_one_group_with_the_text_under_it(
    receiver: FakeService,
) -> None:
    receiver.answer = Answer(200, {"ok": True, "result": [{"message_id": 8}, {"message_id": 9}]})
    assert await send("Telegram", receiver.url, *two_files()) == "8"
    [arrived] = receiver.received
    assert arrived.target == "/bot1:x/sendMediaGroup"
    form = await form_of(arrived)
    assert json.loads(str(form.pop("media"))) == [
        {"type": "document", "media": "attach://file0"},
        {
            "type": "document",
            "media": "attach://file1",
            "caption": "What does it cost?",
            "parse_mode": "HTML",
        },
    ]
    assert form == {
        "chat_id": "7",
        "message_thread_id": "3",
        "disable_notification": "false",
        "file0": FilePart(NAME, OCTETS, LARGE),
        "file1": FilePart("b.txt", "text/plain", b"hello"),
    }


async def test_a_text_that_is_no_caption_comes_to_telegram_as_a_file_too(
    receiver: FakeService,
) -> None:
    text = "ñ " * 3_000 + "end"
    await send("Telegram", receiver.url, *two_files(), description=text)
    form = await form_of(receiver.received[0])
    caption = json.loads(str(form["media"]))[-1]["caption"]
    assert len(caption) <= 1_024
    assert caption.endswith("…")
    assert form["file0"] == FilePart("message.txt", "text/plain", text.encode())
    assert form["file2"] == FilePart("b.txt", "text/plain", b"hello")
    assert shown("Telegram", *two_files(), description=text)["files"] == [
        "message.txt",
        NAME,
        "b.txt",
    ]


async def test_telegram_gets_no_empty_file_and_no_more_than_nine(receiver: FakeService) -> None:
    receiver.answer = Answer(200, {"ok": True, "result": []})
    files = [Attachment.of(f"{number}.txt", b"same") for number in range(10)]
    assert await send("Telegram", receiver.url, Attachment.of("none", b""), *files) is None
    form = await form_of(receiver.received[0])
    assert [name for name in form if name.startswith("file")] == [f"file{n}" for n in range(9)]
    assert f"{NOTE}9.txt (4 B), none (0 B)" in json.loads(str(form["media"]))[-1]["caption"]
    alone = shown("Telegram", Attachment.of("none", b""))
    assert alone["text"].endswith(f"{NOTE}none (0 B)")


# --- Pushover


async def test_pushover_gets_the_first_picture_and_the_names_of_the_rest(
    receiver: FakeService,
) -> None:
    picture = Attachment.of("ñ.png", LARGE)
    huge = Attachment(name="huge.png", media_type="image/png", size=5_242_881, sha256="0" * 64)
    receiver.answer = Answer(200, {"status": 1, "request": "r1"})
    files = [huge, Attachment.of("b.txt", b"hello"), picture, Attachment.of("c.png", b"x")]
    assert await send("Pushover", receiver.url, *files) == "r1"
    body = receiver.received[0].json()
    assert body["attachment_type"] == "image/png"
    assert base64.b64decode(body["attachment_base64"]) == LARGE
    assert body["message"].endswith(f"{NOTE}huge.png (5.0 MiB), b.txt (5 B), c.png (1 B)")
    assert "attachment_type" not in shown("Pushover", Attachment.of("b.txt", b"hello"))


# --- Almenara, Webhook


async def test_another_almenara_gets_the_files(receiver: FakeService) -> None:
    receiver.answer = Answer(202, {"id": "m1"})
    assert await send("Almenara", receiver.url, *two_files()) == "m1"
    body = receiver.received[0].json()
    assert [(one["name"], one["media_type"]) for one in body["attachments"]] == [
        (NAME, OCTETS),
        ("b.txt", "text/plain"),
    ]
    contents = [base64.b64decode(one["content"]) for one in body["attachments"]]
    assert contents == [LARGE, b"hello"]
    assert "content" not in shown("Almenara", *two_files())["attachments"][0]
    await send("Almenara", receiver.url)
    assert "attachments" not in receiver.received[1].json()


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_webhook_names_the_files_and_holds_them_if_wanted(
    receiver: FakeService, wanted: bool
) -> None:
    key = b"0123456789abcdefghijklmnopqrstuv"
    secret = f"whsec_{base64.b64encode(key).decode()}"
    hook = channel("Webhook", receiver.url, attachments=wanted, secret=secret)
    message = a_message(attachments=two_files())
    await hook.send_message(message, BackgroundTasks())
    [arrived] = receiver.received
    body = arrived.json()
    files = body["attachments"]
    assert files[0]["name"] == NAME
    assert (files[0]["size"], files[0]["sha256"]) == (
        len(LARGE),
        hashlib.sha256(LARGE).hexdigest(),
    )
    contents = [base64.b64decode(one.pop("content")) for one in files if "content" in one]
    assert contents == ([LARGE, b"hello"] if wanted else [])
    assert body == json.loads(message.model_dump_json())
    signed = f"{arrived.headers['webhook-id']}.{arrived.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(key, signed + arrived.body, hashlib.sha256).digest()
    assert arrived.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert json.loads(hook.preview(message)["body"]) == body


@pytest.mark.parametrize("plugin", ["Almenara", "Discord", "Pushover", "Telegram", "Webhook"])
async def test_what_is_too_large_for_a_service_is_given_up(
    receiver: FakeService, plugin: str
) -> None:
    receiver.answer = Answer(413, {"ok": False, "description": "Request Entity Too Large"})
    picture = Attachment.of("a.png", LARGE)
    with pytest.raises(PermanentError, match="413"):
        await send(plugin, receiver.url, picture)


# --- Command


async def test_a_command_is_told_of_files_or_reads_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import sys; open({str(tmp_path / 'told')!r}, 'wb').write(sys.stdin.buffer.read())"
    monkeypatch.setenv("COMMAND_ALLOWED", json.dumps({"tell": [sys.executable, "-c", code]}))

    async def told(input_: str) -> str:
        message = a_message(attachments=two_files())
        await channel("Command", input=input_).send_message(message, BackgroundTasks())
        return (tmp_path / "told").read_text(encoding="utf-8")

    first, second = json.loads(await told("json"))["attachments"]
    assert (first["name"], first["size"], set(first)) == (
        NAME,
        len(LARGE),
        {"name", "media_type", "size", "sha256"},
    )
    assert second["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert (await told("text")).endswith(f"{NOTE}{NAME} (300 KiB), b.txt (5 B)\n")


# --- Email


async def test_a_mail_has_the_files_beside_its_texts() -> None:
    with SmtpSink() as sink:
        async with email_channel(sink) as mail:
            await send_mail(mail, description="**b**", format="markdown", attachments=two_files())
    [arrived] = sink.mails
    assert arrived.parsed.get_content_type() == "multipart/mixed"
    assert (arrived.text, "<b>b</b>" in arrived.html) == ("b\n", True)
    read = [
        (one.get_filename(), one.get_content_type(), one.get_payload(decode=True))
        for one in arrived.parsed.iter_attachments()
    ]
    assert read == [(NAME, OCTETS, LARGE), ("b.txt", "text/plain", b"hello")]
    assert max(len(line) for line in arrived.content.split(b"\r\n")) <= 98


async def test_a_mail_that_is_too_large_is_given_up() -> None:
    with SmtpSink() as sink:
        sink.refuse("MAIL", "552 5.3.4 Message too big")
        async with email_channel(sink) as mail:
            with pytest.raises(PermanentError, match="552"):
                await send_mail(mail, attachments=two_files())
    assert sink.mails == []


def rendered(*files: tuple[Attachment, bytes]) -> bytes:
    rendering = load("email", "rendering")
    message: Message = a_message(attachments=[one for one, _ in files])
    content: bytes = rendering.render(
        message,
        sender=rendering.Sender("shop@example.org"),
        recipients=["ana@example.org"],
        now=message.created_at,
        contents=[content for _, content in files],
    ).content
    return content


@settings(max_examples=60)
@given(st.text(max_size=255), st.binary(max_size=300), st.text(max_size=30))
def test_a_mail_is_correct_for_any_name_any_content_and_any_type(
    name: str, content: bytes, media_type: str
) -> None:
    mail = rendered((Attachment.of(name, content, media_type or "/"), content))
    assert mail.isascii()
    lines = mail.split(b"\r\n")
    assert not any(b"\n" in one or b"\r" in one or len(one) > 98 for one in lines)
    text, file = message_from_bytes(mail).get_payload()  # type: ignore[misc]  # two parts
    assert file.keys() == ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding"]
    assert file.get_payload(decode=True) == content
    clean = load("email", "rendering").clean(name) or "file"
    assert file.get_filename() == clean
    assert text.get_payload(decode=True) == b"What does it cost?\r\n"


@pytest.mark.parametrize(
    ("media_type", "written"),
    [
        ("image/PNG", "image/png"),
        ("message/rfc822", OCTETS),
        ("multipart/mixed", OCTETS),
        ("text/plain\r\nBcc: evil@example.org", OCTETS),
        (f"a/{'b' * 300}", OCTETS),
    ],
)
def test_a_type_that_cannot_stand_in_a_mail_is_written_as_bytes(
    media_type: str, written: str
) -> None:
    mail = message_from_bytes(rendered((Attachment.of("a", b"--x", media_type), b"--x")))
    assert mail.get_payload()[1].get_content_type() == written  # type: ignore[index, union-attr]  # parts
    assert "Bcc" not in mail.as_string()


def test_the_preview_of_a_mail_names_the_files() -> None:
    cls = load("email", "email").Email
    values = {"server": "h", "from": "a@example.org", "to": "b@example.org"}
    mail = cls(build_settings(cls, cls.Settings, values, None))
    assert mail.preview(a_message(attachments=two_files()))["attachments"] == f"{NAME}, b.txt"
    assert "attachments" not in mail.preview(a_message())


# --- all of them


def test_each_readme_says_what_becomes_of_attachments() -> None:
    for directory in DIRECTORY.iterdir():
        if not (directory / "README.md").exists():
            continue
        name = directory.name
        readme = " ".join((directory / "README.md").read_text(encoding="utf-8").split())
        assert "## Attachments" in readme, name
        assert (NOT_SENT in readme) == (name not in CARRYING), name
    for name, plugin in CARRYING.items():
        assert getattr(load(name, name), plugin).carries_attachments is True
