"""The documentation as a web site: every page is on it, every link leads somewhere, by itself."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from docs import site
from tests.pages import ROOT


@pytest.fixture
def few_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A documentation of two pages, instead of all."""
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(ROOT / "docs" / "site.yaml", docs)
    (docs / "glossary.md").write_text("# Glossary\n\n## One word\n")
    monkeypatch.setattr(site, "DOCS", docs)
    monkeypatch.setattr(site, "ROOT", tmp_path)
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        (tmp_path / name).write_text("# A page\n")
    return docs


def test_the_site_has_every_page_and_asks_no_other_server(tmp_path: Path) -> None:
    built = site.build(tmp_path / "site", work=tmp_path / "work")
    assert built.returncode == 0, built.stdout + built.stderr
    places = {place for place in site.places().values() if place.endswith(".md")}
    for place in places:
        page = (tmp_path / "site" / place).with_suffix(".html").read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="([^"]+)', page)
        assert loaded, place
        assert not [one for one in loaded if "//" in one], place
        assert 'class="mermaid"' not in page, "its script would come from another server"
    settings = (tmp_path / "work" / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w./-]+\.md", settings.partition("\nnav:")[2])
    assert sorted(listed) == sorted(places)
    search = (tmp_path / "site" / "search.json").read_text(encoding="utf-8")
    assert "explanation/peers.html" in search


@pytest.mark.parametrize("link", ["nowhere.md", "glossary.md#two-words"])
def test_a_link_that_leads_nowhere_ends_the_build(few_pages: Path, link: str) -> None:
    (few_pages / "index.md").write_text(f"# Start\n\n[there]({link})\n")
    work = few_pages.parent / "work"
    built = site.build(few_pages.parent / "site", work=work)
    assert built.returncode != 0
    assert "does not exist" in built.stdout + built.stderr
    assert not (few_pages.parent / "site").exists()


def test_links_lead_to_where_their_goals_stand_on_the_site(few_pages: Path) -> None:
    """Those to what is not on it become text; code stays as it is."""
    (few_pages / "howto").mkdir()
    page = few_pages / "howto" / "a.md"
    page.write_text(
        "[own](../glossary.md#one-word) [root](../../SECURITY.md) [file](../../LICENSE)\n"
        "[out](https://example.org)\n```text\n[code](../../SECURITY.md)\n```\n"
    )
    (few_pages.parent / "LICENSE").touch()
    site.gather(few_pages.parent / "work")
    assert (few_pages.parent / "work" / "docs" / "howto" / "a.md").read_text() == (
        "[own](../glossary.md#one-word) [root](../project/security.md) file\n"
        "[out](https://example.org)\n```text\n[code](../../SECURITY.md)\n```\n"
    )


def test_pages_are_found_by_their_directory(few_pages: Path) -> None:
    for name in ("howto/b.md", "howto/a.md", "reference/r.md", "reference/parts/p.md"):
        path = few_pages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# A page\n")
    (few_pages / "index.md").write_text("# Start\n")
    site.gather(few_pages.parent / "work")
    text = (few_pages.parent / "work" / "mkdocs.yml").read_text()
    navigation = yaml.safe_load(text[text.index("\nnav:") :])["nav"]
    assert navigation[:3] == [
        "index.md",
        {"How to": ["howto/a.md", "howto/b.md"]},
        {"Reference": ["reference/r.md", {"The parts": ["reference/parts/p.md"]}]},
    ]
