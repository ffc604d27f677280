"""Every block of code in the documentation, and how it is known to be right.

`.venv/bin/python -m tests.doc_blocks` lists them. A block runs where a test reads its page's blocks
of that language; what cannot run here is parsed, and stands below with the reason.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import yaml

from tests.pages import ROOT, Block, blocks, read

#: What shows something, and is no code of anything.
SHOWN = frozenset({"", "text"})
_SERVES = "it serves until it is stopped; the tests start their own server"
_CLUSTER = "there is no cluster here; tests/test_deploy.py and tests/test_helm.py check the objects"
_SYSTEMD = "systemd starts nothing here; tests/test_systemd.py checks the units"
_BROKER = "it takes more servers; tests/test_deploy.py and test_workers.py start them"
_TRANSLATED = "the same as in English, which a test compares"

#: Pages of which nothing runs, or single blocks by how they begin, with the reason.
NOT_RUN: dict[str, str] = {
    "README.md: make run": _SERVES,
    "README.md: {": "it is cut short",
    "README.es.md": _TRANSLATED,
    "docs/quickstart.md: make run": _SERVES,
    "docs/quickstart.es.md": _TRANSLATED,
    "docs/explanation/delivery-states.md: stateDiagram": "tests/test_docs.py reads it",
    "docs/howto/ask-for-tokens.md: export ALMENARA_JWT_ISSUER": _SERVES,
    "docs/howto/keep-less.md: ALMENARA_RETENTION_DAYS=30": _SERVES,
    "docs/howto/move-to-postgresql.md": "tests/acceptance/test_copy_database.py does it, elsewhere",
    "docs/howto/outgrow-one-machine.md": _BROKER,
    "docs/howto/run-on-kubernetes.md": _CLUSTER,
    "docs/howto/run-under-systemd.md": _SYSTEMD,
    "docs/howto/several-server-processes.md": _BROKER,
    "docs/howto/trace-it.md: FROM almenara": "no Docker engine runs in the tests",
    "docs/howto/watch-it.md: almenara worker": "tests/acceptance/test_metrics_shared.py starts one",
}

_PARSERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "python": ast.parse,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}


@dataclass(frozen=True)
class Known:
    """One block, and how it is known to be right; by nothing, if ``how`` is empty."""

    page: str
    block: Block
    how: str
    #: What of ``NOT_RUN`` holds for it.
    excused_by: str | None = None

    @property
    def name(self) -> str:
        """Its page and its first line."""
        return f"{self.page}: {self.block.text.partition(chr(10))[0][:60]}"


@cache
def inventory() -> tuple[Known, ...]:
    """Go through the blocks of all pages, but for those that only show something."""
    return tuple(_inventory())


def _inventory() -> Iterator[Known]:
    pages = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    for page in ("README.md", "README.es.md", *pages):
        for block in blocks(read(page)):
            if block.language not in SHOWN:
                yield _known(page, block)


def _known(page: str, block: Block) -> Known:
    for key, reason in NOT_RUN.items():
        place, _, start = key.partition(": ")
        if place == page and block.text.startswith(start):
            return Known(page, block, f"{_parsed(block)}not run: {reason}", key)
    runs = _runs_in(page, block.language)
    if runs:
        return Known(page, block, f"runs: {runs}")
    return Known(page, block, "parsed" if _parsed(block) and block.language in _PARSERS else "")


def _parsed(block: Block) -> str:
    """Say that the block can be parsed; nothing where that is not known of its language."""
    if block.language == "sh":
        read_ = subprocess.run(
            ["bash", "-n"], input=block.text, text=True, capture_output=True, check=False
        )
        assert read_.returncode == 0, read_.stderr
    elif block.language in _PARSERS:
        try:
            _PARSERS[block.language](block.text)
        except ValueError:
            return ""
    else:
        return ""
    return "parsed, "


def _runs_in(page: str, language: str) -> str:
    """Name the test file that reads the page's blocks of this language."""
    for name, text in _tests().items():
        if f'"{page}"' in text and re.search(rf'blocks\([^"]*("[^"]*"\))?, "{language}"\)', text):
            return name
    return ""


@cache
def _tests() -> dict[str, str]:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


if __name__ == "__main__":
    for one in inventory():
        sys.stdout.write(f"{one.block.language:10}  {one.name}\n            {one.how or '???'}\n")
