"""Conditions: what may be written, which messages they let through, how people read them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from almenara.conditions import (
    DEEPEST,
    LONGEST_TEXT,
    MOST_VALUES,
    check_condition,
    describe,
    find_mistakes,
    matches,
    read_path,
)
from almenara.errors import InvalidInputError
from tests.json_values import json_values


@dataclass
class Given:
    """A message as far as a condition looks at it."""

    priority: int = 3
    tags: list[str] = field(default_factory=list)
    format: str = "text"
    data: dict[str, Any] = field(default_factory=dict)


URGENT = Given(priority=1, tags=["urgent", "shop"], format="html", data={"total": 1, "to": None})
ORDER = Given(data={"customer": {"country": "ES", "vip": True, "a.b": {"c\\d": 0}}, "lines": [1]})

MATCHES: list[tuple[dict[str, Any], Given, bool]] = [
    ({"priority": 1}, URGENT, True),
    ({"priority": 2}, URGENT, False),
    ({"priority": {"at_most": 2}}, URGENT, True),
    ({"priority": {"at_most": 2}}, ORDER, False),
    ({"priority": {"at_least": 3}}, ORDER, True),
    ({"priority": {"at_least": 2, "at_most": 2}}, ORDER, False),
    ({"tags": {"any": ["vip", "urgent"]}}, URGENT, True),
    ({"tags": {"any": ["vip"]}}, URGENT, False),
    ({"tags": {"any": ["Urgent"]}}, URGENT, False),
    ({"tags": {"all": ["shop", "urgent"]}}, URGENT, True),
    ({"tags": {"all": ["shop", "vip"]}}, URGENT, False),
    ({"tags": {"none": ["vip"]}}, URGENT, True),
    ({"tags": {"none": ["vip", "shop"]}}, URGENT, False),
    ({"tags": {"any": ["shop"], "none": ["urgent"]}}, URGENT, False),
    ({"format": "html"}, URGENT, True),
    ({"format": "html"}, ORDER, False),
    ({"format": {"in": ["text", "html"]}}, ORDER, True),
    ({"format": {"in": ["markdown"]}}, ORDER, False),
    ({"data": {"customer.country": {"equals": "ES"}}}, ORDER, True),
    ({"data": {"customer.country": {"equals": "es"}}}, ORDER, False),
    ({"data": {"customer.country": {"in": ["PT", "ES"]}}}, ORDER, True),
    ({"data": {"customer.country": {"in": ["PT"]}}}, ORDER, False),
    ({"data": {"customer": {"equals": "ES"}}}, ORDER, False),
    ({"data": {"customer.country.code": {"exists": True}}}, ORDER, False),
    ({"data": {"lines.0": {"exists": True}}}, ORDER, False),
    ({"data": {"lines": {"exists": True}}}, ORDER, True),
    ({"data": {"customer.city": {"exists": False}}}, ORDER, True),
    ({"data": {"to": {"exists": True}}}, URGENT, True),
    ({"data": {"to": {"equals": None}}}, URGENT, True),
    ({"data": {"nothing": {"equals": None}}}, URGENT, False),
    ({"data": {"nothing": {"in": [None]}}}, URGENT, False),
    ({"data": {"total": {"equals": 1.0}}}, URGENT, True),
    ({"data": {"total": {"equals": "1"}}}, URGENT, False),
    ({"data": {"total": {"equals": True}}}, URGENT, False),
    ({"data": {"customer.vip": {"equals": True}}}, ORDER, True),
    ({"data": {"customer.vip": {"equals": 1}}}, ORDER, False),
    ({"data": {r"customer.a\.b.c\\d": {"equals": 0}}}, ORDER, True),
    ({"data": {r"customer.a\.b.c\\d": {"equals": False}}}, ORDER, False),
    ({"data": {"total": {"equals": 1}, "to": {"exists": False}}}, URGENT, False),
    ({"priority": 1, "format": "text"}, URGENT, False),
    ({"any": [{"priority": 5}, {"format": "html"}]}, URGENT, True),
    ({"any": [{"priority": 5}, {"format": "text"}]}, URGENT, False),
    ({"all": [{"priority": 1}, {"format": "html"}]}, URGENT, True),
    ({"all": [{"priority": 1}, {"format": "text"}]}, URGENT, False),
    ({"not": {"priority": 1}}, URGENT, False),
    ({"not": {"any": [{"priority": 2}, {"tags": {"any": ["vip"]}}]}}, URGENT, True),
]


@pytest.mark.parametrize(("condition", "message", "expected"), MATCHES, ids=str)
def test_a_condition_lets_through_what_it_says(
    condition: dict[str, Any], message: Given, expected: bool
) -> None:
    assert check_condition(condition) == condition
    assert matches(condition, message) is expected


def nested(depth: int) -> Any:
    return {"priority": 1} if depth == 1 else {"not": nested(depth - 1)}


def deep_lists(depth: int) -> Any:
    return [] if depth == 0 else [deep_lists(depth - 1)]


MISTAKES: list[tuple[Any, list[str], str]] = [
    (None, ["c"], "Write an object with"),
    ({}, ["c"], "Write an object with"),
    ([], ["c"], "Write an object with"),
    ("priority", ["c"], '"priority"'),
    ({"urgency": 1}, ["c.urgency"], "There is no such test here; there is"),
    ({"priority": True}, ["c.priority"], "Write a whole number from 1 to 5, or an object"),
    ({"priority": 0}, ["c.priority"], "from 1 to 5"),
    ({"priority": {}}, ["c.priority"], '"at_least" or "at_most"'),
    (
        {"priority": {"at_most": "2", "at_least": 6}},
        ["c.priority.at_least", "c.priority.at_most"],
        "from 1 to 5.",
    ),
    ({"priority": {"below": 2}}, ["c.priority.below"], '"at_least" or "at_most"'),
    ({"priority": {"at_least": 3, "at_most": 2}}, ["c.priority"], "No message"),
    ({"tags": ["urgent"]}, ["c.tags"], '"all", "any" or "none"'),
    ({"tags": {"any": "urgent"}}, ["c.tags.any"], "Write a list"),
    ({"tags": {"all": []}}, ["c.tags.all"], "at least one entry"),
    ({"tags": {"none": ["a", 7, ""]}}, ["c.tags.none.1", "c.tags.none.2"], "Write a tag"),
    ({"tags": {"any": ["a" * (LONGEST_TEXT + 1)]}}, ["c.tags.any.0"], "255 characters"),
    ({"format": "rtf"}, ["c.format"], 'Write "text", "markdown" or "html", or an object'),
    ({"format": ["html"]}, ["c.format"], 'Write "text"'),
    ({"format": {"in": ["html", "rtf"]}}, ["c.format.in.1"], 'or "html".'),
    ({"format": {"equals": "html"}}, ["c.format.equals"], 'there is "in"'),
    ({"data": {}}, ["c.data"], "Write an object such as"),
    ({"data": "x"}, ["c.data"], "Write an object such as"),
    ({"data": {"a": "ES"}}, ["c.data.a"], '"equals", "exists" or "in"'),
    ({"data": {"a": {"like": "E%"}}}, ["c.data.a.like"], '"equals", "exists" or "in"'),
    ({"data": {"a": {"equals": {}}}}, ["c.data.a.equals"], "true, false or null"),
    ({"data": {"a": {"equals": float("nan")}}}, ["c.data.a.equals"], "a number"),
    ({"data": {"a": {"in": [1, []]}}}, ["c.data.a.in.1"], "true, false or null"),
    ({"data": {"a": {"exists": 1}}}, ["c.data.a.exists"], "Write true or false."),
    ({"data": {"": {"exists": True}}}, ["c.data."], "Write a path"),
    ({"data": {"a..b": {"exists": True}}}, ["c.data.a..b"], "Write a path"),
    ({"data": {"a\\b": {"exists": True}}}, ["c.data.a\\b"], "Write a path"),
    ({"any": []}, ["c.any"], "at least one entry"),
    ({"any": {"priority": 1}}, ["c.any"], "Write a list"),
    ({"any": [{"priority": 9}, {}]}, ["c.any.0.priority", "c.any.1"], "from 1 to 5"),
    ({"all": [{"not": {"format": 1}}]}, ["c.all.0.not.format"], "Write"),
    ({"not": [{"priority": 1}]}, ["c.not"], "Write an object"),
    (nested(DEEPEST + 1), ["c" + ".not" * DEEPEST], "Nest no deeper than 8"),
    (deep_lists(50), ["c"], "Nest no deeper than 8"),
    ({"data": {"a": {"in": [1] * MOST_VALUES}}}, ["c"], "no more than 200 values"),
]


@pytest.mark.parametrize(("value", "fields", "said"), MISTAKES, ids=lambda one: str(one)[:30])
def test_each_mistake_is_named_by_its_path_with_what_is_allowed(
    value: Any, fields: list[str], said: str
) -> None:
    mistakes = find_mistakes(value, "c")
    assert [one.field for one in mistakes] == fields
    assert {one.code for one in mistakes} == {"invalid_condition"}
    assert said in mistakes[0].message
    with pytest.raises(InvalidInputError) as raised:
        check_condition(value, "c")
    assert raised.value.errors == tuple(mistakes)


def test_the_deepest_condition_is_one() -> None:
    assert matches(check_condition(nested(DEEPEST)), URGENT) is False


DESCRIPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"priority": 1}, "priority is 1"),
    ({"priority": {"at_least": 2, "at_most": 4}},
     "priority is at least 2 and priority is at most 4"),
    ({"tags": {"any": ["a", "b", "c"]}}, 'tags include "a", "b" or "c"'),
    ({"tags": {"all": ["a", "b"]}}, 'tags include "a" and "b"'),
    ({"tags": {"none": ["a", "b"]}}, 'tags do not include "a" or "b"'),
    ({"format": {"in": ["html", "text"]}}, "format is html or text"),
    ({"data": {"a.b": {"equals": "ñ"}}}, 'data.a.b is "ñ"'),
    ({"data": {"a": {"in": [1, None]}}}, "data.a is 1 or null"),
    ({"data": {"a": {"exists": False}}}, "data.a is not there"),
    ({"priority": 1, "format": "html"}, "priority is 1 and format is html"),
    ({"any": [{"priority": 1}, {"not": {"format": "html"}}]},
     "((priority is 1) or (not (format is html)))"),
    ({"all": [{"data": {"a": {"exists": True}}}]}, "(data.a is there)"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "clause"), DESCRIPTIONS, ids=lambda one: str(one)[:30])
def test_a_condition_is_described_in_a_sentence(condition: dict[str, Any], clause: str) -> None:
    assert describe(check_condition(condition)) == f"Takes messages whose {clause}."


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        (r"a\.b", ("a.b",)),
        (r"a\\.b", ("a\\", "b")),
        ("a b\n.ñ", ("a b\n", "ñ")),
        (".a", None),
        ("a.", None),
        ("\\", None),
        (r"a\b", None),
    ],
)
def test_a_path_is_keys_with_dots_between(text: str, keys: tuple[str, ...] | None) -> None:
    assert read_path(text) == keys


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(["priority", "tags", "format", "data", "any", "all", "not"]) | (
    st.sampled_from(["none", "in", "equals", "exists", "at_most", "at_least", "a.b", "x"])
)
JSON = json_values(SCALARS | st.sampled_from(["html", 1, 2, True]), WORDS, max_leaves=30)

TESTS = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(1, 5) | st.fixed_dictionaries({"at_most": st.integers(1, 5)}),
        "tags": st.dictionaries(
            st.sampled_from(["any", "all", "none"]),
            st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3),
            min_size=1,
        ),
        "format": st.sampled_from(["text", "html"]),
        "data": st.dictionaries(
            st.sampled_from(["a", "a.b", r"a\.b", "x.y.z"]),
            st.fixed_dictionaries({"equals": st.none() | st.booleans() | st.integers()})
            | st.fixed_dictionaries({"in": st.lists(st.text(max_size=3), min_size=1, max_size=3)})
            | st.fixed_dictionaries({"exists": st.booleans()}),
            min_size=1,
        ),
    },
).filter(bool)


def nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    return (
        st.fixed_dictionaries({"not": inner})
        | st.fixed_dictionaries({"any": some})
        | st.fixed_dictionaries({"all": some})
    )


CONDITIONS = st.recursive(TESTS, nest, max_leaves=6)
MESSAGES = st.builds(
    Given,
    priority=st.integers(1, 5),
    tags=st.lists(st.text(max_size=3)),
    format=st.sampled_from(["text", "markdown", "html"]),
    data=st.dictionaries(st.sampled_from(["a", "b", "x", "a.b"]), JSON),
)


@given(JSON, MESSAGES)
def test_any_json_is_a_condition_or_refused_in_words(value: Any, message: Given) -> None:
    if find_mistakes(value, "c"):
        with pytest.raises(InvalidInputError, match=r"^condition"):
            check_condition(value)
    else:
        assert matches(check_condition(value), message) in {True, False}
        assert describe(value).startswith("Takes messages whose ")


@given(CONDITIONS, MESSAGES)
def test_what_is_let_through_is_not_let_through_by_the_opposite(
    condition: dict[str, Any], message: Given
) -> None:
    assume(not find_mistakes({"not": condition}, "c"))
    stored = json.loads(json.dumps(condition))
    assert matches(stored, message) is matches(condition, message)
    assert matches({"not": condition}, message) is not matches(condition, message)
    assert describe(condition).endswith(".")
