r"""Conditions: which messages a topic's channel takes, written as JSON.

An object of tests, all of which must hold::

    {"priority": {"at_most": 2}}                      also "at_least", or the number alone
    {"tags": {"any": ["urgent", "vip"]}}              also "all" and "none"
    {"format": "html"}                                or {"in": ["html", "markdown"]}
    {"data": {"customer.country": {"equals": "ES"}}}  also {"in": [...]} and {"exists": true}
    {"any": [{...}, {...}]}                           also {"all": [...]} and {"not": {...}}

A name in ``data`` is a path: dots lead into objects, never into lists. A dot that belongs to a key
is written ``\.`` and a backslash ``\\``. Values are compared strictly: 1 is 1.0, but neither
"1" nor true. A field that is there with ``null`` exists.
"""

from almenara.conditions.checking import (
    DEEPEST,
    LONGEST_TEXT,
    MOST_VALUES,
    check_condition,
    find_mistakes,
)
from almenara.conditions.describing import describe
from almenara.conditions.matching import Content, matches
from almenara.conditions.paths import read_path

__all__ = [
    "DEEPEST",
    "LONGEST_TEXT",
    "MOST_VALUES",
    "Content",
    "check_condition",
    "describe",
    "find_mistakes",
    "matches",
    "read_path",
]
