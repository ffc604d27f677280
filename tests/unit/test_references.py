"""Settings that only say where their value is: what is followed, and what never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from almenara.errors import InvalidInputError
from almenara.secrets.references import LARGEST_FILE, References


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    inside = tmp_path / "secrets"
    inside.mkdir()
    (inside / "token").write_text("from a file\n")
    (inside / "deep").mkdir()
    (inside / "deep" / "token").write_text("from a directory\r\n")
    (inside / "large").write_text("x" * (LARGEST_FILE + 1))
    (inside / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "outside").write_text("not for channels")
    (inside / "link").symlink_to(tmp_path / "outside")
    # As Kubernetes mounts secrets: through a link that stays inside.
    (inside / "..data").symlink_to("deep")
    return inside


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ("env:NAME", True),
        ("env:_name9", True),
        ("file:token", True),
        ("file:/run/secrets/a b", True),
        ("env:", False),
        ("env:two words", False),
        ("env:9", False),
        ("environment", False),
        (" env:NAME", False),
        ("file:", False),
        ("file: token", False),
        ("file:a\nb", False),
        (7, False),
        (None, False),
        (["env:NAME"], False),
    ],
)
def test_only_the_whole_of_a_text_is_a_reference(value: object, is_one: bool) -> None:
    assert References(None).is_one(value) is is_one


def test_references_are_followed_and_what_they_lead_to_is_hidden(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "from the environment")
    values = {
        "a": "env:SHOP_TOKEN",
        "b": "file:token",
        "c": f"file:{directory}/deep/token",
        "d": "file:..data/token",
        "e": "plain",
        "f": 7,
    }
    found, hidden = References(directory).follow(values)
    assert found == {
        "a": "from the environment",
        "b": "from a file",
        "c": "from a directory",
        "d": "from a directory",
        "e": "plain",
        "f": 7,
    }
    assert set(hidden) == {"from the environment", "from a file", "from a directory"}


NOWHERE = {
    "env:NOT_THERE": "set NOT_THERE in its environment",
    "file:none": "cannot be read (FileNotFoundError)",
    "file:deep": "cannot be read (IsADirectoryError)",
    "file:binary": "cannot be read (UnicodeDecodeError)",
    "file:large": "larger than 65,536 bytes",
    "file:a\0b": "cannot be read (ValueError)",
}
FORBIDDEN = {
    "env:ALMENARA_SECRET_KEY": "reads no ALMENARA_* variable",
    "env:almenara_database_url": "reads no ALMENARA_* variable",
    "file:../outside": "from ALMENARA_SECRETS_DIR alone",
    "file:/etc/passwd": "from ALMENARA_SECRETS_DIR alone",
    "file:link": "from ALMENARA_SECRETS_DIR alone",
    "file:deep/../../outside": "from ALMENARA_SECRETS_DIR alone",
}


@pytest.mark.parametrize(("value", "said"), [*NOWHERE.items(), *FORBIDDEN.items()])
def test_a_reference_that_leads_nowhere_names_its_field(
    directory: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("ALMENARA_SECRET_KEY", "k3y-of-the-server")
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(InvalidInputError) as caught:
        References(directory).follow({"token": value, "other": "plain"})
    [error] = caught.value.errors
    assert (error.field, error.code) == ("settings.token", "reference_leads_nowhere")
    assert said in error.message
    assert "k3y-of-the-server" not in caught.value.message


@pytest.mark.parametrize(("value", "said"), NOWHERE.items())
def test_when_it_is_written_another_process_may_know_it(
    directory: Path, value: str, said: str
) -> None:
    known, sentences = References(directory).try_to_follow({"token": value, "other": "plain"})
    assert known == {"other": "plain"}
    [sentence] = sentences
    assert sentence.startswith("settings.token leads nowhere here")
    assert said in sentence


@pytest.mark.parametrize("value", FORBIDDEN)
def test_what_no_process_follows_is_refused_when_it_is_written(directory: Path, value: str) -> None:
    with pytest.raises(InvalidInputError):
        References(directory).try_to_follow({"token": value})


def test_without_a_directory_no_file_is_read() -> None:
    _, [sentence] = References(None).try_to_follow({"token": "file:token"})
    assert "ALMENARA_SECRETS_DIR" in sentence
