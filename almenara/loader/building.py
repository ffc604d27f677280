"""Builds a plugin for a channel, and checks a channel's settings before they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from almenara.errors import BrokenPluginError, FieldError, InvalidInputError
from almenara.loader.breakage import error_text
from almenara.loader.found import FoundPlugin, Instance
from almenara.loader.masking import (
    env_file_values,
    long_enough,
    mask,
    secret_values,
    written_values,
)
from almenara.plugin import (
    PluginSettings,
    build_settings,
    environment_prefix,
    field_names,
    secret_fields,
)


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with a plugin's settings, wherever the value comes from."""

    #: The setting's written name; empty when the settings are wrong as a whole.
    name: str
    path: str
    code: str
    message: str

    def as_field_error(self) -> FieldError:
        """Return it as the caller of the API sees it."""
        return FieldError(self.path, self.code, self.message)


def build(
    plugin: FoundPlugin, values: Mapping[str, Any], *, hidden: Iterable[str] = ()
) -> Instance:
    """Build a plugin for a channel.

    Args:
        values: the channel's own settings, secrets in clear, by written name.
        hidden: texts that are masked besides what the plugin declares as secret.

    Raises:
        InvalidInputError: a setting is unknown, missing or wrong; no input value is shown.
        BrokenPluginError: the constructor or the reading of the settings raised anything else.
    """
    secrets = _known_secrets(plugin, values) | long_enough(hidden)
    mistakes = _unknown_names(plugin, values)
    settings = None
    if plugin.settings is not None:
        settings, wrong = _read(plugin, plugin.settings, values, secrets)
        mistakes += wrong
    if mistakes:
        raise _invalid(plugin, mistakes)
    secrets |= long_enough(secret_values(settings))
    try:
        target = plugin.cls() if plugin.settings is None else plugin.cls(settings)
    except BaseException as error:  # noqa: BLE001  a constructor may raise anything
        text = mask(error_text(error), secrets)
    else:
        return Instance(plugin, target, secrets)
    # Raised out here, so that no unmasked text hangs on to it as its context.
    raise BrokenPluginError(f"The constructor of {plugin.qualified_name} raised {text}.")


def check(plugin: FoundPlugin, values: Mapping[str, Any]) -> list[str]:
    """Check a channel's settings when it is written; return warnings, a sentence each.

    What is missing, or wrong without having been given, is a warning: the value may come from the
    environment of another process. So is a mistake of the settings as a whole while some of them
    are not given.

    Raises:
        InvalidInputError: a given setting is unknown or wrong; no input value is shown.
        BrokenPluginError: the reading of the settings raised anything else.
    """
    mistakes = _unknown_names(plugin, values)
    warnings = []
    if plugin.settings is not None:
        secrets = _known_secrets(plugin, values)
        for mistake in _read(plugin, plugin.settings, values, secrets)[1]:
            if _is_given(mistake, plugin.settings, values):
                mistakes.append(mistake)
            else:
                warnings.append(_warning(plugin, plugin.settings, mistake))
    if mistakes:
        raise _invalid(plugin, mistakes)
    return warnings


def _known_secrets(plugin: FoundPlugin, values: Mapping[str, Any]) -> frozenset[str]:
    """Return what is secret before the settings could be read."""
    names = secret_fields(plugin.settings) if plugin.settings else frozenset()
    given = [text for name in names if name in values for text in written_values(values[name])]
    return env_file_values(plugin.env_file) | long_enough(given)


def _unknown_names(plugin: FoundPlugin, values: Mapping[str, Any]) -> list[Mistake]:
    allowed = list(field_names(plugin.settings)) if plugin.settings else []
    return [
        Mistake(name, f"settings.{name}", "extra_forbidden", _unknown_name(plugin, name, allowed))
        for name in values
        if name not in allowed
    ]


def _unknown_name(plugin: FoundPlugin, name: str, allowed: list[str]) -> str:
    if not allowed:
        return f"The plugin {plugin.name} takes no settings."
    near = get_close_matches(name, allowed)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(allowed)}."
    return f"The plugin {plugin.name} has no setting of this name; {hint}"


def _read(
    plugin: FoundPlugin,
    settings: type[PluginSettings],
    values: Mapping[str, Any],
    secrets: frozenset[str],
) -> tuple[PluginSettings | None, list[Mistake]]:
    """Read the settings, or say what is wrong with them."""
    known = {name: value for name, value in values.items() if name in field_names(settings)}
    try:
        return build_settings(plugin.cls, settings, known, plugin.env_file), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return None, [_mistake(plugin, settings, detail, secrets) for detail in details]
    except BaseException as error:  # noqa: BLE001  an author's validator may raise anything
        text = mask(error_text(error), secrets)
    raise BrokenPluginError(f"The settings of {plugin.qualified_name} cannot be read: {text}.")


def _mistake(
    plugin: FoundPlugin,
    settings: type[PluginSettings],
    detail: ErrorDetails,
    secrets: Iterable[str],
) -> Mistake:
    location = [str(part) for part in detail["loc"]]
    by_attribute = {attribute: written for written, attribute in field_names(settings).items()}
    name = by_attribute.get(location[0], location[0]) if location else ""
    path = ".".join(["settings", name, *location[1:]]) if location else "settings"
    if detail["type"] == "missing" and len(location) == 1:
        message = f"It is missing: give it here, or as {_variable(plugin, settings, name)}."
        return Mistake(name, path, "missing", message)
    # An author's validator may have put the value into its words.
    said = mask(detail["msg"], {*secrets, *long_enough(written_values(detail["input"]))})
    said = said.removeprefix("Value error, ").removesuffix(".")
    return Mistake(name, path, detail["type"], f"{said}.")


def _variable(plugin: FoundPlugin, settings: type[PluginSettings], name: str) -> str:
    return f"{environment_prefix(plugin.cls, settings)}{name}".upper()


def _is_given(mistake: Mistake, settings: type[PluginSettings], values: Mapping[str, Any]) -> bool:
    """Tell whether the values that are given here are what is wrong."""
    if mistake.name:
        return mistake.name in values
    return all(name in values for name in field_names(settings))


def _warning(plugin: FoundPlugin, settings: type[PluginSettings], mistake: Mistake) -> str:
    if not mistake.name:
        return f"With what is given here the settings are not complete: {mistake.message}"
    variable = _variable(plugin, settings, mistake.name)
    if mistake.code == "missing":
        return (
            f"{mistake.path} is not given: the process that sends must have {variable} "
            "in its environment."
        )
    return (
        f"{mistake.path} is not given, and what {variable} or the plugin's default says "
        f"is wrong: {mistake.message}"
    )


def _invalid(plugin: FoundPlugin, mistakes: list[Mistake]) -> InvalidInputError:
    errors = [mistake.as_field_error() for mistake in mistakes]
    said = " ".join(f"{error.field}: {error.message}" for error in errors)
    return InvalidInputError(f"The settings of {plugin.name} are wrong. {said}", errors=errors)
