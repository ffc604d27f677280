"""The error tree: each error says what happened, and carries a stable word for machines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from almenara import errors
from almenara.errors import (
    AlmenaraError,
    AmbiguousPluginError,
    BrokenPluginError,
    ConflictError,
    FieldError,
    InvalidInputError,
    NotFoundError,
    PermanentError,
    PluginError,
    RateLimitedError,
    SendError,
    TemporaryError,
    UnavailableError,
)


def _tree(top: type[AlmenaraError]) -> Iterator[type[AlmenaraError]]:
    yield top
    for child in top.__subclasses__():
        yield from _tree(child)


OUR_OWN = [kind for kind in _tree(AlmenaraError) if kind.__module__ == errors.__name__]
SIMPLE = [kind for kind in OUR_OWN if kind is not NotFoundError]


@pytest.mark.parametrize("kind", SIMPLE)
def test_the_first_line_of_the_docstring_is_the_default_message(kind: type[AlmenaraError]) -> None:
    assert kind.__doc__ is not None
    assert kind().message == kind.__doc__.strip().splitlines()[0]
    assert str(kind()) == kind().message


@pytest.mark.parametrize("kind", SIMPLE)
def test_a_message_of_ones_own_wins(kind: type[AlmenaraError]) -> None:
    assert kind("The mast fell.").message == "The mast fell."


def test_a_class_without_a_docstring_still_makes_an_error() -> None:
    class SilentError(AlmenaraError):
        pass

    SilentError.__doc__ = None
    assert SilentError().message == ""


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in OUR_OWN]
    assert len(set(codes)) == len(codes)


def test_not_found_names_the_thing() -> None:
    error = NotFoundError("topic", "sales")
    assert error.message == "There is no topic 'sales'."
    assert (error.kind, error.name) == ("topic", "sales")


def test_invalid_input_carries_each_field() -> None:
    field = FieldError("settings.port", "missing", "A port is needed.")
    error = InvalidInputError(errors=[field])
    assert error.errors == (field,)
    assert error.exact_code == "invalid_input"


@pytest.mark.parametrize("kind", [InvalidInputError, ConflictError])
def test_a_more_exact_code_can_be_given(
    kind: type[InvalidInputError] | type[ConflictError],
) -> None:
    assert kind(code="topic_not_found").exact_code == "topic_not_found"
    assert kind().exact_code == kind.code


def test_unavailable_says_when_to_come_back() -> None:
    assert UnavailableError().retry_after_seconds == 1
    assert UnavailableError(retry_after_seconds=30).retry_after_seconds == 30


@pytest.mark.parametrize("kind", [TemporaryError, RateLimitedError])
def test_a_temporary_error_may_say_how_long_to_wait(kind: type[TemporaryError]) -> None:
    assert kind().retry_after is None
    assert kind("Too many.", retry_after=2.5).retry_after == 2.5


def test_what_a_plugin_raises_is_told_apart_by_class() -> None:
    assert issubclass(RateLimitedError, TemporaryError)
    assert issubclass(TemporaryError, SendError)
    assert issubclass(PermanentError, SendError)
    assert not issubclass(PermanentError, TemporaryError)
    assert {AmbiguousPluginError, BrokenPluginError} < set(_tree(PluginError))
