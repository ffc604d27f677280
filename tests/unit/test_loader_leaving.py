"""What a version needs while somebody uses it, and what is left of it afterwards: nothing."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from pathlib import Path

import pytest

from almenara.loader import Plugins, directories
from almenara.loader.importing import ROOT
from tests.unit.test_loader_hot import settle, write

LATE = """
import logging
from almenara import PluginSettings, SecretStr

log = logging.getLogger(__name__)

class Sms:
    class Settings(PluginSettings):
        token: SecretStr = SecretStr("a-secret")

    def __init__(self, settings): ...

    def send_message(self, message, background_tasks):
        from .helper import NUMBER
        return NUMBER
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "plugins"
    write(directory, "sms/sms.py", LATE)
    write(directory, "sms/helper.py", "NUMBER = 1\nclass Unused: ...\n")
    return directory


@pytest.fixture
def plugins(root: Path) -> Plugins:
    loaded = Plugins(root, import_timeout_seconds=5, shipped=False)
    loaded.load()
    return loaded


def traces(package: str) -> set[str]:
    """Return where the process still knows modules of a package."""
    tables = (sys.modules, logging.root.manager.loggerDict)
    parent = logging.root.manager.loggerDict[ROOT]
    assert isinstance(parent, logging.PlaceHolder)
    names = {name for table in tables for name in table} | {one.name for one in parent.loggerMap}
    return {name for name in names if name == package or name.startswith(f"{package}.")}


def package_of(cls: type) -> str:
    return cls.__module__.rpartition(".")[0]


def test_who_uses_an_old_version_can_import_its_modules_to_the_end(
    plugins: Plugins, root: Path
) -> None:
    instance = plugins.build(plugins.get("Sms"), {})
    package = package_of(type(instance.target))
    write(root, "sms/sms.py", LATE + "\n# another\n")
    assert settle(plugins) is not None
    assert instance.target.send_message(None, None) == 1  # type: ignore[attr-defined]  # the class of these files
    assert traces(package) >= {package, f"{package}.sms", f"{package}.helper"}


def test_nothing_is_left_of_a_version_that_nobody_uses(plugins: Plugins, root: Path) -> None:
    instance = plugins.build(plugins.get("Sms"), {})
    instance.target.send_message(None, None)  # type: ignore[attr-defined]  # the class of these files
    package = package_of(type(instance.target))
    dead = [
        weakref.ref(one)
        for one in (
            instance.target,
            instance.plugin.cls,
            instance.plugin.settings,
            sys.modules[f"{package}.helper"].Unused,
            sys.modules[f"{package}.sms"],
        )
    ]
    write(root, "sms/sms.py", LATE + "\n# another\n")
    assert settle(plugins) is not None
    assert traces(package)
    del instance
    assert traces(package) == set()
    # Once a version has gone, the next look asks the garbage collector.
    gc.disable()
    try:
        plugins.look()
        assert [one() for one in dead] == [None] * len(dead)
    finally:
        gc.enable()


def test_a_broken_version_leaves_nothing_behind(plugins: Plugins, root: Path) -> None:
    before = {name for name in sys.modules if name.startswith(ROOT)}
    write(root, "sms/sms.py", "from .helper import NUMBER\nraise RuntimeError\n")
    assert settle(plugins) is not None
    assert plugins.broken
    # What other tests have left may go meanwhile.
    assert {name for name in sys.modules if name.startswith(ROOT)} <= before


def test_what_was_missing_is_tried_again_when_a_package_was_installed(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    monkeypatch.syspath_prepend(str(installed))
    mark = [("site-packages", 1)]
    monkeypatch.setattr(directories, "installed_mark", lambda: tuple(mark))
    write(root, "sms/sms.py", "import almenara_test_gateway\n" + LATE)
    plugins = Plugins(root, shipped=False)
    plugins.load()
    assert [one.reason.split(":")[0] for one in plugins.broken] == [
        "The module almenara_test_gateway is not installed"
    ]
    assert settle(plugins) is None
    write(installed, "almenara_test_gateway.py", "")
    mark[0] = ("site-packages", 2)
    assert settle(plugins) is not None
    assert plugins.get("Sms").name == "Sms"
    assert list(plugins.broken) == []
    # What is not broken waits for no package.
    first = plugins.get("Sms")
    mark[0] = ("site-packages", 3)
    assert settle(plugins) is None
    assert plugins.get("Sms") is first
    sys.modules.pop("almenara_test_gateway")


def test_a_file_that_hangs_is_given_up_and_what_ran_runs_on(root: Path) -> None:
    plugins = Plugins(root, import_timeout_seconds=0.2, shipped=False)
    plugins.load()
    first = plugins.get("Sms")
    write(root, "sms/sms.py", "import threading\nthreading.Event().wait(3600)\n")
    assert settle(plugins) is not None
    assert plugins.get("Sms") is first
    assert "did not end within 0.2 s" in plugins.broken[0].reason
    assert settle(plugins) is None
