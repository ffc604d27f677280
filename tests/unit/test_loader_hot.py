"""Plugin files that change while the process runs: what is taken up, when, and what runs on."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from almenara.errors import PluginError
from almenara.loader import Change, Plugins, catalogue

VERSIONED = """
class Sms:
    version = {version}

    def send_message(self, message, background_tasks):
        return self.version
"""
WITH_SETTINGS = """
from almenara import PluginSettings

class Sms:
    class Settings(PluginSettings):
        account: str = "none"

    def __init__(self, settings):
        self.account = settings.account

    def send_message(self, message, background_tasks): ...
"""


def write(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    # No luck with the grain of the file system's clock: every write has a moment of its own.
    moment = next(_moments)
    os.utime(file, ns=(moment, moment))
    return file


_moments = iter(range(1_700_000_000_000_000_000, 1_800_000_000_000_000_000, 1_000_000_000))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "plugins"
    write(directory, "sms/sms.py", VERSIONED.format(version=1))
    return directory


@pytest.fixture
def plugins(root: Path) -> Plugins:
    loaded = Plugins(root, import_timeout_seconds=5, shipped=False)
    loaded.load()
    return loaded


def settle(plugins: Plugins) -> Change | None:
    """Look twice: what has changed is seen by the first look, and taken up by the second."""
    assert plugins.look() is None
    return plugins.look()


def version(plugins: Plugins) -> object:
    return plugins.get("Sms").cls.version  # type: ignore[attr-defined]  # the class of these files


def test_when_nothing_changes_nothing_is_loaded(plugins: Plugins) -> None:
    before = plugins.get("Sms")
    assert settle(plugins) is None
    assert plugins.get("Sms") is before


def test_a_changed_file_is_taken_up_when_it_stands_still(plugins: Plugins, root: Path) -> None:
    first = plugins.get("Sms")
    write(root, "sms/sms.py", VERSIONED.format(version=2))
    assert plugins.look() is None
    assert plugins.get("Sms") is first
    write(root, "sms/sms.py", VERSIONED.format(version=3))
    assert plugins.look() is None
    assert plugins.get("Sms") is first
    assert plugins.look() == Change(loaded=("sms.Sms",), gone=())
    assert version(plugins) == 3
    assert plugins.get("Sms").revision != first.revision
    assert plugins.look() is None


def test_a_file_that_was_only_touched_is_not_loaded(plugins: Plugins, root: Path) -> None:
    first = plugins.get("Sms")
    write(root, "sms/sms.py", VERSIONED.format(version=1))
    assert settle(plugins) is None
    assert plugins.get("Sms") is first


def test_a_new_directory_is_found_and_the_others_are_left_alone(
    plugins: Plugins, root: Path
) -> None:
    first = plugins.get("Sms")
    write(root, "pager/pager.py", VERSIONED.format(version=1).replace("Sms", "Pager"))
    assert settle(plugins) == Change(loaded=("pager.Pager",), gone=())
    assert plugins.get("Sms") is first


def test_a_plugin_directory_may_be_made_later(tmp_path: Path) -> None:
    plugins = Plugins(tmp_path / "later", shipped=False)
    plugins.load()
    write(tmp_path / "later", "sms/sms.py", VERSIONED.format(version=1))
    assert settle(plugins) == Change(loaded=("sms.Sms",), gone=())


@pytest.mark.parametrize("gone", ["sms/sms.py", "sms", ""])
def test_what_is_taken_away_takes_its_plugin_along(plugins: Plugins, root: Path, gone: str) -> None:
    path = root / gone
    path.unlink() if path.is_file() else shutil.rmtree(path)
    assert settle(plugins) == Change(loaded=(), gone=("sms.Sms",))
    with pytest.raises(PluginError):
        plugins.get("Sms")
    assert [one.runs_on for one in plugins.broken] == ([None] if gone == "sms/sms.py" else [])


def test_a_file_that_was_away_for_a_moment_was_not_taken_away(plugins: Plugins, root: Path) -> None:
    first = plugins.get("Sms")
    file = root / "sms" / "sms.py"
    file.replace(root / "sms" / "sms.py~")
    assert plugins.look() is None
    (root / "sms" / "sms.py~").replace(file)
    assert plugins.look() is None
    assert plugins.look() is None
    assert plugins.get("Sms") is first


BROKEN = {
    "a syntax error": "class Sms:\n    def send_message(self,",
    "an import error": "import no_such_module_anywhere\n",
    "an exception": "raise RuntimeError('no')\n",
    "another shape": "class Sms:\n    def send_message(self): ...\n",
    "nothing": "",
    "another name, broken": "class Pager:\n    def send_message(",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_version_replaces_nothing_until_it_is_mended(
    plugins: Plugins, root: Path, text: str
) -> None:
    first = plugins.get("Sms")
    write(root, "sms/sms.py", text)
    assert settle(plugins) == Change(loaded=(), gone=())
    assert plugins.get("Sms") is first
    [broken] = plugins.broken
    assert broken.runs_on == first.revision
    assert broken.reason
    # Another version, broken too.
    write(root, "sms/sms.py", text + "\n#\n")
    settle(plugins)
    assert plugins.get("Sms") is first
    assert [one.runs_on for one in plugins.broken] == [first.revision]
    write(root, "sms/sms.py", VERSIONED.format(version=2))
    assert settle(plugins) == Change(loaded=("sms.Sms",), gone=())
    assert (version(plugins), list(plugins.broken)) == (2, [])


def test_a_broken_file_holds_up_none_beside_it(plugins: Plugins, root: Path) -> None:
    write(root, "sms/pager.py", "raise RuntimeError\n")
    write(root, "sms/sms.py", VERSIONED.format(version=2))
    assert settle(plugins) == Change(loaded=("sms.Sms",), gone=())
    assert version(plugins) == 2
    assert [(one.file.name, one.runs_on) for one in plugins.broken] == [("pager.py", None)]


def test_a_plugin_that_was_never_good_is_found_when_it_is_mended(root: Path) -> None:
    write(root, "sms/sms.py", "raise RuntimeError\n")
    plugins = Plugins(root, shipped=False)
    plugins.load()
    write(root, "sms/sms.py", VERSIONED.format(version=2))
    assert settle(plugins) == Change(loaded=("sms.Sms",), gone=())
    assert list(plugins.broken) == []


def test_a_module_beside_the_plugin_counts_as_its_code(plugins: Plugins, root: Path) -> None:
    write(root, "sms/parts/deep.py", "NUMBER = 7\n")
    write(root, "sms/_helper.py", "from .parts.deep import NUMBER\n")
    source = "from ._helper import NUMBER\n" + VERSIONED.format(version="NUMBER")
    write(root, "sms/sms.py", source)
    settle(plugins)
    seven = plugins.get("Sms")
    write(root, "sms/parts/deep.py", "NUMBER = 8\n")
    assert settle(plugins) == Change(loaded=("sms.Sms",), gone=())
    assert version(plugins) == 8
    assert seven.cls.version == 7  # type: ignore[attr-defined]  # the class of these files
    assert seven.revision != plugins.get("Sms").revision


def test_the_env_file_counts_but_does_not_show_in_the_revision(
    plugins: Plugins, root: Path
) -> None:
    write(root, "sms/sms.py", WITH_SETTINGS)
    settle(plugins)
    first = plugins.get("Sms")
    for account in ("acme", "other"):
        write(root, "sms/.env", f"SMS_ACCOUNT={account}\n")
        assert settle(plugins) == Change(loaded=("sms.Sms",), gone=())
        now = plugins.get("Sms")
        assert plugins.build(now, {}).target.account == account  # type: ignore[attr-defined]  # the class of these files
        assert now.revision == first.revision


def test_the_env_file_of_a_shipped_plugin_counts(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "shipped/post/post.py", WITH_SETTINGS.replace("Sms", "Post"))
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path / "shipped")
    plugins = Plugins(root)
    plugins.load()
    first = plugins.get("Post")
    write(root, "post/.env", "POST_ACCOUNT=acme\n")
    assert settle(plugins) == Change(loaded=("post.Post",), gone=())
    now = plugins.get("Post")
    assert now.cls is first.cls
    assert plugins.build(now, {}).target.account == "acme"  # type: ignore[attr-defined]  # the class of these files
    shutil.rmtree(root / "post")
    assert settle(plugins) == Change(loaded=("post.Post",), gone=())
    assert plugins.get("Post").env_file is None


def test_a_shipped_plugin_runs_on_beside_a_broken_one_in_its_stead(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "shipped/post/post.py", VERSIONED.format(version=1).replace("Sms", "Post"))
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path / "shipped")
    plugins = Plugins(root)
    plugins.load()
    shipped = plugins.get("Post")
    write(root, "post/post.py", "class Post:\n    def send_message(")
    settle(plugins)
    assert plugins.get("Post") is shipped
    assert [one.runs_on for one in plugins.broken] == [shipped.revision]
    write(root, "post/post.py", VERSIONED.format(version=2).replace("Sms", "Post"))
    settle(plugins)
    assert plugins.get("Post").source == "directory"
    shutil.rmtree(root / "post")
    settle(plugins)
    assert plugins.get("Post") is shipped


def test_a_directory_behind_a_link_is_swapped_with_the_link(tmp_path: Path, root: Path) -> None:
    for number in (1, 2):
        write(tmp_path, f"releases/{number}/sms.py", VERSIONED.format(version=number))
    shutil.rmtree(root / "sms")
    (root / "sms").symlink_to(tmp_path / "releases" / "1")
    plugins = Plugins(root, shipped=False)
    plugins.load()
    assert version(plugins) == 1
    (root / "next").symlink_to(tmp_path / "releases" / "2")
    (root / "next").replace(root / "sms")
    assert settle(plugins) == Change(loaded=("sms.Sms",), gone=())
    assert version(plugins) == 2


def unreadable(path: Path) -> None:
    """Put a file where the directory was: what root may not list either."""
    path.rename(path.with_name(".aside"))
    path.write_text("")


def readable(path: Path) -> None:
    path.unlink()
    path.with_name(".aside").rename(path)


def test_a_plugin_directory_that_cannot_be_read_stops_nothing(plugins: Plugins, root: Path) -> None:
    first = plugins.get("Sms")
    unreadable(root)
    assert settle(plugins) == Change(loaded=(), gone=())
    assert plugins.get("Sms") is first
    assert [one.reason for one in plugins.broken] == [
        "The plugin directory cannot be read: Not a directory."
    ]
    readable(root)
    assert settle(plugins) == Change(loaded=(), gone=())
    assert plugins.get("Sms") is first
    assert list(plugins.broken) == []


def test_what_others_can_change_is_not_taken_up_where_that_is_strict(root: Path) -> None:
    for path in (root, root / "sms"):
        path.chmod(0o755)
    (root / "sms" / "sms.py").chmod(0o644)
    plugins = Plugins(root, shipped=False, strict=True)
    plugins.load()
    first = plugins.get("Sms")
    write(root, "sms/sms.py", VERSIONED.format(version=2)).chmod(0o666)
    settle(plugins)
    assert plugins.get("Sms") is first
    [broken] = plugins.broken
    assert broken.runs_on == first.revision
    assert broken.reason.startswith(f"{root}/sms/sms.py is not safe to run (ALMENARA_STRICT): ")
    (root / "sms" / "sms.py").chmod(0o644)
    assert settle(plugins) == Change(loaded=("sms.Sms",), gone=())
    assert list(plugins.broken) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every directory")
def test_a_directory_that_cannot_be_read_runs_on(plugins: Plugins, root: Path) -> None:
    first = plugins.get("Sms")
    (root / "sms").chmod(0)
    try:
        settle(plugins)
        assert plugins.get("Sms") is first
        assert [one.runs_on for one in plugins.broken] == [first.revision]
    finally:
        (root / "sms").chmod(stat.S_IRWXU)
    settle(plugins)
    assert list(plugins.broken) == []


def test_files_beside_the_directories_are_reported(plugins: Plugins, root: Path) -> None:
    write(root, "loose.py", VERSIONED.format(version=1))
    assert settle(plugins) == Change(loaded=(), gone=())
    assert [one.file.name for one in plugins.broken] == ["loose.py"]
    (root / "loose.py").unlink()
    assert settle(plugins) == Change(loaded=(), gone=())
    assert list(plugins.broken) == []
