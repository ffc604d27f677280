"""The documentation says what the code does: nothing is left out, and nothing is made up."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from almenara import errors
from almenara.api.handlers import CODES, UNREADABLE
from almenara.deliveries import FINAL, TRANSITIONS, MessageStatus, Outcome, Reason, Status
from docs.generate import pages
from tests import house_rules
from tests.pages import (
    ROOT,
    blocks,
    broken_links,
    heading_levels,
    prose,
    read,
    table_rows,
    words,
)

README, README_ES = read("README.md"), read("README.es.md")
STATES = read("docs/explanation/delivery-states.md")


# --- the reference


@pytest.mark.parametrize(("path", "text"), pages().items(), ids=lambda one: Path(one).name[:20])
def test_the_reference_is_what_the_code_says(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `.venv/bin/python -m docs.generate`"


def test_every_error_code_is_documented_and_no_other() -> None:
    rows = list(table_rows(read("docs/reference/api-errors.md")))
    assert {word for row in rows for word in words(row[1])} == set(_error_codes())


def test_the_frameworks_refusals_are_documented_with_their_status() -> None:
    rows = list(table_rows(read("docs/reference/api-errors.md")))
    documented = {(int(row[0]), word) for row in rows for word in words(row[1])}
    assert set(CODES.items()) <= documented


# --- the states of a delivery


def test_the_diagram_has_every_move_and_no_other() -> None:
    [diagram] = blocks(STATES, "mermaid")
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)", diagram.text, re.MULTILINE))
    assert drawn == {(old.value, new.value) for old, many in TRANSITIONS.items() for new in many}


def test_the_table_has_every_status_with_where_it_goes() -> None:
    documented = {row[0].strip("`"): row[2] for row in _table_with("sending", columns=3)}
    assert set(documented) == {status.value for status in Status}
    for status, targets in documented.items():
        if Status(status) in FINAL:
            assert targets == "final"
        else:
            assert words(targets) == {one.value for one in TRANSITIONS[Status(status)]}


def test_every_reason_outcome_and_message_status_is_described() -> None:
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", STATES, re.MULTILINE))
    expected: dict[str, list[str]] = {
        "Reasons": list(Reason),
        "What an attempt comes to": list(Outcome),
        "The status of a message": list(MessageStatus),
    }
    for heading, values in expected.items():
        described = [row[0].strip("`") for row in table_rows(sections[heading])]
        assert sorted(described) == sorted(values), heading


# --- README, links, words


def test_the_readmes_are_short_and_show_a_sent_message_early() -> None:
    for text in (README, README_ES):
        assert len(text.splitlines()) <= 120
        assert '"status":"sent"' in "\n".join(text.splitlines()[:25])


def test_both_readmes_have_the_same_headings_code_and_links() -> None:
    assert heading_levels(README) == heading_levels(README_ES)
    assert blocks(README) == blocks(README_ES)
    links = [re.findall(r"\]\(([^)]+)\)", text) for text in (README, README_ES)]
    assert links[0][1:] == links[1][1:]
    assert (links[0][0], links[1][0]) == ("README.es.md", "README.md")


def test_every_link_leads_somewhere() -> None:
    assert list(broken_links()) == []


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "# A\n[b](b.md) [c](#nowhere) [d](#a) [e](https://example.com)\n"
    )
    assert [line.split()[1] for line in broken_links(tmp_path)] == ["b.md", "#nowhere"]


def test_every_make_target_in_the_docs_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for page in (path for path in house_rules.repository_files(ROOT) if path.suffix == ".md"):
        named = set(re.findall(r"(?:`|^ *)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page


def test_the_glossary_and_the_house_rules_forbid_the_same_words() -> None:
    forbidden = {
        word for row in table_rows(read("docs/glossary.md")) for word in row[2].split(", ") if word
    }
    # "lock" cannot be told from a name alone.
    assert forbidden - {"lock"} == house_rules.NEVER_NAMES


# --- decisions


def test_every_dependency_is_argued() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    wanted = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    names = {re.split(r"[^\w-]", one)[0] for group in wanted for one in group}
    assert names - words(read("docs/explanation/decisions.md")) == set()


def test_a_decision_is_a_question_and_three_sentences() -> None:
    text = read("docs/explanation/decisions.md")
    entries = re.findall(r"^### (.+)\n\n((?:(?!^#).*\n?)*)", text, re.MULTILINE)
    for question, answer in entries:
        sentences = re.findall(r"[.?!](?=\s|$)", re.sub(r"`[^`]+`", "x", answer))
        assert question.endswith("?"), question
        assert len(sentences) == 3, question
    dates = re.findall(r"^## (\d{4}-\d\d-\d\d)", text, re.MULTILINE)
    assert dates == sorted(dates, reverse=True)


def _table_with(word: str, *, columns: int) -> list[list[str]]:
    """Return the rows of the first table of the page on states whose first column has a word."""
    rows = list(table_rows(prose(STATES)))
    start = next(i for i, row in enumerate(rows) if words(row[0]) and len(row) == columns)
    table = rows[start : start + len(Status)]
    assert any(row[0] == f"`{word}`" for row in table)
    return table


def _error_codes() -> Iterator[str]:
    """Give every code that the API answers with, as the code has it."""
    yield from (*CODES.values(), UNREADABLE)
    own = [one for one in vars(errors).values() if isinstance(one, type)]
    # What a plugin raises becomes an attempt, never an answer.
    yield from (
        one.code
        for one in own
        if issubclass(one, errors.AlmenaraError) and not issubclass(one, errors.SendError)
    )
    for place in (
        "accept.py",
        "backups.py",
        "intake.py",
        "api",
        "catalogue",
        "operate.py",
        "log.py",
        "routing.py",
        "secrets",
        "resend.py",
        "replay",
        "conditions",
    ):
        path = ROOT / "almenara" / place
        for file in path.glob("*.py") if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                yield from _codes_in(node)


def _codes_in(node: ast.AST) -> Iterator[str]:
    """Give what is written as ``code=...``, or stands where a code goes."""
    if isinstance(node, ast.keyword) and node.arg == "code":
        yield from _constant(node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in {"UnreadableBodyError", "problem"}:
            yield from _constant(*node.args[1:2])
    elif isinstance(node, ast.JoinedStr) and ast.unparse(node) == "f'{kind}_not_found'":
        yield from ("topic_not_found", "channel_not_found")


def _constant(*nodes: ast.expr) -> Iterator[str]:
    yield from (str(one.value) for one in nodes if isinstance(one, ast.Constant))
