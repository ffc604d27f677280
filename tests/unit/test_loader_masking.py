"""Secrets are replaced in texts, however they are written there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretBytes, SecretStr

from almenara.loader import mask
from almenara.loader.masking import env_file_values, secret_values, written_values


def test_a_text_without_secrets_stays_as_it_is():
    assert mask("nothing to hide", []) == "nothing to hide"
    assert mask("nothing to hide", [""]) == "nothing to hide"


def test_the_longest_secret_is_replaced_first():
    assert mask("token abcdef, pin abcd", ["abcd", "abcdef"]) == "token ********, pin ********"


@pytest.mark.parametrize(
    "written",
    [
        "p@ss w/rd+é",
        "p%40ss%20w%2Frd%2B%C3%A9",
        "p%40ss%20w/rd%2B%C3%A9",
        "p%40ss+w%2Frd%2B%C3%A9",
        json.dumps("p@ss w/rd+é").strip('"'),
    ],
)
def test_a_secret_is_replaced_also_in_a_url_and_in_json(written):
    assert mask(f"<{written}>", ["p@ss w/rd+é"]) == "<********>"


def test_a_secret_is_replaced_in_what_python_prints_of_it():
    secret = "back\\slash\nline"
    assert mask(str([secret]), [secret]) == "['********']"


TEXT = st.text(alphabet='ab%/+ é"\\\n')
SECRETS = st.sets(st.text(alphabet='ab%/+ é"\\\n', min_size=4), min_size=1, max_size=5)


@given(before=TEXT, secrets=SECRETS, after=TEXT)
def test_no_secret_is_left_in_a_text(before, secrets, after):
    text = after.join([before, *secrets, before])
    left = mask(text, secrets).replace("********", "|")
    assert not any(secret in left for secret in secrets)


def test_secrets_are_found_at_any_depth():
    class Login(BaseModel):
        name: str = "somebody"
        key: SecretBytes = SecretBytes(b"bytes")

    value = {"logins": [Login()], "token": (SecretStr("text"), None), "plain": "plain"}
    assert set(secret_values(value)) == {"bytes", "text"}


def test_written_values_are_found_at_any_depth():
    value = {"a": ["text", 12, 1.5, True, None], "b": SecretStr("secret")}
    assert list(written_values(value)) == ["text", "12", "1.5", "secret"]


def test_an_env_file_that_cannot_be_read_has_no_values(tmp_path):
    (tmp_path / ".env").write_bytes(b"A=\xff\xff\xff\xff\n")
    assert env_file_values(tmp_path / ".env") == frozenset()
    assert env_file_values(None) == frozenset()
