"""What a server imports at its start: nothing that most servers never use."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: By what brings it in later.
LATER = {
    "PostgreSQL": "asyncpg",
    "a token": "jwt",
    "a sealed secret": "cryptography",
    "a text in Markdown": "markdown_it",
    "traces": "opentelemetry.sdk",
    "a migration": "tortoise.migrations.executor",
    "the help of the command line": "rich",
}


@pytest.fixture(scope="module")
def imported() -> frozenset[str]:
    # With every plugin that is shipped, as a server loads them at its start.
    program = (
        "import sys, almenara.cli, almenara.app; from almenara.loader import Plugins; "
        "plugins = Plugins(None); plugins.load(); assert plugins.found; print(*sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return frozenset(finished.stdout.split())


@pytest.mark.parametrize("module", LATER.values(), ids=LATER)
def test_a_server_does_not_import_at_its_start_what_comes_with(
    module: str, imported: frozenset[str]
) -> None:
    assert "almenara.app" in imported
    assert module not in imported


def test_the_help_of_the_command_line_still_finds_rich() -> None:
    program = "import almenara.telemetry, rich; print(rich.__name__)"
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "rich"
