"""JSON of the server made into the result classes: by their fields' types, once for each class."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from almenara.client.failures import StrangeAnswerError

T = TypeVar("T")

_Reader = Callable[[Any], Any]


def read(kind: type[T], value: Any) -> T:
    """Make a result of what the server answered; fields that are not known here are left out.

    Raises:
        StrangeAnswerError: what must be there is not, or of another kind.
    """
    try:
        result: T = _reader(cast("Any", kind))(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise StrangeAnswerError(
            f"The server's answer is no {kind.__name__} as this client knows it; it may be of "
            "another version."
        ) from error
    return result


@cache
def _reader(kind: Any) -> _Reader:
    if dataclasses.is_dataclass(kind):
        return _object_reader(kind)
    if kind is datetime:
        return datetime.fromisoformat
    origin = get_origin(kind)
    if origin is list:
        read_one = _reader(get_args(kind)[0])
        return lambda values: [read_one(one) for one in values]
    if origin in {Union, types.UnionType}:
        return _optional_reader(kind)
    return _as_it_is


def _object_reader(kind: Any) -> _Reader:
    hints = get_type_hints(kind)
    readers = {one.name: _reader(hints[one.name]) for one in dataclasses.fields(kind)}

    def read_object(value: Any) -> Any:
        known = {name: reader(value[name]) for name, reader in readers.items() if name in value}
        return kind(**known)

    return read_object


def _optional_reader(kind: Any) -> _Reader:
    kinds = [one for one in get_args(kind) if one is not type(None)]
    # Only "this or nothing" is read; of several kinds the value says itself which it is.
    read_one = _reader(kinds[0]) if len(kinds) == 1 else _as_it_is
    return lambda value: None if value is None else read_one(value)


def _as_it_is(value: Any) -> Any:
    return value
