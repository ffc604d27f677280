"""Who can change the code of plugins: found, told, and refused where that is wanted."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from almenara.app import build
from almenara.check import check_set_up
from almenara.errors import ConfigurationError
from almenara.loader import Loose, find_loose
from almenara.loader.permissions import MOST_NAMED
from almenara.sending import sending
from tests.serving import make_settings
from tests.tables import make_tables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "plugins" / "mine"
    directory.mkdir(parents=True)
    (directory / "mine.py").write_text("class Mine:\n    def send_message(self, m, b): ...\n")
    (directory / ".env").write_text("MINE_TOKEN=x\n")
    (directory / "notes.txt").write_text("no code")
    for path in (tmp_path / "plugins", directory, *directory.iterdir()):
        path.chmod(0o755)
    return tmp_path / "plugins"


def reasons(root: Path) -> dict[str, str]:
    return {str(one.path.relative_to(root)): one.reason for one in find_loose(root)}


def test_what_the_owner_alone_can_change_is_fine(root: Path) -> None:
    (root / "mine" / "notes.txt").chmod(0o666)  # nothing reads it
    assert find_loose(root) == []
    assert find_loose(root / "none") == []


@pytest.mark.parametrize("name", [".", "mine", "mine/mine.py", "mine/.env"])
def test_what_everybody_can_change_is_named_with_the_cure(root: Path, name: str) -> None:
    (root / name).chmod(0o777)
    [(found, reason)] = reasons(root).items()
    assert found == name
    assert f"chmod go-w {root / name}" in reason.replace("/.`", "`")


def test_the_users_own_group_may_write_and_no_other(root: Path) -> None:
    file = root / "mine" / "mine.py"
    file.chmod(0o775)
    os.chown(file, -1, os.getegid())
    assert find_loose(root) == []
    if os.geteuid() == 0:
        os.chown(file, -1, 12345)
        assert list(reasons(root)) == ["mine/mine.py"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_named(root: Path) -> None:
    os.chown(root / "mine" / "mine.py", 12345, -1)
    [(found, reason)] = reasons(root).items()
    assert (found, "another user" in reason) == ("mine/mine.py", True)


def test_a_link_stays_within_the_directory(root: Path) -> None:
    (root / "other.py").symlink_to(root / "mine" / "mine.py")
    assert find_loose(root) == []
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "linked").symlink_to(outside)
    [(found, reason)] = reasons(root).items()
    assert (found, "leads out" in reason) == ("linked", True)


def test_not_every_file_of_a_loose_directory_is_named(root: Path) -> None:
    for number in range(MOST_NAMED + 5):
        file = root / "mine" / f"f{number}.py"
        file.write_text("")
        file.chmod(0o666)
    found = find_loose(root)
    assert len(found) == MOST_NAMED
    assert isinstance(found[0], Loose)


async def test_it_is_told_at_the_start_and_refused_when_that_is_wanted(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "mine" / "mine.py").chmod(0o777)
    settings = make_settings(root.parent)
    await make_tables(settings)
    async with sending(settings) as behind:
        assert "Mine" in [one.name for one in behind.plugins.found]
    assert "plugin_unsafe" in "".join(capsys.readouterr())
    findings = await check_set_up(settings)
    assert [one.level for one in findings if "mine.py" in one.subject] == ["warning"]
    strict = make_settings(root.parent, strict=1)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        async with sending(strict):
            pass
    findings = await check_set_up(strict)
    assert [one.level for one in findings if "mine.py" in one.subject] == ["error"]


async def test_no_plugin_comes_in_over_the_api(root: Path) -> None:
    """Whoever holds every scope can name plugins, and read of them; never write one."""
    document = build(make_settings(root.parent)).openapi()
    methods = [set(one) for path, one in document["paths"].items() if "plugin" in path]
    assert methods == [{"get"}]
    # Files come in with messages, and nowhere else.
    forms = {path for path, one in document["paths"].items() if "multipart/form-data" in str(one)}
    assert all(re.search(r"/messages(/explain)?$", path) for path in forms)
    files = [path for path, one in document["paths"].items() if "octet-stream" in str(one)]
    assert files == ["/v1/messages/{id}/attachments/{number}"]
