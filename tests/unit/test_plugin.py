"""What the contract reads out of a plugin's settings class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field, Secret, SecretBytes, SecretStr

from almenara.plugin import (
    PluginSettings,
    build_settings,
    environment_prefix,
    field_names,
    secret_fields,
    settings_class,
)


class Pigeon:
    class Settings(PluginSettings):
        loft: str = "roof"
        from_: str = Field(default="here", alias="from")
        password: SecretStr = SecretStr("")
        keys: list[SecretBytes] = []
        pin: Secret[int] | None = None
        headers: dict[str, SecretStr] = {}
        routes: list[str] = []
        options: dict[str, int] = {}
        numbers: tuple[int, ...] | None = None
        made_by: Callable[[], int] | None = None


def read(values: dict[str, Any]) -> Any:
    return build_settings(Pigeon, Pigeon.Settings, values, None)


def test_fields_that_hold_secrets_are_found_wherever_the_secret_stands() -> None:
    assert secret_fields(Pigeon.Settings) == {"password", "keys", "pin", "headers"}


class Open(BaseModel):
    name: str
    inner: list[Open] = []


class Closed(BaseModel):
    inner: list[Closed] = []
    keys: dict[str, SecretStr]


class Nested(PluginSettings):
    one: Open
    many: list[Open]
    two: Closed | None = None
    others: dict[str, list[Closed]] = {}


def test_fields_that_hold_secrets_within_a_model_are_found_too() -> None:
    assert secret_fields(Nested) == {"two", "others"}


def test_fields_are_called_as_they_are_written() -> None:
    names = field_names(Pigeon.Settings)
    assert names["from"] == "from_"
    assert "from_" not in names


def test_a_class_without_such_settings_has_none() -> None:
    class Plain:
        Settings = dict

    assert settings_class(Plain) is None
    assert settings_class(object) is None
    assert settings_class(Pigeon) is Pigeon.Settings


def test_environment_names_have_the_classs_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_prefix(Pigeon, Pigeon.Settings) == "PIGEON_"
    monkeypatch.setenv("LOFT", "never read")
    monkeypatch.setenv("PIGEON_LOFT", "tower")
    monkeypatch.setenv("PIGEON_FROM", "there")
    settings = read({})
    assert (settings.loft, settings.from_) == ("tower", "there")
    assert read({"loft": "mine"}).loft == "mine"


@pytest.mark.parametrize(
    ("text", "routes"),
    [("a, b ,c", ["a", "b", "c"]), ('["a", "b"]', ["a", "b"]), ("", []), (" one ", ["one"])],
)
def test_a_list_may_be_written_with_commas_or_as_json(
    monkeypatch: pytest.MonkeyPatch, text: str, routes: list[str]
) -> None:
    monkeypatch.setenv("PIGEON_ROUTES", text)
    assert read({}).routes == routes


def test_an_object_is_written_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIGEON_OPTIONS", '{"speed": 3}')
    monkeypatch.setenv("PIGEON_NUMBERS", "1,2")
    settings = read({})
    assert settings.options == {"speed": 3}
    assert settings.numbers == (1, 2)


@pytest.mark.parametrize("name", ["PIGEON_OPTIONS", "PIGEON_ROUTES"])
def test_json_that_does_not_parse_is_the_fields_error(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "{[canary" if name.endswith("OPTIONS") else "[canary")
    with pytest.raises(ValueError, match=name.removeprefix("PIGEON_").lower()) as caught:
        read({})
    assert "canary" not in str(caught.value)


def test_the_env_file_is_read_after_the_environment(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("PIGEON_LOFT=file\nPIGEON_FROM=file\nOTHER=1\n")
    monkeypatch.setenv("PIGEON_LOFT", "environment")
    settings = build_settings(Pigeon, Pigeon.Settings, {}, file)
    assert (settings.loft, settings.from_) == ("environment", "file")
