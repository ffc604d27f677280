"""Templates: compiled once, rendered within a budget, whatever stands in them or in the values."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from html import escape as escape_html
from typing import Any, Final

import jinja2
from jinja2 import pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from almenara.errors import TemplateError
from almenara.formats import MARKDOWN
from almenara.plugin import Format
from almenara.templates.budget import LONGEST_SOURCE, LONGEST_TEXT, Budget, given, too_long
from almenara.templates.filters import FILTERS, Missing, Safe, budget_of, key_of, written
from almenara.templates.language import BUDGET, read_tree

_FILE: Final = "<template>"
#: The largest number on the way to a text.
_LARGEST = 10**15
_TESTS: Final = (
    *("defined", "undefined", "none", "boolean", "false", "true", "number", "integer", "float"),
    *("string", "mapping", "sequence", "odd", "even", "divisibleby", "in", "lower", "upper"),
    *("eq", "equalto", "ne", "gt", "greaterthan", "ge", "lt", "lessthan", "le"),
    *("==", "!=", ">", ">=", "<", "<="),
)
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
#: What makes a value harmless in a text of a format.
_ESCAPES: Final[Mapping[Format, Callable[[str], str]]] = {
    "text": str,
    "markdown": MARKDOWN.escape,
    "html": escape_html,
}


class Template:
    """A text with places that values are put into: ``Order {{ data.number }}``.

    It is Jinja2's language without methods, macros and whatever could grow without bound. Values
    are escaped as the format needs it, unless ``|safe`` says that they are written in it.

    Args:
        source: at most 10,000 characters.
        format: what the template's text is written in, and so how values are escaped.

    Raises:
        TemplateError: it cannot be read; names the line.
    """

    def __init__(self, source: str, format: Format = "text") -> None:  # noqa: A002 - the field's name
        self._compiled = _compile(source, format)

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text.

        It may work for half a second: call it in a thread.

        Args:
            values: JSON values by name.

        Raises:
            TemplateError: a value is missing, or it uses up more than it may; names the line.
        """
        context = self._compiled.new_context({**values, BUDGET: Budget()})
        try:
            return "".join(self._compiled.root_render_func(context))
        except TemplateError as error:
            raise TemplateError(f"line {self._line(error)}: {error.message}") from error
        except Exception as error:
            # The values are anybody's: a division by zero, a comparison of a text and a number.
            said = f"{type(error).__name__}: {str(error)[:200]}"
            raise TemplateError(f"line {self._line(error)}: {said}") from error

    def _line(self, error: Exception) -> int:
        """Return the line of the template in which an error was raised."""
        frames = traceback.extract_tb(error.__traceback__)
        inside = [one.lineno for one in frames if one.filename == _FILE and one.lineno]
        return self._compiled.get_corresponding_lineno(inside[-1]) if inside else 1


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 over JSON values: no method, no attribute of Python's, no operator without bound."""

    intercepted_binops = frozenset(_OPERATORS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return what stands behind a dot: a key; of a loop its own words."""
        if isinstance(obj, LoopContext) and not attribute.startswith("_"):
            value = getattr(obj, attribute, None)
            return value if isinstance(value, int | bool) else Missing(name=attribute)
        return key_of(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return what stands under a key or at a place."""
        return key_of(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Reckon with numbers, and put texts together."""
        given(left), given(right)
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            if len(left) + len(right) > LONGEST_TEXT:
                raise too_long()
            return left + right
        for one in (left, right):
            if not isinstance(one, int | float) or abs(one) > _LARGEST:
                raise TemplateError(f"`{operator}` reckons with numbers up to {_LARGEST:,}")
        return _OPERATORS[operator](left, right)


@cache
def _environment(format: Format) -> _Environment:  # noqa: A002 - the field's name
    escape = _ESCAPES[format]

    @pass_context
    def finish(context: Context, value: Any) -> str:
        text = written(value)
        return budget_of(context).write(text if isinstance(text, Safe) else escape(text))

    environment = _Environment(
        undefined=Missing,
        finalize=finish,
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,
        cache_size=0,
    )
    environment.globals.clear()
    tests = environment.tests
    environment.tests = {name: tests[name] for name in _TESTS}
    environment.filters = dict(FILTERS)
    return environment


@lru_cache(maxsize=256)
def _compile(source: str, format: Format) -> jinja2.Template:  # noqa: A002 - the field's name
    if len(source) > LONGEST_SOURCE:
        raise TemplateError(f"it has more than {LONGEST_SOURCE:,} characters")
    environment = _environment(format)
    try:
        return environment.from_string(read_tree(environment, source))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: {(error.message or '').rstrip('.')}") from error
    except RecursionError as error:
        raise TemplateError("it is nested too deeply") from error
