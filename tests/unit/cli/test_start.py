"""How the command line starts: quickly, with help for everything, and with codes that are known."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import almenara
from almenara.__main__ import main
from almenara.cli.exits import MEANINGS, ExitCode, exit_code
from almenara.errors import ConfigurationError, NotFoundError, UnavailableError
from tests.unit.cli.conftest import Cli

ROOT = Path(__file__).parents[3]

#: Every command, as design.md and the issue list them.
COMMANDS = [
    *("serve", "migrate", "check", "send", "log", "show", "resend", "cancel", "release"),
    *("topics", "topics list", "topics show", "topics create", "topics update", "topics delete"),
    *("channels", "channels list", "channels show", "channels create", "channels update"),
    *("channels delete", "channels test", "plugins", "plugins list", "plugins show"),
    "plugins new",
]

_LOOK = """
import json, sys
from almenara.cli import run
codes = [run(arguments) for arguments in json.loads(sys.argv[1])]
slow = {"fastapi", "starlette", "tortoise", "aiohttp", "uvicorn", "asyncpg", "aiosqlite"}
slow |= {"cryptography", "jwt", "structlog"}
print(json.dumps({"codes": codes, "imported": sorted(slow & set(sys.modules))}), file=sys.stderr)
"""


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(30)
def test_neither_version_nor_any_help_imports_the_server() -> None:
    runs = [["--version"], ["--help"], *([*one.split(), "--help"] for one in COMMANDS)]
    finished = _python("-c", _LOOK, json.dumps(runs))
    seen = json.loads(finished.stderr)
    assert seen == {"codes": [0] * len(runs), "imported": []}
    assert f"almenara {almenara.__version__}" in finished.stdout


@pytest.mark.timeout(30)
def test_the_package_runs_as_a_module_and_ends_with_the_code() -> None:
    finished = _python("-m", "almenara", "--version")
    assert (finished.returncode, finished.stdout) == (0, f"almenara {almenara.__version__}\n")
    assert _python("-m", "almenara", "topics", "show").returncode == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_of_one_sentence_at_the_top(cli: Cli, command: str) -> None:
    ended = cli(*command.split(), "-h")
    assert ended.code == 0
    usage, text = ended.out.strip().split("\n", maxsplit=1)
    assert f"almenara {command} " in f"{usage} "
    assert re.match(r"[A-Z]", text.strip())


def test_the_installed_command_ends_the_process_with_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["almenara", "topics", "show"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "NAME" in capsys.readouterr().err


def test_without_a_command_the_help_is_shown(cli: Cli) -> None:
    ended = cli()
    assert ended.code == 2
    assert "Usage: almenara" in ended.out + ended.err


def test_a_mistyped_command_is_answered_with_the_nearest(cli: Cli) -> None:
    ended = cli("chanels")
    assert ended.code == 2
    assert "Did you mean 'channels'" in ended.complaint


def test_the_codes_of_errors_are_those_of_the_table() -> None:
    errors = [NotFoundError("plugin", "X"), UnavailableError(), ConfigurationError()]
    assert [exit_code(one) for one in errors] == [1, 75, 78]
    assert set(MEANINGS) == set(ExitCode)
