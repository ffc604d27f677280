"""Builds the documentation as a web site: `make site`, or `.venv/bin/python -m docs.site`.

The channels' pages stand beside their plugins and a few in the repository's root: on the site they
have a place too, so the pages are gathered first, and their links led to where the goals stand. A
link to what is not on the site becomes plain text; one that leads nowhere ends the build.
"""
# ruff: noqa: INP001 - a folder of pages with one script is no package

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parent
ROOT = DOCS.parent
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_FIRST = ("index.md", "quickstart.md", "quickstart.es.md")
_SECTIONS = {"howto": "How to", "reference": "Reference", "explanation": "Explanation"}
#: What stands in `docs/` and is no part of the site.
_OURS = frozenset({".py", ".yaml"})


def places() -> dict[Path, str]:
    """Return every file of the site, with its place there."""
    own = (path for path in sorted(DOCS.rglob("*")) if path.is_file())
    plugins = sorted((ROOT / "almenara" / "plugins").glob("*/README.md"))
    root = (ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"))
    return (
        {path: path.relative_to(DOCS).as_posix() for path in own if path.suffix not in _OURS}
        | {path: f"reference/channels/{path.parent.name}.md" for path in plugins}
        | {path: f"project/{path.name.lower()}" for path in root}
    )


def gather(directory: Path) -> None:
    """Write the pages with their links, and the settings with the navigation, for the generator."""
    known = places()
    for path, place in known.items():
        copy = directory / "docs" / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            copy.write_text(_page(path, known), encoding="utf-8")
        else:
            shutil.copyfile(path, copy)
    names = [place for place in known.values() if place.endswith(".md")]
    settings = (DOCS / "site.yaml").read_text(encoding="utf-8")
    navigation = yaml.safe_dump({"nav": _navigation(names)}, sort_keys=False)
    (directory / "mkdocs.yml").write_text(settings + navigation, encoding="utf-8")


def _navigation(names: list[str]) -> list[Any]:
    """Order the pages: those of a directory are found, not listed."""
    sections = [{title: _in(f"{one}/", names)} for one, title in _SECTIONS.items()]
    return [
        *(name for name in _FIRST if name in names),
        *sections,
        "glossary.md",
        {"Project": _in("project/", names)},
    ]


def _in(directory: str, names: Iterable[str]) -> list[Any]:
    """List the pages of a directory, and those of directories in it under their names."""
    inside = sorted(name for name in names if name.startswith(directory))
    pages: list[Any] = [name for name in inside if "/" not in name.removeprefix(directory)]
    deeper = {name.removeprefix(directory).split("/")[0] for name in set(inside) - {*pages}}
    return pages + [{f"The {one}": _in(f"{directory}{one}/", inside)} for one in sorted(deeper)]


def _page(path: Path, known: dict[Path, str]) -> str:
    """Return a page whose links lead to where their goals stand on the site."""
    parts = _FENCED.split(path.read_text(encoding="utf-8"))
    for number in range(0, len(parts), 2):
        parts[number] = _LINK.sub(lambda link: _led(link, path, known), parts[number])
    return "".join(parts)


def _led(link: re.Match[str], page: Path, known: dict[Path, str]) -> str:
    label, target = link.groups()
    path, mark, anchor = target.partition("#")
    goal = Path(os.path.normpath(page.parent / path))
    if "://" in target or not path or (goal not in known and not goal.exists()):
        return link[0]
    if goal not in known:
        return label
    here = Path(known[page]).parent
    return f"[{label}]({os.path.relpath(known[goal], here)}{mark}{anchor})"


def build(site: Path, *, work: Path) -> subprocess.CompletedProcess[str]:
    """Build the site strictly; what stood at its place and at that of the work is gone."""
    shutil.rmtree(work, ignore_errors=True)
    gather(work)
    settings = work / "mkdocs.yml"
    built = subprocess.run(  # noqa: S603 - our own interpreter, and paths of our own
        [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(settings)],
        cwd=work,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode == 0:
        shutil.rmtree(site, ignore_errors=True)
        shutil.move(work / "site", site)
    return built


if __name__ == "__main__":
    finished = build(ROOT / "site", work=ROOT / "build" / "site")
    sys.stdout.write(finished.stdout)
    sys.exit(finished.stderr if finished.returncode else 0)
