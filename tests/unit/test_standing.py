"""The marks and digests of plugin directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from almenara.loader.standing import installed_mark, mark_of, mark_of_file, read_content


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "sms"
    made.mkdir()
    (made / "sms.py").write_text("A = 1\n")
    return made


@pytest.mark.parametrize(
    "name",
    ["other.py", "_private.py", ".env", "requirements.txt", "parts/deep.py", "fast.abi3.so"],
)
def test_what_makes_a_plugin_moves_its_mark_and_content(directory: Path, name: str) -> None:
    mark, content = mark_of(directory), read_content(directory)
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_text("B=1\n")
    assert mark_of(directory) != mark
    assert read_content(directory).whole != content.whole
    is_code = name not in {".env", "requirements.txt"}
    assert (read_content(directory).revision != content.revision) == is_code


@pytest.mark.parametrize(
    "name", ["state.json", "sent.log", ".hidden/a.py", "__pycache__/a.py", "1/2/3/4/deep.py"]
)
def test_what_a_plugin_writes_beside_itself_moves_nothing(directory: Path, name: str) -> None:
    mark, content = mark_of(directory), read_content(directory)
    (directory / name).parent.mkdir(exist_ok=True, parents=True)
    (directory / name).write_text("x")
    assert (mark_of(directory), read_content(directory)) == (mark, content)


def test_links_in_a_circle_end(directory: Path) -> None:
    (directory / "again").symlink_to(directory)
    assert len(mark_of(directory)) == 4
    (directory / "lost").symlink_to(directory / "lost")
    assert len(mark_of(directory)) == 4


def test_what_cannot_be_read_has_a_mark_and_a_content_of_its_own(directory: Path) -> None:
    whole = {read_content(directory).whole}
    marks = {mark_of(directory), mark_of(directory / "absent")}
    (directory / "gone.py").symlink_to(directory / "absent")
    marks.add(mark_of(directory))
    whole.add(read_content(directory).whole)
    (directory / "gone.py").unlink()
    # Reading a pipe would wait for ever.
    os.mkfifo(directory / "gone.py")
    marks.add(mark_of(directory))
    whole.add(read_content(directory).whole)
    assert (len(marks), len(whole)) == (4, 3)


def test_a_file_has_a_mark_whether_it_is_there_or_not(directory: Path) -> None:
    assert mark_of_file(directory / "absent") == mark_of_file(directory / "absent")
    assert mark_of_file(directory / "absent") != mark_of_file(directory / "sms.py")


def test_where_packages_are_installed_has_a_mark() -> None:
    assert any("packages" in str(place[0]) for place in installed_mark())
