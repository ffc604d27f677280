"""A set-up as a file, which `apply` reads and `export` writes: channels and topics by name.

What stands for a channel or a topic is the body that the API takes for it, so one schema holds for
both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from almenara.api.channel_bodies import ChannelFields
from almenara.api.fields import NewName, StrictModel
from almenara.api.topics import TopicFields
from almenara.errors import AlmenaraError, ConfigurationError


class Declaration(StrictModel):
    """Channels and topics, as they shall be."""

    channels: dict[NewName, ChannelFields] = Field(
        default_factory=dict, description="Each channel by its name."
    )
    topics: dict[NewName, TopicFields] = Field(
        default_factory=dict, description="Each topic by its name."
    )

    @field_validator("channels", "topics", mode="before")
    @classmethod
    def _check_section(cls, value: object) -> object:
        if value is None:
            # An empty section of YAML is null.
            return {}
        if isinstance(value, Mapping):
            # Names are the same in any case; of two, one would be dropped without a word.
            names = Counter(str(name).strip().lower() for name in value)
            twice = [name for name, count in names.items() if count > 1]
            if twice:
                raise ValueError(f"{twice[0]!r} stands twice, in one case or another")
        return value


def read_declaration(text: str) -> Declaration:
    """Read a file's text.

    Raises:
        ConfigurationError: it is no YAML, or what stands in it is wrong: names each place.
    """
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"The file is no YAML: {_where(error)}.") from error
    try:
        return Declaration.model_validate({} if content is None else content)
    except ValidationError as error:
        lines = [
            f"  {_place(part['loc'])}: {part['msg'].removeprefix('Value error, ')}"
            for part in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError("\n".join(["The file cannot be used:", *lines])) from error
    except AlmenaraError as error:
        raise ConfigurationError(f"The file cannot be used: {error.message}") from error


def write_declaration(
    channels: Mapping[str, Mapping[str, Any]], topics: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the text of a file."""
    content = {"channels": dict(channels), "topics": dict(topics)}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Declaration.model_json_schema(),
        "title": "Almenara: channels and topics",
    }


class _Loader(yaml.SafeLoader):
    """Reads no name twice: the first one would be dropped without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Make a mapping, unless two of its keys are one."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _where(error: yaml.YAMLError) -> str:
    """Return what is wrong and where, in one line, and nothing of the text itself."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be read"
    return f"{problem} (line {mark.line + 1})" if mark else str(problem)


def _place(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location if part != "[key]"]
    return ".".join(parts) or "the file"
