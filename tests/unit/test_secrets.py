"""Secrets at rest: sealed with one key, for one place; found or made at the start."""

from __future__ import annotations

import base64
import errno
import json
import os
from pathlib import Path

import pytest

from almenara.errors import ConfigurationError
from almenara.secrets import MASK, Vault, is_sealed, masked, open_vault
from almenara.settings import read_settings
from tests.serving import SECRET_KEY, make_settings

VAULT = Vault(b"k" * 32)
SECRET = "hunter22-very-secret"


def sealed(place: str = "channel-1", vault: Vault = VAULT) -> dict[str, object]:
    return vault.seal({"password": SECRET, "server": "mail"}, {"password"}, place=place)


@pytest.mark.parametrize("value", [SECRET, "", "ünï 漢字", None, 42, True, ["a", "b"], {"a": [1]}])
def test_a_sealed_value_opens_as_it_was(value: object) -> None:
    closed = VAULT.seal({"password": value, "port": 25}, {"password", "absent"}, place="one")
    assert closed["port"] == 25
    assert is_sealed(closed["password"])
    assert VAULT.open(closed, place="one") == {"password": value, "port": 25}


def test_what_is_stored_does_not_hold_the_secret_and_differs_each_time() -> None:
    one, other = json.dumps(sealed()), json.dumps(sealed())
    assert SECRET not in one
    assert base64.b64encode(SECRET.encode()).decode().rstrip("=")[:-1] not in one
    assert one != other


def test_a_value_copied_to_another_channel_does_not_open() -> None:
    with pytest.raises(ConfigurationError, match="'password' does not open"):
        VAULT.open(sealed("channel-1"), place="channel-2")


def test_a_value_copied_to_another_field_does_not_open() -> None:
    with pytest.raises(ConfigurationError, match="'username' does not open"):
        VAULT.open({"username": sealed()["password"]}, place="channel-1")


def test_another_key_is_refused_with_a_sentence_without_the_value() -> None:
    closed = sealed()
    with pytest.raises(ConfigurationError) as refused:
        Vault(b"x" * 32).open(closed, place="channel-1")
    assert "sealed with another key" in refused.value.message
    assert "ALMENARA_SECRET_KEY" in refused.value.message
    stored = json.dumps(closed["password"]).strip('{}" ').rpartition('"')[2]
    assert stored not in refused.value.message
    assert SECRET not in refused.value.message


@pytest.mark.parametrize("stored", ["", "v1.", "v1.!!!", "v1.AAAA", "v1." + "A" * 64, "v1.ü"])
def test_what_is_damaged_is_refused_like_another_key(stored: str) -> None:
    with pytest.raises(ConfigurationError, match="'password' does not open"):
        VAULT.open({"password": {"$sealed": stored}}, place="channel-1")


@pytest.mark.parametrize(
    "value", [None, "", MASK, "$sealed", ["$sealed"], {}, {"$sealed": "a", "b": 1}, {"b": 1}]
)
def test_what_looks_otherwise_is_not_sealed(value: object) -> None:
    assert not is_sealed(value)
    assert masked({"name": value}) == {"name": value}
    assert VAULT.open({"name": value}, place="one") == {"name": value}


def test_what_is_shown_is_masked() -> None:
    assert masked(sealed()) == {"password": MASK, "server": "mail"}


def test_the_key_file_is_made_once_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    closed = sealed(vault=open_vault(settings))
    file = settings.data_dir / "secret.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(base64.b64decode(file.read_text())) == 32
    written = file.read_bytes()
    assert open_vault(settings).open(closed, place="channel-1")["password"] == SECRET
    assert file.read_bytes() == written


def test_two_new_installations_have_two_keys(tmp_path: Path) -> None:
    closed = sealed(vault=open_vault(make_settings(tmp_path / "one")))
    with pytest.raises(ConfigurationError, match="another key"):
        open_vault(make_settings(tmp_path / "two")).open(closed, place="channel-1")


def test_the_key_of_the_environment_makes_no_file(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, secret_key=SECRET_KEY)
    open_vault(settings)
    assert not (settings.data_dir / "secret.key").exists()


@pytest.mark.parametrize(
    "key",
    [
        "short",
        "not base64 at all!",
        base64.b64encode(b"x" * 31).decode(),
        base64.b64encode(b"x" * 33).decode(),
        "ü" * 32,
        SECRET_KEY[:-1],
    ],
)
def test_a_bad_key_is_refused_with_the_command_that_makes_one(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_vault(make_settings(tmp_path, secret_key=key))
    assert refused.value.message.startswith("ALMENARA_SECRET_KEY is not 32 bytes in base64")
    assert "openssl rand -base64 32" in refused.value.message
    assert key not in refused.value.message


@pytest.mark.parametrize("content", [b"", b"short\n", bytes(range(200, 232)), b"\x00" * 44])
def test_a_bad_key_file_is_named_and_never_overwritten(tmp_path: Path, content: bytes) -> None:
    settings = make_settings(tmp_path)
    file = settings.data_dir / "secret.key"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        open_vault(settings)
    assert f"{file} is not 32 bytes in base64" in refused.value.message
    assert file.read_bytes() == content


def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    (settings.data_dir / "secret.key").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"secret\.key cannot be read: Is a directory"):
        open_vault(settings)


def test_a_key_file_that_was_begun_on_a_full_disk_is_made_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="No space left"):
                open_vault(settings)
    closed = sealed(vault=open_vault(settings))
    assert open_vault(settings).open(closed, place="channel-1")["password"] == SECRET
    assert [file.name for file in settings.data_dir.iterdir()] == ["secret.key"]


def test_on_postgresql_the_key_must_be_given() -> None:
    settings = read_settings({"ALMENARA_DATABASE_URL": "postgres://user@localhost/name"})
    with pytest.raises(ConfigurationError, match="Set ALMENARA_SECRET_KEY, the same in every"):
        open_vault(settings)
