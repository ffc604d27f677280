"""A condition as people read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def describe(condition: Mapping[str, Any]) -> str:
    """Say in one sentence which messages a checked condition wants."""
    return f"Takes messages whose {_joined(condition)}."


def _joined(condition: Mapping[str, Any]) -> str:
    return " and ".join(
        part for name, wanted in condition.items() for part in _CLAUSES[name](wanted)
    )


def _priority(wanted: Any) -> list[str]:
    if not isinstance(wanted, Mapping):
        return [f"priority is {wanted}"]
    words = {"at_least": "at least", "at_most": "at most"}
    return [f"priority is {words[name]} {limit}" for name, limit in wanted.items()]


def _tags(wanted: Any) -> list[str]:
    words = {"any": "tags include", "all": "tags include", "none": "tags do not include"}
    between = {"any": "or", "all": "and", "none": "or"}
    return [f"{words[name]} {_listed(texts, between[name])}" for name, texts in wanted.items()]


def _format(wanted: Any) -> list[str]:
    names = wanted["in"] if isinstance(wanted, Mapping) else [wanted]
    return [f"format is {' or '.join(names)}"]


def _data(wanted: Any) -> list[str]:
    return [
        f"data.{path} {_field(name, value)}"
        for path, tests in wanted.items()
        for name, value in tests.items()
    ]


def _field(name: str, value: Any) -> str:
    if name == "exists":
        return "is there" if value else "is not there"
    return f"is {_listed(value if name == 'in' else [value], 'or')}"


def _any(wanted: Any) -> list[str]:
    return [_several(wanted, "or")]


def _all(wanted: Any) -> list[str]:
    return [_several(wanted, "and")]


def _not(wanted: Any) -> list[str]:
    return [f"not ({_joined(wanted)})"]


def _several(conditions: Sequence[Any], word: str) -> str:
    parts = f" {word} ".join(f"({_joined(one)})" for one in conditions)
    return parts if len(conditions) == 1 else f"({parts})"


def _listed(values: Sequence[Any], word: str) -> str:
    """Write values as JSON, with a word between the last two."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    last = texts.pop()
    return f"{', '.join(texts)} {word} {last}" if texts else last


_CLAUSES: Mapping[str, Callable[[Any], list[str]]] = {
    "priority": _priority,
    "tags": _tags,
    "format": _format,
    "data": _data,
    "any": _any,
    "all": _all,
    "not": _not,
}
