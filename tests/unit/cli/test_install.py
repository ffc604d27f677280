"""`plugins install`: pip, with the plugin's own requirements."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALMENARA_PLUGINS_DIR", str(tmp_path))
    # Whatever pip is asked for here, it must not look for it outside this machine.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    made = tmp_path / "pigeon"
    made.mkdir()
    return made


def test_what_a_plugin_needs_is_installed(cli: Cli, directory: Path) -> None:
    (directory / "requirements.txt").write_text("packaging\n")
    ended = cli("plugins", "install", "pigeon")
    assert ended.code == 0
    assert "Installed what pigeon needs" in ended.out


def test_what_pip_cannot_install_is_an_error(cli: Cli, directory: Path) -> None:
    (directory / "requirements.txt").write_text("almenara-no-such-package\n")
    ended = cli("plugins", "install", "pigeon")
    assert ended.code == 1
    assert "pip could not install" in ended.complaint


@pytest.mark.parametrize("name", ["pigeon", "raven", "../pigeon"])
def test_a_plugin_without_requirements_is_an_error(cli: Cli, directory: Path, name: str) -> None:
    if name == "../pigeon":
        (directory / "requirements.txt").write_text("packaging\n")
    ended = cli("plugins", "install", name)
    assert ended.code == 1
    assert "nothing to install" in ended.complaint
