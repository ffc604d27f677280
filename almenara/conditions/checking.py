"""Whether a JSON value is a condition; if not, every mistake by its path."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from almenara.conditions.paths import read_path
from almenara.errors import FieldError, InvalidInputError
from almenara.plugin import Format

#: ``any``, ``all`` and ``not`` stand in each other no deeper.
DEEPEST = 8
#: A condition holds no more objects, lists and other values than this, counted together.
MOST_VALUES = 200
#: No text in a condition is longer, in characters.
LONGEST_TEXT = 255

_FORMATS = get_args(Format)
_LARGEST_PRIORITY = 5

_Mistakes = Iterator[FieldError]


def check_condition(value: object, field: str = "condition") -> Mapping[str, Any]:
    """Return a JSON value as the condition that it is.

    Args:
        field: where it stands in the input, for the errors.

    Raises:
        InvalidInputError: it is none; names each mistake by its path.
    """
    mistakes = find_mistakes(value, field)
    if mistakes or not isinstance(value, Mapping):
        raise InvalidInputError(f"{mistakes[0].field}: {mistakes[0].message}", errors=mistakes)
    return value


def find_mistakes(value: object, field: str) -> list[FieldError]:
    """Return everything that keeps a JSON value from being a condition."""
    too_large = _too_large(value)
    if too_large is not None:
        return [_mistake(field, too_large)]
    return list(_condition(value, field, depth=1))


def _too_large(value: object) -> str | None:
    """Say what of a value is beyond the limits, without following it any deeper than they allow."""
    # Each condition has a list or an object around its tests, and they have two more.
    deepest = 2 * DEEPEST + 4
    left = [(value, 0)]
    count = 0
    while left:
        one, depth = left.pop()
        count += 1
        if count > MOST_VALUES:
            return f"Write no more than {MOST_VALUES} values."
        if depth > deepest:
            return f"Nest no deeper than {DEEPEST} conditions."
        if isinstance(one, Mapping):
            left += [(part, depth + 1) for part in one.values()]
        elif isinstance(one, list):
            left += [(part, depth + 1) for part in one]
    return None


def _condition(value: object, field: str, depth: int) -> _Mistakes:
    if depth > DEEPEST:
        yield _mistake(field, f"Nest no deeper than {DEEPEST} conditions.")
        return
    names = {*_TESTS, "any", "all", "not"}
    yield from _object(value, field, names)
    if not isinstance(value, Mapping):
        return
    for name, wanted in value.items():
        place = f"{field}.{name}"
        if name in _TESTS:
            yield from _TESTS[name](wanted, place)
        elif name == "not":
            yield from _condition(wanted, place, depth + 1)
        elif name in names:
            yield from _list(wanted, place, _nested(depth + 1))


def _nested(depth: int) -> Callable[[object, str], _Mistakes]:
    return lambda value, field: _condition(value, field, depth)


def _priority(value: object, field: str) -> _Mistakes:
    if not isinstance(value, Mapping):
        yield from _urgency(value, field, 'or an object with "at_most" or "at_least"')
        return
    yield from _object(value, field, {"at_most", "at_least"})
    for name in ("at_least", "at_most"):
        if name in value:
            yield from _urgency(value[name], f"{field}.{name}")
    limits = [value.get("at_least", 1), value.get("at_most", _LARGEST_PRIORITY)]
    if all(isinstance(one, int) for one in limits) and limits[0] > limits[1]:
        yield _mistake(field, "No message is at least the one and at most the other.")


def _urgency(value: object, field: str, otherwise: str = "") -> _Mistakes:
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or not 1 <= value <= _LARGEST_PRIORITY:  # type: ignore[operator]  # number says so
        ending = f", {otherwise}" if otherwise else ""
        yield _mistake(field, f"Write a whole number from 1 to {_LARGEST_PRIORITY}{ending}.")


def _tags(value: object, field: str) -> _Mistakes:
    names = ("any", "all", "none")
    yield from _object(value, field, set(names))
    if isinstance(value, Mapping):
        for name in names:
            if name in value:
                yield from _list(value[name], f"{field}.{name}", _tag)


def _tag(value: object, field: str) -> _Mistakes:
    if not _is_text(value) or not value:
        yield _mistake(field, f"Write a tag: a text of at most {LONGEST_TEXT} characters.")


def _format(value: object, field: str) -> _Mistakes:
    if isinstance(value, Mapping):
        yield from _object(value, field, {"in"})
        if "in" in value:
            yield from _list(value["in"], f"{field}.in", _one_format)
    elif value not in _FORMATS:
        yield from _one_format(value, field, ', or an object with "in"')


def _one_format(value: object, field: str, otherwise: str = "") -> _Mistakes:
    if value not in _FORMATS:
        yield _mistake(field, f"Write {_listed(_FORMATS)}{otherwise}.")


def _data(value: object, field: str) -> _Mistakes:
    if not isinstance(value, Mapping) or not value:
        yield _mistake(field, 'Write an object such as {"customer.country": {"equals": "ES"}}.')
        return
    for path, tests in value.items():
        place = f"{field}.{path}"
        if not _is_text(path) or read_path(path) is None:
            yield _mistake(
                place,
                f"Write a path of at most {LONGEST_TEXT} characters: keys with dots between them, "
                r"a dot in a key as \. and a backslash as \\.",
            )
        yield from _field(tests, place)


def _field(value: object, field: str) -> _Mistakes:
    yield from _object(value, field, {"equals", "in", "exists"})
    if not isinstance(value, Mapping):
        return
    if "equals" in value:
        yield from _scalar(value["equals"], f"{field}.equals")
    if "in" in value:
        yield from _list(value["in"], f"{field}.in", _scalar)
    if "exists" in value and not isinstance(value["exists"], bool):
        yield _mistake(f"{field}.exists", "Write true or false.")


def _scalar(value: object, field: str) -> _Mistakes:
    fits = value is None or isinstance(value, bool | int) or _is_text(value)
    if not fits and not (isinstance(value, float) and math.isfinite(value)):
        yield _mistake(
            field,
            f"Write a text of at most {LONGEST_TEXT} characters, a number, true, false or null.",
        )


def _object(value: object, field: str, names: set[str]) -> _Mistakes:
    """Find what keeps a value from being an object with at least one of these names, no other."""
    allowed = _listed(sorted(names))
    if not isinstance(value, Mapping) or not value:
        yield _mistake(field, f"Write an object with {allowed}.")
        return
    for name in value:
        if name not in names:
            yield _mistake(f"{field}.{name}", f"There is no such test here; there is {allowed}.")


def _list(value: object, field: str, check: Callable[[object, str], _Mistakes]) -> _Mistakes:
    if not isinstance(value, list) or not value:
        yield _mistake(field, "Write a list with at least one entry.")
        return
    for index, item in enumerate(value):
        yield from check(item, f"{field}.{index}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _listed(names: Any) -> str:
    """Write names with "or" before the last."""
    *most, last = (f'"{name}"' for name in names)
    return f"{', '.join(most)} or {last}" if most else last


def _mistake(field: str, message: str) -> FieldError:
    # A name of the caller's may be as long as the body.
    return FieldError(field=field[:256], code="invalid_condition", message=message)


_TESTS: Mapping[str, Callable[[object, str], _Mistakes]] = {
    "priority": _priority,
    "tags": _tags,
    "format": _format,
    "data": _data,
}
