"""The console's files as they are served: to anybody, safely, small, and only if wanted."""

from __future__ import annotations

import re
from pathlib import Path

from almenara.console import STATIC, policy
from almenara.settings import read_settings
from tests.console.browsing import Person
from tests.pages import blocks, read
from tests.serving import Client, make_settings, served
from tests.tokens import ISSUER, SECRET

#: What the whole page may weigh without compression, in bytes.
_HEAVIEST = 150 * 1024
_TOKENS = {"jwt_issuer": ISSUER, "jwt_secret": SECRET}


async def test_the_page_is_read_without_a_token_and_the_rest_is_not(tmp_path: Path) -> None:
    issuer = {"console_oidc_issuer": "https://id.example.org/a&b", "console_client_id": 'my"own'}
    async with served(make_settings(tmp_path, **_TOKENS, **issuer)) as client:
        page = await client.get("/")
        assert page.status == 200
        assert '<meta name="almenara-auth" content="token">' in page.text
        assert 'name="almenara-issuer" content="https://id.example.org/a&amp;b"' in page.text
        assert 'name="almenara-client-id" content="my&quot;own"' in page.text
        assert (
            "connect-src 'self' https://id.example.org;"
            in (page.headers["Content-Security-Policy"])
        )
        for path in ("/console/main.js", "/console/style.css", "/console/beacon.svg"):
            assert (await client.get(path)).status == 200
        for path in ("/console", "/console/", "/console/index.html", "/console/..%2f__init__.py"):
            assert (await client.get(path)).status == 401
        assert (await client.get("/v1/messages")).status == 401


async def test_every_file_is_safe_and_is_not_sent_twice(client: Client) -> None:
    for path in ("/", "/console/main.js", "/console/views.css", "/console/beacon.svg"):
        answer = await client.get(path)
        headers = answer.headers
        assert answer.status == 200
        assert headers["Content-Security-Policy"] == policy(None)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-cache"
        again = await client.get(path, headers={"If-None-Match": f'"other", W/{headers["ETag"]}'})
        assert (again.status, again.text) == (304, "")
        assert (await client.get(path, headers={"If-None-Match": '"other"'})).status == 200
        assert (await client.call("HEAD", path)).text == ""
    policies = policy(None).split("; ")
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'"} <= set(policies)
    assert "unsafe" not in policy("https://id.example.org")


async def test_what_is_not_there_is_answered_as_everywhere(client: Client) -> None:
    for method, path, code in (
        ("GET", "/console/nothing.js", "not_found"),
        ("GET", "/console/index.html", "not_found"),
        ("POST", "/", "method_not_allowed"),
        ("GET", "/nothing", "not_found"),
    ):
        answer = await client.call(method, path)
        assert (answer.body["code"], "/" in answer.body["detail"]) == (code, code == "not_found")
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async with served(make_settings(tmp_path, console="off")) as client:
        assert (await client.get("/")).status == 404
        assert (await client.get("/console/main.js")).status == 404
        assert (await client.get("/v1/messages")).status == 200


def test_it_weighs_little_and_loads_nothing_from_elsewhere() -> None:
    files = [path for path in STATIC.iterdir() if path.is_file()]
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in files) <= _HEAVIEST
    for path in files:
        text = path.read_text(encoding="utf-8")
        outside = set(re.findall(r"\b(?:https?:)?//[\w.]+\.\w+[^\s'\"]*", text))
        assert outside <= {"http://www.w3.org/2000/svg"}, path.name
        if path.suffix == ".js":
            assert f'"console/{path.name}"' in page, path.name
            assert len(text.splitlines()) <= 300, path.name
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
            assert re.match(r"// \S", text), f"{path.name} does not say what it is for"


async def test_the_page_on_it_says_how_to_see_that_it_works(client: Client) -> None:
    page = read("docs/howto/use-the-console.md")
    [see] = blocks(page, "sh")
    answer = await client.get("/")
    assert "curl -s http://127.0.0.1:8000/ | grep '<title>'" in see.text
    assert re.findall(r"^.*<title>.*$", answer.text, re.MULTILINE) == ["<title>Almenara</title>"]
    [settings] = blocks(page, "ini")
    environ = dict(line.split("=", 1) for line in settings.text.splitlines())
    read_settings(environ)


async def test_both_languages_say_the_same_and_all_that_is_asked_for(person: Person) -> None:
    await person.open()
    read = """async () => Promise.all(['en', 'es'].map(async (name) =>
        (await import(`/console/${name}.js`)).default))"""
    english, spanish = await person.page.evaluate(read)
    assert english.keys() == spanish.keys()
    asked: set[str] = set()
    for path in STATIC.glob("*.js"):
        asked |= set(re.findall(r"\bt\('([^']+)'", path.read_text(encoding="utf-8")))
    assert asked - english.keys() == set()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", spanish[key])), key
