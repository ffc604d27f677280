"""The list of plugins: what can be used, with its settings; what cannot, with its reason."""

from __future__ import annotations

from pathlib import Path

from tests.plugins.documented import SERVICES
from tests.serving import make_settings, served

SHIPPED = sorted(
    [
        *(
            "apprise.Apprise",
            "command.Command",
            "email.Email",
            "file.File",
            "log.Log",
            "slack.Slack",
        ),
        *("webhook.Webhook", "webpush.WebPush"),
        *(f"{one.directory}.{one.plugin}" for one in SERVICES),
    ]
)

SOURCE = """
from collections.abc import Callable
from pydantic import Field, SecretStr
from almenara import PluginSettings

class Pager:
    class Settings(PluginSettings):
        number: int = Field(description="The number to call.", ge=1)
        sender: str = Field(alias="from")
        token: SecretStr = SecretStr("a-default-token")
        keys: dict[str, SecretStr] = {}

    def __init__(self, settings): ...

    def send_message(self, message, background_tasks): ...

class Plain:
    def send_message(self, message, background_tasks): ...

class Odd:
    class Settings(PluginSettings):
        made: Callable | None = None

    def __init__(self, settings): ...

    def send_message(self, message, background_tasks): ...
"""


async def test_plugins_are_listed_with_their_settings_and_the_broken_with_their_reason(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    for name, text in (
        ("pager/anything.py", SOURCE),
        ("pager/.env", "PAGER_TOKEN=a-token-of-the-env-file\n"),
        ("fax/fax.py", "raise ValueError('no line')\n"),
        ("empty/nothing.py", "X = 1\n"),
    ):
        file = settings.plugins_dir / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    async with served(settings) as client:
        answer = await client.get("/v1/plugins")
    assert answer.status == 200
    assert "a-default-token" not in answer.text
    assert "a-token-of-the-env-file" not in answer.text
    found = {one["qualified_name"]: one for one in answer.body["data"]}
    assert list(found) == sorted(found)
    assert found.keys() == {
        *SHIPPED,
        *("pager.Odd", "pager.Pager", "pager.Plain"),
    }
    pager = found["pager.Pager"]
    assert (pager["name"], pager["source"]) == ("Pager", "directory")
    assert pager["file"].endswith("anything.py")
    assert pager["secret_fields"] == ["keys", "token"]
    properties = pager["settings_schema"]["properties"]
    assert properties.keys() == {"number", "from", "token", "keys"}
    assert properties["number"]["description"] == "The number to call."
    assert pager["settings_schema"]["required"] == ["number", "from"]
    assert found["pager.Plain"]["settings_schema"] is None
    assert found["pager.Plain"]["secret_fields"] == []
    # A type that JSON Schema has no word for does not hide the other plugins.
    assert found["pager.Odd"]["settings_schema"] == {"title": "Settings", "type": "object"}
    assert found["log.Log"]["source"] == "shipped"
    assert found["email.Email"]["secret_fields"] == [
        *("oauth_access_token", "oauth_client_secret", "oauth_refresh_token", "password"),
    ]
    broken = {one["directory"]: one for one in answer.body["broken"]}
    assert broken.keys() == {"fax", "empty"}
    assert "no line" in broken["fax"]["reason"]
    assert "fax.py" in broken["fax"]["traceback"]
    assert broken["empty"]["traceback"] is None


async def test_the_schemas_are_enough_to_draw_forms(tmp_path: Path) -> None:
    """Each setting has a title, a sentence, its kind, and an example where one must be written."""
    async with served(make_settings(tmp_path)) as client:
        plugins = (await client.get("/v1/plugins")).body["data"]
    bare = []
    for plugin in plugins:
        schema = plugin["settings_schema"] or {"properties": {}}
        for name, one in schema["properties"].items():
            place = f"{plugin['name']}.{name}"
            kind = one.keys() & {"type", "anyOf", "enum", "$ref"}
            if not (one.get("title") and one.get("description") and kind):
                bare.append(place)
            secret = name in plugin["secret_fields"]
            if name in schema.get("required", ()) and not secret and not one.get("examples"):
                bare.append(f"{place}: an example")
    assert bare == []


async def test_without_a_plugin_directory_there_are_the_shipped_ones(tmp_path: Path) -> None:
    async with served(make_settings(tmp_path)) as client:
        body = (await client.get("/v1/plugins")).body
    assert [one["qualified_name"] for one in body["data"]] == SHIPPED
    assert body["broken"] == []
