"""What bodies and addresses are made of: names, times, and the base of every body."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from almenara.errors import FieldError, InvalidInputError

#: What the name of a topic or a channel looks like when it is stored.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
#: What it looks like when it is written.
_WRITTEN_NAME = Annotated[str, Field(pattern=r"^\s*[A-Za-z0-9][A-Za-z0-9._-]{0,63}\s*$")]


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


#: The name of a topic or a channel, written in any case, stored in lower case.
NewName = Annotated[
    str,
    Field(pattern=NAME_PATTERN),
    BeforeValidator(_lower, json_schema_input_type=_WRITTEN_NAME),
]


def refusal(field: str, *, code: str, message: str) -> InvalidInputError:
    """Return the error for one field, where Pydantic cannot know which one it is."""
    return InvalidInputError(message, errors=[FieldError(field=field, code=code, message=message)])


def written_out(value: object) -> object:
    """Refuse bare numbers for a time, which Pydantic would take for seconds since 1970."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value):
        raise ValueError("Write a time with its zone, such as 2026-11-23T22:00:00Z.")
    return value


class StrictModel(BaseModel):
    """The base of every request body: unknown fields are errors, types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


def no_nul(value: str) -> str:
    """Refuse what PostgreSQL would refuse as a parameter."""
    if "\x00" in value:
        raise ValueError("Leave out NUL characters (%00).")
    return value
