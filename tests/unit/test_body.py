"""Strict JSON: what is read, what is refused, and that refusing is cheap."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.api.body import (
    DEEPEST,
    LARGEST_INTEGER,
    MOST_MEMBERS,
    UnreadableBodyError,
    check_value,
    parse_json,
    read_json,
    short,
)
from tests.json_values import json_values

#: A request's body is no larger.
LARGEST_BODY = 262_144


def refusal(body: bytes | str) -> UnreadableBodyError:
    raw = body.encode() if isinstance(body, str) else body
    with pytest.raises(UnreadableBodyError) as caught:
        read_json(raw)
    return caught.value


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "\U0001f469\u200d\U0001f4bb",
        [],
        {},
        LARGEST_INTEGER,
        -LARGEST_INTEGER,
        1.7976931348623157e308,
        5e-324,
        deep(DEEPEST),
        list(range(MOST_MEMBERS)),
        {"a": {"b": [1, {"c": None}]}},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_every_reader_of_json_keeps_exact_is_read(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "line 1 column 2"),
        ('{"a":\n 1,}', "line 2 column 4"),
        ("{}{}", "Extra data"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        ("{}".encode("utf-16"), "not UTF-8"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ('{"a": 1, "a": 1}', "'a' stands in one object twice"),
        ('[{"b": {"a\\u0000": 1, "a\\u0000": 2}}]', "twice"),
        ("9" * 5_000, "digits"),
        ("[" * 100_000, f"deeper than {DEEPEST} levels"),
        ('{"a":' * 50_000, f"deeper than {DEEPEST} levels"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_not_strict_json_is_a_400_that_says_where(body: bytes | str, words: str) -> None:
    error = refusal(body)
    assert (error.status_code, error.code, error.errors) == (400, "invalid_json", ())
    assert words in error.detail


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (LARGEST_INTEGER + 1, ""),
        ([0, -LARGEST_INTEGER - 1], "1"),
        ({"a": float("inf")}, "a"),
        ({"a": [{"b": "\x00"}]}, "a.0.b"),
        ({"a": {"b\x00": 1}}, "a"),
        ({"a": "\ud800"}, "a"),
        ({"a": {"\udfff": 1}}, "a"),
        (deep(DEEPEST + 1), "0." * 32),
        (list(range(MOST_MEMBERS + 1)), str(MOST_MEMBERS)),
        ({"k" * 1_000: {"x": "\x00"}}, "k" * 64),
        ({"\u00e9": "\x00"}, "\\xe9"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_cannot_be_stored_is_a_422_that_names_the_field(value: Any, field: str) -> None:
    with pytest.raises(UnreadableBodyError) as caught:
        check_value(value)
    error = caught.value
    assert (error.status_code, error.code) == (422, "invalid_input")
    [one] = error.errors
    assert (one.field, one.code) == (field, "value_not_allowed")
    assert error.detail == f"{field or 'The body'}: {one.message}"


@pytest.mark.parametrize(
    "body",
    [
        str(LARGEST_INTEGER + 1),
        f'{{"a":-{LARGEST_INTEGER + 1}}}',
        '{"a":1e400}',
        '{"a":[-1E400]}',
        "1" + "0" * 309 + ".0",
        '{"a":"\\u0000"}',
        '{"\\u0000":1}',
        '{"a":"\\ud83d"}',
        '{"a":"\\uDFFF"}',
        "[" * (DEEPEST + 1) + "1" + "]" * (DEEPEST + 1),
        '{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1),
        "[" + "1," * MOST_MEMBERS + "1]",
    ],
    ids=lambda body: body[:20],
)
def test_no_body_gets_by_unlooked_at_with_a_value_that_is_refused(body: str) -> None:
    assert refusal(body).status_code == 422


def test_a_plain_message_is_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("almenara.api.body.check_value", None)
    message = {"topic": "sales", "description": "Zwölf Plätze, bitte.", "data": {"seats": 12.5}}
    assert read_json(json.dumps(message, ensure_ascii=False).encode()) == message


@pytest.mark.parametrize(
    "body",
    [
        "{" + ",".join(f'"{n}":1' for n in range(22_000)) + ',"0":1}',
        '{"' + "k" * 130_000 + '": [' + ",".join("1" * 60_000) + "]}",
        "[" + ",".join(['"\u20ac"'] * 40_000) + "]",
        '"' + "\u20ac" * 80_000 + '\\u0000"',
        "[" * 20_000 + "]" * 20_000,
    ],
    ids=["keys", "long key", "members", "text", "nesting"],
)
@pytest.mark.timeout(2)
def test_the_worst_body_is_refused_long_before_anybody_waits(body: str) -> None:
    assert len(body.encode()) <= LARGEST_BODY
    assert refusal(body).status_code in {400, 422}


@given(st.text(st.characters(exclude_categories=()), max_size=400))
def test_what_is_shown_of_a_callers_text_is_short_and_plain(text: str) -> None:
    shown = short(text)
    assert len(shown) <= 64
    assert shown.isascii()
    assert "\x00" not in shown


_ANY_TEXT = st.text(st.characters(exclude_categories=()))
#: Also what may not stand in a body.
_ANY_JSON = json_values(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | _ANY_TEXT,
    _ANY_TEXT,
    max_leaves=30,
)


@given(_ANY_JSON, st.sampled_from([None, 1]))
def test_what_is_read_at_a_glance_is_what_is_read_by_looking_at_each_value(
    value: Any, indent: int | None
) -> None:
    # Python writes what no double can hold as a name, which is no JSON.
    body = json.dumps(value, indent=indent).replace("Infinity", "1e999").encode()
    try:
        check_value(parse_json(body))
    except UnreadableBodyError as refused:
        assert refusal(body).errors == refused.errors  # noqa: PT017 - either is right
    else:
        assert read_json(body) == parse_json(body)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_the_bytes_are_they_are_read_or_refused(body: bytes) -> None:
    try:
        value = read_json(body)
    except UnreadableBodyError as error:
        assert error.status_code in {400, 422}  # noqa: PT017 - either is right
    else:
        assert json.loads(body) == value
