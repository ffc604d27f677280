"""The filters of templates: each works on the message's own values, and within the budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final
from urllib.parse import quote

from jinja2 import pass_context
from jinja2.runtime import Context, Undefined

from almenara.errors import TemplateError
from almenara.formats import cut
from almenara.templates.budget import LONGEST_TEXT, Budget, check_size, given, too_long
from almenara.templates.language import BUDGET, COUNTED, ITEMS, JOINED

Filter = Callable[..., Any]


class Safe(str):
    """A text that is written in the template's format already, and needs no escaping."""

    __slots__ = ()


def written(value: Any) -> str:
    """Return a value as text: as JSON writes it, but texts bare and nothing for ``null``.

    Raises:
        TemplateError: it is missing, or too large.
    """
    if isinstance(given(value), str):
        return value if isinstance(value, Safe) else str(value)
    return "" if value is None else _json(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(check_size(value), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TemplateError("a value cannot be written as text") from error


def _default(value: Any, default: Any = "", also_empty: bool = False) -> Any:
    return default if isinstance(value, Undefined) or (also_empty and not value) else value


def _counted(value: Any) -> Any:
    if not isinstance(value, list | tuple | Mapping | str):
        raise TemplateError("a loop can only go through a list, an object or a text")
    return value


def _items(value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        raise TemplateError("`items` works on an object")
    return list(value.items())


def _joined(values: Sequence[Any]) -> str:
    return _join(values)


def _join(values: Any, between: Any = "", attribute: str | None = None) -> str:
    parts = [
        written(one) for one in _list(values if attribute is None else _map(values, attribute))
    ]
    glue = written(between)
    if sum(map(len, parts)) + len(glue) * len(parts) > LONGEST_TEXT:
        raise too_long()
    return glue.join(parts)


def _map(values: Any, attribute: str) -> list[Any]:
    return [given(key_of(one, attribute)) for one in _list(values)]


def key_of(value: Any, key: Any) -> Any:
    """Return what stands under a key, or at a place, or nothing (``Missing``)."""
    if isinstance(value, Mapping) and isinstance(key, str) and key in value:
        return value[key]
    if isinstance(value, list | tuple | str) and isinstance(key, int | slice):
        try:
            return value[key]
        except IndexError:
            return Missing(name=str(key))
    return value if isinstance(value, Missing) else Missing(name=str(key))


class Missing(Undefined):
    """A value that is not there: nothing in a condition, an error where it would be written.

    What stands behind its dot is missing too.
    """

    def __getattr__(self, name: str) -> Any:
        """Return itself: the first that is missing is the one to name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _key: Any) -> Any:
        """Return itself."""
        return self


def _list(values: Any) -> list[Any]:
    if isinstance(values, Mapping):
        return list(values)
    if isinstance(values, list | tuple | str):
        return list(values)
    raise TemplateError("this filter works on a list")


def _replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = written(value), written(old), written(new)
    if len(text) + text.count(old) * max(0, len(new) - len(old)) > LONGEST_TEXT:
        raise too_long()
    return text.replace(old, new)


def _truncate(value: Any, length: int = 255) -> str:
    return cut(written(value), max(1, min(int(length), LONGEST_TEXT)))


def _sort(values: Any, attribute: str | None = None, reverse: bool = False) -> list[Any]:
    def key(one: Any) -> Any:
        return one if attribute is None else given(key_of(one, attribute))

    return sorted(_list(values), key=key, reverse=bool(reverse))


def _unique(values: Any) -> list[Any]:
    seen: dict[str, Any] = {}
    for one in _list(values):
        seen.setdefault(written(one), one)
    return list(seen.values())


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else float(written(value))


def _int(value: Any, default: int = 0) -> int:
    try:
        return int(_number(value))
    except (ValueError, OverflowError):
        return default


def _float(value: Any, default: float = 0.0) -> float:
    try:
        return float(_number(value))
    except (ValueError, OverflowError):
        return default


def _round(value: Any, digits: int = 0) -> float | int:
    rounded = round(_number(value), min(int(digits), 15))
    return rounded if digits else int(rounded)


def _first(values: Any) -> Any:
    return key_of(values if isinstance(values, str) else _list(values), 0)


def _last(values: Any) -> Any:
    return key_of(values if isinstance(values, str) else _list(values), -1)


_PLAIN: Final[dict[str, Filter]] = {
    "abs": lambda value: abs(_number(value)),
    "decimals": lambda value, digits=2: f"{_number(value):.{min(int(digits), 15)}f}",
    "capitalize": lambda value: written(value).capitalize(),
    "first": _first,
    "float": _float,
    "int": _int,
    ITEMS: _items,
    "join": _join,
    "json": _json,
    "last": _last,
    "length": lambda value: len(_list(value)),
    "list": _list,
    "lower": lambda value: written(value).lower(),
    "map": _map,
    "max": lambda values: max(_list(values)),
    "min": lambda values: min(_list(values)),
    "replace": _replace,
    "reverse": lambda values: _list(values)[::-1],
    "round": _round,
    "safe": lambda value: Safe(written(value)),
    "sort": _sort,
    "split": lambda value, at: written(value).split(written(at) or None),
    "sum": lambda values: sum(map(_number, _list(values))),
    "title": lambda value: written(value).title(),
    "trim": lambda value: written(value).strip(),
    "truncate": _truncate,
    "unique": _unique,
    "upper": lambda value: written(value).upper(),
    "urlencode": lambda value: quote(written(value), safe=""),
    JOINED: _joined,
}


def budget_of(context: Context) -> Budget:
    """Return the budget of the rendering that a context belongs to."""
    budget = context.resolve(BUDGET)
    if not isinstance(budget, Budget):
        raise TypeError("a template was rendered without a budget")
    return budget


def _within_budget(name: str, work: Filter) -> Filter:
    """Make a filter look at the time, and refuse what is missing.

    It takes the context, so that Jinja2 does not work it out while it compiles.
    """

    @pass_context
    @wraps(work)
    def limited(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget = budget_of(context)
        budget.check_time()
        if name in {"default", "d"}:
            return work(value, *args, **kwargs)
        if name == COUNTED:
            return budget.count(work(given(value)))
        return work(given(value), *args, **kwargs)

    return limited


FILTERS: Final[Mapping[str, Filter]] = {
    name: _within_budget(name, work)
    for name, work in {
        **_PLAIN,
        "count": _PLAIN["length"],
        "d": _default,
        "default": _default,
        "tojson": _json,
        COUNTED: _counted,
    }.items()
}
