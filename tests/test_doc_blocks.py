"""Every block of code in the documentation is known to be right, and every how-to ends in proof."""

from __future__ import annotations

import re

import pytest

from tests import doc_blocks
from tests.pages import ROOT, blocks, heading_levels, prose, read

HOWTOS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/howto").glob("*.md"))


def test_every_block_runs_or_is_parsed_or_has_a_reason() -> None:
    found = doc_blocks.inventory()
    unknown = [one.name for one in found if not one.how]
    assert unknown == [], "type it in a test, or say why not in tests/doc_blocks.py"
    # What runs is by far the most; what is only parsed, or not even that, has its reason there.
    assert sum(one.how.startswith("runs") for one in found) > len(found) / 2


def test_no_reason_outlives_its_block() -> None:
    used = {one.excused_by for one in doc_blocks.inventory()} - {None}
    assert used == set(doc_blocks.NOT_RUN)


@pytest.mark.parametrize("page", HOWTOS)
def test_a_how_to_ends_with_how_to_see_that_it_worked(page: str) -> None:
    headings = re.findall(r"^## (.+)$", prose(read(page)), re.MULTILINE)
    assert headings[-1] == "See that it worked"


def test_both_quick_starts_have_the_same_headings_code_and_links() -> None:
    english, spanish = read("docs/quickstart.md"), read("docs/quickstart.es.md")
    assert heading_levels(english) == heading_levels(spanish)
    assert blocks(english) == blocks(spanish)
    links = [re.findall(r"\]\(([^)]+)\)", text) for text in (english, spanish)]
    assert links[0][1:] == links[1][1:]
    assert (links[0][0], links[1][0]) == ("quickstart.es.md", "quickstart.md")
