"""The commands for plugins, as the server found them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.scripted_server import ScriptedServer
from tests.unit.cli.conftest import Cli

_SCHEMA: dict[str, Any] = {
    "$defs": {"Mode": {"enum": ["fast", "slow"], "type": "string"}},
    "properties": {
        "url": {"type": "string", "format": "password", "description": "Where\nto post."},
        "port": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "to": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
        "mode": {"$ref": "#/$defs/Mode", "default": "fast"},
        "kind": {"const": "x"},
        "free": {},
        "count": {"anyOf": [{"type": "integer"}, {"type": "string"}], "default": 3},
    },
    "required": ["url"],
}


def _found(name: str, directory: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "qualified_name": f"{directory}.{name}",
        "source": "directory",
        "file": f"plugins/{directory}/{directory}.py",
        "revision": "0123456789ab",
        "settings_schema": None,
        "secret_fields": [],
    } | changes


PLUGINS: dict[str, Any] = {
    "data": [
        _found("Hook", "hook", settings_schema=_SCHEMA, secret_fields=["url"]),
        _found("Sms", "one"),
        _found("Sms", "two"),
    ],
    "broken": [
        {
            "name": "Pager",
            "directory": "pager",
            "file": "plugins/pager/pager.py",
            "reason": "SyntaxError in line 3.",
            "traceback": "  line 3\n",
            "runs_on": None,
        },
        {
            "name": None,
            "directory": "empty",
            "file": "plugins/empty",
            "reason": "No class has send_message.",
            "traceback": None,
        },
        {
            "name": "Fax",
            "directory": "fax",
            "file": "plugins/fax/fax.py",
            "reason": "It takes too long.",
            "traceback": None,
        },
    ],
}


@pytest.fixture(autouse=True)
def _plugins(server: ScriptedServer) -> None:
    server.answer("GET", "/v1/plugins", PLUGINS)


@pytest.mark.parametrize("bare", [["plugins"], ["plugins", "list"]])
def test_plugins_are_listed_and_the_broken_ones_with_their_reason(
    cli: Cli, bare: list[str]
) -> None:
    lines = [line.split(maxsplit=3) for line in cli(*bare).out.splitlines()]
    assert lines[:2] == [
        ["PLUGIN", "QUALIFIED", "NAME", "SOURCE     FILE"],
        ["Hook", "hook.Hook", "directory", "plugins/hook/hook.py"],
    ]
    assert lines[4:7] == [
        [],
        ["BROKEN", "RUNS", "ON", "FILE                    REASON"],
        ["Pager", "plugins/pager/pager.py", "SyntaxError", "in line 3."],
    ]
    assert lines[7][:2] == ["empty", "plugins/empty"]
    assert json.loads(cli(*bare, "--json").out) == PLUGINS


@pytest.mark.parametrize("name", ["Hook", "hook.Hook"])
def test_a_plugin_is_shown_with_the_settings_of_its_channels(cli: Cli, name: str) -> None:
    ended = cli("plugins", "show", name)
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[lines.index("") + 1 :] == [
        "SETTING TYPE REQUIRED DEFAULT SECRET DESCRIPTION",
        "url string yes yes Where to post.",
        "port integer",
        'to list of string ["a"]',
        "mode fast | slow fast",
        "kind x",
        "free anything",
        "count integer | string 3",
    ]
    assert "plugin hook" not in ended.out
    assert json.loads(cli("plugins", "show", name, "--json").out) == PLUGINS["data"][0]


def test_a_plugin_without_settings_says_so(cli: Cli) -> None:
    ended = cli("plugins", "show", "one.Sms")
    assert (ended.code, ended.err) == (0, "It takes no settings.\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Sms", "Several plugins are named 'Sms': write one.Sms or two.Sms."),
        ("Nobody", "There is no plugin 'Nobody'."),
        ("Pager", "plugins/pager/pager.py: SyntaxError in line 3.\n  line 3"),
        ("pager.Pager", "The plugin 'pager.Pager' is broken"),
        ("Fax", "The plugin 'Fax' is broken: plugins/fax/fax.py: It takes too long."),
    ],
)
def test_a_plugin_that_cannot_be_shown_says_why(cli: Cli, name: str, said: str) -> None:
    ended = cli("plugins", "show", name)
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err


DIFFERING: dict[str, Any] = {
    "data": [
        _found(
            "Hook",
            "hook",
            differing=[
                {"process": "7@a", "role": "worker", "revision": "ffff", "reason": None},
                {"process": "8@b", "role": "server", "revision": None, "reason": "Half\na line."},
            ],
        )
    ],
    "broken": [
        {
            "name": "Hook",
            "directory": "hook",
            "file": "plugins/hook/hook.py",
            "reason": "Half a line.",
            "traceback": None,
            "runs_on": "0123456789ab",
        }
    ],
    "elsewhere": [
        {
            "qualified_name": "fax.Fax",
            "process": "7@a",
            "role": "worker",
            "revision": "eeee",
            "reason": None,
        }
    ],
}


def test_what_runs_in_spite_of_a_broken_version_and_elsewhere_is_shown(
    cli: Cli, server: ScriptedServer
) -> None:
    server.answer("GET", "/v1/plugins", DIFFERING)
    lines = [" ".join(line.split()) for line in cli("plugins").out.splitlines()]
    assert lines[2:] == [
        "",
        "BROKEN RUNS ON FILE REASON",
        "Hook 0123456789ab plugins/hook/hook.py Half a line.",
        "",
        "DIFFERS PROCESS ROLE REVISION REASON",
        "hook.Hook 7@a worker ffff",
        "hook.Hook 8@b server has none Half a line.",
        "fax.Fax 7@a worker eeee",
    ]
    shown = [" ".join(line.split()) for line in cli("plugins", "show", "Hook").out.splitlines()]
    assert "newer version is broken Half a line." in shown
    assert "hook.Hook 7@a worker ffff" in shown
    assert not any("fax.Fax" in line for line in shown)
