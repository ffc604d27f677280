"""Texts that have broken other systems, and the fields that keep texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Names of other systems' mistakes: encodings, directions, quotes, templates, formats, numbers.
TEXTS: tuple[str, ...] = (
    *("0", "-1", "1e309", "NaN", "Infinity", "0x10", "1,000.00", "١٢٣", "１２３", "null", "None"),
    *("undefined", "true", "[]", "{}", '{"a": 1}', "---\na: b", "=1+1", "@SUM(A1)", "+1", "-2+3"),
    *("'", '"', "''", "`", "\\", "\\\\", "\\'", "\\u0041", "\\x00", "%00", "%", "%s%n%d", "{0}"),
    *("' OR 1=1 --", "'; DROP TABLE message; --", "1) UNION SELECT", "$1", "$$", ":name", "?"),
    *("{{7*7}}", "{% raw %}", "${7*7}", "#{7*7}", "<%= 7 %>", "${jndi:ldap://x.example/a}"),
    *("<script>alert(1)</script>", "<b>", "&lt;", "&#0;", "]]>", "<!--", "javascript:alert(1)"),
    *("../../etc/passwd", "..\\..\\", "/dev/null", "C:\\con", "file:///etc/passwd", "~root"),
    *("; ls", "$(ls)", "| cat", "&& true", "\r\nBcc: a@example.org", "a\r\nb", "a\nb", "a\rb"),
    *("=?utf-8?q?a=0d=0aBcc:_x?=", "a\tb", "\x0b\x0c", "\x1b[31m", "\x07", "\x7f", "\x80\x9f"),
    *("é", "e\u0301", "Å", "A\u030a", "ﬁ", "ß", "ẞ", "İ", "ı", "ſ", "K", "Ω", "ǅ", "Ⅷ", "①"),
    *("日本語", "한국어", "हिन्दी", "العربية", "עברית", "ไทย", "ქართული", "ᚠᛇᚻ", "𐎀", "𝒳", "𠜎"),
    *(
        "😀",
        "👩‍👩‍👧‍👦",
        "🏳️‍🌈",
        "🇪🇸",
        "👍🏽",
        "e" + "\u0301" * 60,
        "\u202eabc\u202c",
        "\u2066a\u2069",
    ),
    *("\u200b", "a\u200bb", "\ufeffa", "\u00ad", "\u2028", "\u2029", "\u0085", "\u180e", "\u3000a"),
    *("\ufffd", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff", "\ue000", "\U000f0000", "\ufdd0"),
    *(
        " a",
        "a ",
        " a  b ",
        "\ta",
        "a\u00a0b",
        "a" * 64,
        "é" * 64,
        "😀" * 32,
        "a" * 255,
        "😀" * 255,
    ),
    *("\x00", "a\x00b", "\ud800", "\udfff", "a\ud83d", "\ude00a", "\udc00\ud800", "\ud83d\x00"),
    *(" ", "", "\u2003", "\n"),
    *(
        "hello",
        "HELLO",
        "log",
        "almenara.failed",
        "*",
        "a.b",
        "-",
        "_",
        ".",
        "..",
        "con",
        "CON.txt",
    ),
)

#: The fields of a message that keep a text; each is shown as it is written.
FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "title": lambda text: {"title": text},
    "description": lambda text: {"description": text},
    "reference": lambda text: {"reference": text},
    "collapse_key": lambda text: {"collapse_key": text},
    "tags": lambda text: {"tags": ["first", text]},
    "to": lambda text: {"to": [text]},
    "data": lambda text: {"data": {"a": [{"b": text}]}},
    "a key of data": lambda text: {"data": {text: 1}},
    "metadata": lambda text: {"metadata": {"a": text}},
    "a key of metadata": lambda text: {"metadata": {text: {"b": None}}},
}
#: Those that a condition compares.
CONDITIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "a value": lambda text: {"data": {"a": {"equals": text}}},
    "a path": lambda text: {"data": {text: {"exists": True}}},
    "a tag": lambda text: {"tags": {"any": [text]}},
}
