"""Templates: what they can say, what they cannot, and that none of them runs away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.errors import TemplateError
from almenara.templates import LONGEST_SOURCE, Template

DATA = {
    "customer": {"name": "Ana <b>*López*</b>", "tags": ["vip", "es"]},
    "lines": [{"name": "Tea", "price": 3.5}, {"name": "Salt", "price": 1}],
    "paid": True,
    "note": None,
    "number": 17,
    "items": ["a key of this name"],
    "long": "x" * 1_000,
}


def fill(source: str, written_in: Any = "text", **values: Any) -> str:
    return Template(source, written_in).render({"data": DATA, **values})


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Order {{ data.number }}", "Order 17"),
        ("{{ data['customer']['name'] }}", "Ana <b>*López*</b>"),
        ("{{ data.lines[0].name }} {{ data.lines[-1].name }}", "Tea Salt"),
        (
            "{% for one in data.lines %}{{ loop.index }} {{ one.name }};{% endfor %}",
            "1 Tea;2 Salt;",
        ),
        ("{% for one in data.lines if one.price > 2 %}{{ one.name }}{% endfor %}", "Tea"),
        ("{% for one in data.none_such or [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for one in data.none_such|default([]) %}x{% else %}none{% endfor %}", "none"),
        ("{% if data.none_such %}x{% elif data.paid %}paid{% endif %}", "paid"),
        ("{% for k, v in data.customer|items %}{{ k }},{% endfor %}", "name,tags,"),
        ("{% for k, v in data.customer.items() %}{{ k }},{% endfor %}", "name,tags,"),
        ("{{ data.items[0] }}", "a key of this name"),
        ("{{ data.paid }} {{ data.note }}| {{ data.lines[1].price }}", "true | 1"),
        ("{{ data.lines|map('name')|join(', ') }}", "Tea, Salt"),
        ("{{ data.lines|map('price')|sum|round(1) }}", "4.5"),
        ("{{ data.lines|sort('name')|map('name')|join }}", "SaltTea"),
        ("{{ (data.lines|sort('price', true)|first).name }}", "Tea"),
        ("{{ data.customer.tags|last|upper }}", "ES"),
        ("{{ data.a.b.c|default('?') }} {{ data.note|d('?', true) }}", "? ?"),
        ("{{ 'a' ~ data.number ~ 'b' }} {{ 'a' + 'b' }}", "a17b ab"),
        ("{{ data.number * 2 - 4 }} {{ data.number // 3 }} {{ data.number % 5 }}", "30 5 2"),
        ("{{ -data.number|abs }} {{ data.number / 2 }}", "17 8.5"),
        ("{{ data.customer.tags|tojson }}", '["vip", "es"]'),
        ("{{ data.customer.tags }}", '["vip", "es"]'),
        ("{{ 'a b&c'|urlencode }}", "a%20b%26c"),
        ("{{ 'abcdef'|truncate(4) }} {{ 'abcdef'[1:3] }}", "abc… bc"),
        ("{{ '  x '|trim|title }} {{ 'abc'|capitalize }} {{ 'ABC'|lower }}", "X Abc abc"),
        ("{{ '12'|int + 1 }} {{ 'x'|int }} {{ '1.5'|float }} {{ 2.6|round }}", "13 0 1.5 3"),
        ("{{ 'x'|float(7) }} {{ [3, 1, 2]|max }} {{ [3, 1, 2]|min }}", "7 3 1"),
        ("{{ [1, 1, 2]|unique|length }} {{ 'abc'|reverse|join }} {{ 'abc'|first }}", "2 cba a"),
        ("{{ data.customer|list|join('+') }} {{ 'a-b'|replace('-', '+') }}", "name+tags a+b"),
        ("{% set n = data.number %}{{ 'big' if n > 10 else 'small' }}", "big"),
        ("{{ data.none_such is defined }} {{ data.number is number }}", "false true"),
        ("{{ 'vip' in data.customer.tags }} {{ not data.paid }}", "true false"),
        ("{# said to nobody #}{% raw %}{{ as it is }}{% endraw %}", "{{ as it is }}"),
        ("naïve 👩‍👩‍👧 שלום {{ '🙂' }}", "naïve 👩‍👩‍👧 שלום 🙂"),
    ],
)
def test_what_templates_say(source: str, text: str) -> None:
    assert fill(source) == text


def test_values_are_escaped_as_the_format_needs_it() -> None:
    source = "Hello {{ data.customer.name }}, {{ '**you**'|safe }}"
    assert fill(source, "markdown") == r"Hello Ana \<b\>\*López\*\</b\>, **you**"
    assert fill(source, "html") == "Hello Ana &lt;b&gt;*López*&lt;/b&gt;, **you**"
    assert fill("{{ data.customer.name|upper|safe }}", "html") == "ANA <B>*LÓPEZ*</B>"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ data.amount }}", "line 1: the message has no `amount`, and the template gives no"),
        ("\n\n{{ data.a.b.c }}", "line 3: the message has no `a`"),
        ("{{ data.lines[7].name }}", "the message has no `7`"),
        ("{{ none_such }}", "the message has no `none_such`"),
        ("{{ data.none_such|upper }}", "the message has no `none_such`"),
        ("{{ data.lines|map('weight')|join }}", "the message has no `weight`"),
        ("{% for one in data.none_such %}{% endfor %}", "the message has no `none_such`"),
        ("{{ data.none_such + 1 }}", "the message has no `none_such`"),
        ("{{ 1 if data.none_such }}", "has no"),
        ("{% for one in 7 %}{% endfor %}", "a loop can only go through a list"),
        ("{{ data.number|items }}", "`items` works on an object"),
        ("{{ data.number|join }}", "this filter works on a list"),
        ("{{ data.number + 'x' }}", "`+` reckons with numbers"),
        ("{{ 'x' * 3 }}", "`*` reckons with numbers"),
        ("{{ '%s' % 3 }}", "`%` reckons with numbers"),
        ("{{ data.number / 0 }}", "line 1: ZeroDivisionError: division by zero"),
        ("{{ 'x' < 3 }}", "line 1: TypeError"),
        ("{{ data.customer|sum }}", "line 1: ValueError"),
        ("{{ []|max }}", "line 1: ValueError"),
    ],
)
def test_what_cannot_be_filled(source: str, said: str) -> None:
    template = Template(source)
    with pytest.raises(TemplateError) as caught:
        template.render({"data": DATA})
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ data.", "line 1: "),
        ("a\nb {% if %}", "line 2: "),
        ("{% for a in b %}", "line 1: "),
        ("{{ x|none_such }}", "line 1: No filter named 'none_such'"),
        ("{{ x is none_such }}", "line 1: No test named 'none_such'"),
        ("{{ x|format(1) }}", "No filter named 'format'"),
        ("{{ 9 ** 9 ** 9 }}", "line 1: `**` cannot be used here"),
        ("{{ data.name.upper() }}", "write a filter, such as `name|upper`"),
        ("{{ range(10) }}", "a call with ( )"),
        ("{{ data.items(1) }}", "a call with ( )"),
        ("{{ lipsum() }}", "a call with ( )"),
        ("{% macro f() %}{% endmacro %}", "`macro` cannot be used here"),
        ("{% call x() %}{% endcall %}", "`call` cannot be used here"),
        ("{% include 'x' %}", "`include`"),
        ("{% import 'x' as y %}", "`import`"),
        ("{% from 'x' import y %}", "`import`"),
        ("{% extends 'x' %}", "`extends`"),
        ("{% block x %}{% endblock %}", "`block`"),
        ("{% set x %}{% endset %}", "`set` as a block"),
        ("{% set x.y = 1 %}", "`namespace`"),
        ("{% filter upper %}{% endfilter %}", "`filter` as a block"),
        ("{% with %}{% endwith %}", "`with`"),
        ("{{ {'a': 1} }}", "an object in { }"),
        ("{{ [data, data] }}", "a list can hold only texts and numbers"),
        ("{% set x = (data, data) %}", "a list can hold only texts and numbers"),
        ("{% for a in b recursive %}{% endfor %}", "a loop cannot be recursive"),
        ("{{ _budget }}", "a name cannot begin with `_`"),
        ("{{ x|_counted }}", "a name cannot begin with `_`"),
        ("{{ x|join(*y) }}", "`*` cannot stand in a filter"),
        ("x" * (LONGEST_SOURCE + 1), "it has more than 10,000 characters"),
        ("{{ " + "(" * 3_000 + ")" * 3_000 + " }}", "nested too deeply"),
    ],
)
def test_what_is_no_template(source: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "attribute",
    ["__class__", "__init__", "__globals__", "_budget", "upper", "keys", "format", "mro"],
)
@pytest.mark.parametrize("value", ["data", "data.lines", "data.number", "data.paid", "'x'"])
def test_python_is_out_of_reach(value: str, attribute: str) -> None:
    for written in (f"{value}.{attribute}", f"{value}['{attribute}']"):
        with pytest.raises(TemplateError, match="the message has no"):
            fill(f"{{{{ ({written})|json }}}}")
    with pytest.raises(TemplateError):
        fill(f"{{% for a in data.lines %}}{{{{ loop.{attribute} }}}}{{% endfor %}}")


ENDLESS = [
    "{% for a in data.long %}" * 3 + "{% endfor %}" * 3,
    "{% for a in data.long %}{{ data.long }}{% endfor %}",
    "{% set a = data.long %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "{% set a = data.long %}" + "{% set a = a + a %}" * 40,
    "{% set a = data.long %}" + "{% set a = a|replace('x', a) %}" * 40,
    "{% set a = 99 %}" + "{% set a = a * a %}" * 40,
    "{% set a = data.long|list %}" + "{% set a = a|join(data.long) %}" * 3,
    "{{ data.long|truncate(10000000)|replace('x', data.long) }}",
    "{% for a in data.long %}" + "{% set b = data.deep|json %}" * 200 + "{% endfor %}",
]


@pytest.mark.parametrize("source", ENDLESS, ids=range(len(ENDLESS)))
def test_no_template_runs_away(source: str) -> None:
    deep = [[{"name": "x" * 10, "n": index} for index in range(50)] for _ in range(50)]
    with pytest.raises(TemplateError, match=r"more than|longer than|numbers up to"):
        Template(source).render({"data": {**DATA, "deep": deep}})


def test_a_value_too_large_is_not_written() -> None:
    tower: Any = "x" * 1_000
    for _ in range(40):
        tower = [tower, tower]
    with pytest.raises(TemplateError, match="makes a text of more than"):
        fill("{{ tower }}", tower=tower)


def test_what_json_cannot_hold_is_not_written() -> None:
    with pytest.raises(TemplateError, match="cannot be written as text"):
        fill("{{ odd }}", odd=[object()])


PIECES = [
    *("{{", "}}", "{%", "%}", "{#", "#}", "for", "in", "endfor", "if", "set", "=", "|", "join"),
    *("data", "a", "1", "'", "~", "*", "**", ".", "[", "]", "(", ")", "__class__", "🙂"),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join))
def test_any_text_is_a_template_or_refused_in_a_sentence(source: str) -> None:
    said = []
    try:
        said.append(Template(source).render({"data": DATA}))
    except TemplateError as error:
        said += error.message.splitlines()
    assert len(said) == 1
