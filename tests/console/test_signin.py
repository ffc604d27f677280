"""Signing in to the console as a person does: with a token, and at a third system."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser

from tests.console.browsing import Person, at_the_console
from tests.console.issuer import CLIENT_ID, SignInServer
from tests.serving import make_settings, served
from tests.tokens import ISSUER, SECRET, bearer, token

_TOKENS = {"jwt_issuer": ISSUER, "jwt_secret": SECRET}


@asynccontextmanager
async def at_an_issuer(
    browser: Browser, tmp_path: Path, issuer: SignInServer
) -> AsyncIterator[Person]:
    """Sit somebody down before a console that signs in at an issuer."""
    settings = make_settings(tmp_path, **issuer.settings())
    async with served(settings) as client, at_the_console(browser, client) as person:
        yield person


async def test_a_pasted_token_is_kept_for_its_tab_alone(browser: Browser, tmp_path: Path) -> None:
    good = token()
    async with (
        served(make_settings(tmp_path, **_TOKENS)) as client,
        at_the_console(browser, client) as person,
    ):
        message = {"topic": "hello", "title": "For Ana", "description": "x"}
        await client.post("/v1/messages", message, headers=bearer(good))
        await person.open()
        await person.sees(person.page.get_by_role("heading", name="Sign in to Almenara"))
        assert await person.violations() == []
        await person.fill("Token", token(iss="https://elsewhere.example.org"))
        await person.press("Use this token")
        await person.sees(person.page.get_by_role("alert").locator(".note.bad"))
        await person.fill("Token", f"Bearer {good}")
        await person.press("Use this token")
        await person.sees("For Ana")
        await person.sees(person.page.get_by_role("button", name="Live"))
        await person.page.reload()
        await person.sees("For Ana")
        assert good not in person.page.url
        stored = "JSON.stringify([{...localStorage}, document.cookie])"
        assert good not in await person.page.evaluate(stored)
        await person.press("Sign out")
        await person.sees(person.page.get_by_role("heading", name="Sign in to Almenara"))
        assert await person.page.evaluate("sessionStorage['almenara.session']") == "{}"


async def test_what_a_token_does_not_allow_is_said(browser: Browser, tmp_path: Path) -> None:
    async with (
        served(make_settings(tmp_path, **_TOKENS)) as client,
        at_the_console(browser, client) as person,
    ):
        await person.open()
        await person.fill("Token", token(scope="messages:send"))
        await person.press("Use this token")
        await person.sees("Your token does not allow this.")
        await person.page.get_by_role("link", name="Routes").click()
        await person.sees(person.page.get_by_text("config:read"))


async def test_people_sign_in_at_a_third_system(browser: Browser, tmp_path: Path) -> None:
    async with (
        SignInServer() as issuer,
        at_an_issuer(browser, tmp_path, issuer) as person,
    ):
        await person.open("#/write?topic=hello")
        host = issuer.url.removeprefix("http://")
        await person.press(f"Continue with {host}")
        await person.sees(person.page.get_by_role("heading", name="Write"))
        assert person.page.url == f"{person.client.url}/#/write?topic=hello"
        [asked] = issuer.asked
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert (asked["client_id"], asked["scope"]) == (CLIENT_ID, "openid almenara")
        assert asked["redirect_uri"] == f"{person.client.url}/"
        await person.fill("Text", "x")
        await person.sees(person.page.get_by_text("gets it", exact=True))

        # A token that is good no longer is renewed without anybody noticing; where the access token
        # is for the issuer alone, by the one that says who somebody is.
        issuer.opaque = True
        spoilt = '{"token": "a.b.c", "refresh": "again"}'
        await person.page.evaluate("(it) => { sessionStorage['almenara.session'] = it; }", spoilt)
        await person.page.reload()
        await person.page.get_by_role("link", name="Log").click()
        await person.sees("There are no messages yet.")
        assert issuer.granted[:2] == ["authorization_code", "refresh_token"]


async def test_what_goes_wrong_at_the_third_system_is_said(
    browser: Browser, tmp_path: Path
) -> None:
    async with (
        SignInServer(error="access_denied") as issuer,
        at_an_issuer(browser, tmp_path, issuer) as person,
    ):
        await person.open()
        await person.press(f"Continue with {issuer.url.removeprefix('http://')}")
        await person.sees("Signing in failed: access_denied")
        # Somebody else's answer is not taken, nor one that was not asked for.
        await person.open("?code=a-code&state=forged")
        await person.sees("the answer does not belong to this tab")
        assert issuer.granted == []
        assert "code=" not in person.page.url
        await person.page.get_by_text("Paste a token instead").click()
        await person.fill("Token", "a.b.c")
        await person.press("Use this token")
        await person.sees(person.page.get_by_role("alert").locator(".note.bad"))
