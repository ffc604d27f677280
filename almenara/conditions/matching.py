"""Whether a message is one that a condition wants; raises for no condition that was checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from almenara.conditions.paths import read_path

#: Stands for a field that is not there: ``None`` is JSON's null.
_ABSENT = object()


class Content(Protocol):
    """What of a message a condition can look at."""

    @property
    def priority(self) -> int:
        """1 is the most urgent, 5 the least."""
        ...

    @property
    def tags(self) -> Sequence[str]:
        """The sender's words."""
        ...

    @property
    def format(self) -> str:
        """How the text is written."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """The sender's structured content."""
        ...


def matches(condition: Mapping[str, Any], message: Content) -> bool:
    """Tell whether all tests of a checked condition hold for a message."""
    return all(_TESTS[name](wanted, message) for name, wanted in condition.items())


def same(one: object, other: object) -> bool:
    """Tell whether two JSON values that are no lists or objects are the same.

    Numbers by their value, everything else only within its own kind.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and one == other


def _priority(wanted: Any, message: Content) -> bool:
    if not isinstance(wanted, Mapping):
        return bool(message.priority == wanted)
    least, most = wanted.get("at_least", 1), wanted.get("at_most", 5)
    return bool(least <= message.priority <= most)


def _tags(wanted: Any, message: Content) -> bool:
    has = set(message.tags)
    return (
        ("any" not in wanted or not has.isdisjoint(wanted["any"]))
        and has.issuperset(wanted.get("all", ()))
        and has.isdisjoint(wanted.get("none", ()))
    )


def _format(wanted: Any, message: Content) -> bool:
    return message.format in (wanted["in"] if isinstance(wanted, Mapping) else [wanted])


def _data(wanted: Any, message: Content) -> bool:
    return all(_field(tests, _find(path, message.data)) for path, tests in wanted.items())


def _field(tests: Mapping[str, Any], value: object) -> bool:
    if "exists" in tests and tests["exists"] != (value is not _ABSENT):
        return False
    if "equals" in tests and not same(tests["equals"], value):
        return False
    return "in" not in tests or any(same(one, value) for one in tests["in"])


def _find(path: str, data: object) -> object:
    """Return what stands at a path."""
    for key in read_path(path) or ("",):
        if not isinstance(data, Mapping) or key not in data:
            return _ABSENT
        data = data[key]
    return data


_TESTS: Mapping[str, Callable[[Any, Content], bool]] = {
    "priority": _priority,
    "tags": _tags,
    "format": _format,
    "data": _data,
    "any": lambda wanted, message: any(matches(one, message) for one in wanted),
    "all": lambda wanted, message: all(matches(one, message) for one in wanted),
    "not": lambda wanted, message: not matches(wanted, message),
}
