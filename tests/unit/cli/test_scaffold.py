"""`almenara plugins new`: what it writes works as it was written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from almenara.loader import Plugins
from tests.unit.cli.conftest import Cli

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plugins_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALMENARA_PLUGINS_DIR", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["threema", "my-sms_2"])
def test_the_skeletons_own_test_passes_as_written(cli: Cli, plugins_dir: Path, name: str) -> None:
    assert cli("plugins", "new", name).code == 0
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis"],
        cwd=plugins_dir / name,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "4 passed" in finished.stdout


@pytest.mark.parametrize(
    ("name", "class_name"),
    [("threema", "Threema"), ("my-sms_2", "MySms2"), ("a--b_", "AB"), ("x" * 64, None)],
)
def test_the_server_finds_the_new_plugin(
    cli: Cli, plugins_dir: Path, name: str, class_name: str | None
) -> None:
    ended = cli("plugins", "new", name)
    directory = plugins_dir / name
    class_name = class_name or name.capitalize()
    assert ended.code == 0
    assert str(directory) in ended.out
    assert {path.name for path in directory.iterdir()} == {
        f"{name}.py",
        f"test_{name}.py",
        ".env.example",
        "README.md",
    }
    plugins = Plugins(plugins_dir, shipped=False)
    plugins.load()
    assert [one.qualified_name for one in plugins.found] == [f"{name}.{class_name}"]
    assert list(plugins.broken) == []
    assert f"{class_name.upper()}_URL=" in (directory / ".env.example").read_text()
    plugins.build(plugins.found[0], {"url": "https://example.org"})


def test_nothing_is_overwritten(cli: Cli, plugins_dir: Path) -> None:
    (plugins_dir / "threema").mkdir(parents=True)
    (plugins_dir / "threema" / ".env").write_text("THREEMA_URL=mine\n")
    ended = cli("plugins", "new", "threema")
    assert ended.code == 1
    assert "nothing is overwritten" in ended.err
    assert [path.name for path in (plugins_dir / "threema").iterdir()] == [".env"]


@pytest.mark.parametrize(
    "name",
    [
        *("Threema", "1st", "-x", "a b", "a/b", "..", "ñ", "", "x" * 65),
        # Python's own, and names that would hide what the skeleton imports.
        *("email", "json", "none", "message", "secret-str", "receipt"),
    ],
)
def test_a_name_that_would_be_in_the_way_is_refused(cli: Cli, plugins_dir: Path, name: str) -> None:
    ended = cli("plugins", "new", "--", name)
    assert ended.code == 2
    assert "NAME" in ended.complaint
    assert not plugins_dir.exists()


def test_standing_in_for_a_shipped_plugin_is_mentioned(cli: Cli, plugins_dir: Path) -> None:
    assert "stands in for the shipped plugin slack" in cli("plugins", "new", "slack").out
    assert "stands in" not in cli("plugins", "new", "pager").out
    assert plugins_dir.is_dir()


def test_a_place_that_cannot_be_written_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALMENARA_PLUGINS_DIR", str(tmp_path / "file"))
    ended = cli("plugins", "new", "threema")
    assert ended.code == 78
    assert "cannot be written" in ended.err


def test_wrong_settings_are_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMENARA_NONSENSE", "1")
    ended = cli("plugins", "new", "threema")
    assert ended.code == 78
    assert "ALMENARA_NONSENSE" in ended.err
