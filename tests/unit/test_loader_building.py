"""Settings become an instance; what is wrong with them is named field by field, never shown."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from almenara.errors import BrokenPluginError, InvalidInputError
from almenara.loader import FoundPlugin, Plugins

GOOD = Path(__file__).parent.parent / "good_plugins"
SECRET = "hunter2-hunter2"


@pytest.fixture
def plugins() -> Plugins:
    plugins = Plugins(GOOD, shipped=False)
    plugins.load()
    return plugins


@pytest.fixture
def mailbox(plugins: Plugins) -> FoundPlugin:
    return plugins.get("Mailbox")


def mistakes(error: pytest.ExceptionInfo[InvalidInputError]) -> dict[str, tuple[str, str]]:
    return {each.field: (each.code, each.message) for each in error.value.errors}


def test_a_class_with_settings_is_built_with_them(plugins, mailbox):
    instance = plugins.build(mailbox, {"server": "mail.example", "port": "2525", "from": "me"})
    settings = instance.target.settings
    assert (settings.server, settings.port, settings.sender) == ("mail.example", 2525, "me")
    assert instance.plugin is mailbox
    message = SimpleNamespace(channel="office", title=None, topic="sales")
    assert instance.target.send_message(message, None) == "[office] sales"


def test_a_class_without_settings_is_built_with_nothing(plugins):
    first = plugins.build(plugins.get("Sms"), {})
    second = plugins.build(plugins.get("Sms"), {})
    assert first.target.sent == []
    assert first.target is not second.target


def test_settings_come_from_the_channel_then_the_environment_then_the_env_file(
    tmp_path, monkeypatch
):
    (tmp_path / "box").symlink_to(GOOD / "with settings")
    env_file = tmp_path / "shared.env"
    env_file.write_text("MAILBOX_SERVER=file\nMAILBOX_FROM=file\nMAILBOX_PORT=3\n")
    monkeypatch.setenv("MAILBOX_SERVER", "environment")
    monkeypatch.setenv("MAILBOX_FROM", "environment")
    plugins = Plugins(tmp_path, shipped=False)
    plugins.load()
    found = plugins.get("Mailbox")
    found = FoundPlugin(**{**vars(found), "env_file": env_file})
    settings = plugins.build(found, {"server": "channel"}).target.settings
    assert (settings.server, settings.sender, settings.port) == ("channel", "environment", 3)


def test_a_missing_setting_is_named_with_its_variable(plugins, mailbox):
    with pytest.raises(InvalidInputError) as raised:
        plugins.build(mailbox, {})
    code, message = mistakes(raised)["settings.server"]
    assert code == "missing"
    assert "MAILBOX_SERVER" in message
    assert "settings.server: " in raised.value.message


def test_every_wrong_setting_is_named_by_the_name_it_is_written_with(plugins, mailbox):
    values = {"server": "mail.example", "port": "many", "from": 7, "to": ["a", {"b": 1}]}
    for use in (plugins.build, plugins.check):
        with pytest.raises(InvalidInputError) as raised:
            use(mailbox, values)
        assert set(mistakes(raised)) == {"settings.port", "settings.from", "settings.to.1"}


def test_an_unknown_setting_is_named_with_the_nearest(plugins, mailbox):
    for use in (plugins.build, plugins.check):
        with pytest.raises(InvalidInputError) as raised:
            use(mailbox, {"server": "mail.example", "pasword": SECRET, "zzz": SECRET})
        found = mistakes(raised)
        assert found["settings.pasword"][0] == "extra_forbidden"
        assert found["settings.pasword"][1].endswith("did you mean password?")
        assert found["settings.zzz"][1].endswith(
            "there are server, port, from, password, token, security, to."
        )
        assert SECRET not in raised.value.message


def test_a_setting_is_known_only_by_its_written_name(plugins, mailbox):
    with pytest.raises(InvalidInputError) as raised:
        plugins.check(mailbox, {"server": "mail.example", "sender": "me"})
    assert set(mistakes(raised)) == {"settings.sender"}


@pytest.mark.parametrize("name", ["_env_file", "_env_prefix", "self"])
def test_the_reading_of_settings_cannot_be_steered_by_a_channel(plugins, mailbox, name):
    for use in (plugins.build, plugins.check):
        with pytest.raises(InvalidInputError) as raised:
            use(mailbox, {"server": "mail.example", name: "x"})
        assert set(mistakes(raised)) == {f"settings.{name}"}


def test_a_plugin_without_settings_takes_none(plugins):
    for use in (plugins.build, plugins.check):
        with pytest.raises(InvalidInputError) as raised:
            use(plugins.get("Sms"), {"a": 1, "b": 2})
        assert set(mistakes(raised)) == {"settings.a", "settings.b"}
        assert raised.value.errors[0].message == "The plugin Sms takes no settings."
    assert plugins.check(plugins.get("Sms"), {}) == []


def test_a_written_value_is_never_shown_even_by_an_authors_own_words(plugins, mailbox):
    with pytest.raises(InvalidInputError) as raised:
        plugins.build(mailbox, {"server": f"mail {SECRET}", "port": 123456789})
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert "123456789" not in raised.value.message
    code, message = mistakes(raised)["settings.server"]
    assert (code, message) == ("value_error", "******** is not the name of a server.")


def test_a_rule_over_several_settings_is_reported_on_the_whole(plugins, mailbox):
    values = {"server": "mail.example", "password": SECRET, "token": SECRET}
    with pytest.raises(InvalidInputError) as raised:
        plugins.build(mailbox, values)
    assert mistakes(raised) == {
        "settings": ("value_error", "Give password or token, not both."),
    }


def test_a_rule_over_several_settings_is_a_warning_until_all_are_given(plugins, mailbox):
    values = {"server": "mail.example", "password": SECRET, "token": SECRET}
    (warning,) = plugins.check(mailbox, values)
    assert "Give password or token, not both." in warning
    everything = {**values, "port": 25, "from": "me", "security": "none", "to": []}
    with pytest.raises(InvalidInputError) as raised:
        plugins.check(mailbox, everything)
    assert set(mistakes(raised)) == {"settings"}


def test_what_is_missing_when_a_channel_is_written_is_a_warning(plugins, mailbox, monkeypatch):
    (warning,) = plugins.check(mailbox, {"port": 25})
    assert "settings.server is not given" in warning
    assert "MAILBOX_SERVER" in warning
    monkeypatch.setenv("MAILBOX_SERVER", "mail.example")
    assert plugins.check(mailbox, {"port": 25}) == []


def test_a_wrong_value_of_the_environment_is_a_warning(plugins, mailbox, monkeypatch):
    monkeypatch.setenv("MAILBOX_PORT", "seventy-thousand")
    (warning,) = plugins.check(mailbox, {"server": "mail.example"})
    assert "settings.port is not given, and what MAILBOX_PORT" in warning
    assert "seventy-thousand" not in warning


def test_a_validator_that_raises_anything_else_makes_the_plugin_broken(plugins, mailbox):
    for use in (plugins.build, plugins.check):
        with pytest.raises(BrokenPluginError, match="cannot be read: SystemExit"):
            use(mailbox, {"server": "explode"})


def test_a_constructor_that_raises_is_reported_without_secrets(plugins, mailbox):
    with pytest.raises(BrokenPluginError) as raised:
        plugins.build(mailbox, {"server": "unreachable.example", "password": SECRET})
    assert "raised ConnectionError: refused ********." in raised.value.message
    shown = "".join(traceback.format_exception(raised.value))
    assert SECRET not in shown
    assert raised.value.__context__ is None


def test_an_instance_knows_every_value_to_mask(tmp_path):
    (tmp_path / "box").mkdir()
    for file in (GOOD / "with settings").glob("*.py"):
        (tmp_path / "box" / file.name).write_text(file.read_text())
    env_file = tmp_path / "box" / ".env"
    env_file.write_text("MAILBOX_SERVER=mail.example\nOTHER='not a setting'\nSHORT=abc\nEMPTY=\n")
    plugins = Plugins(tmp_path, shipped=False)
    plugins.load()
    instance = plugins.build(plugins.get("Mailbox"), {"password": SECRET, "from": "me at home"})
    assert instance.secrets == {SECRET, "mail.example", "not a setting"}
