"""Where plugins are looked for, and what of it counts as one."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import almenara
from almenara.errors import PluginError
from almenara.loader import Plugins
from almenara.loader.discovery import Place, find_in_directory, is_directory, is_file

GOOD = Path(__file__).parent.parent / "good_plugins"
PLUGIN = "class {name}:\n    def send_message(self, message, background_tasks): ...\n"


def write(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def load(directory: Path | None) -> Plugins:
    plugins = Plugins(directory, shipped=False)
    plugins.load()
    return plugins


def names(plugins: Plugins) -> list[str]:
    return [plugin.qualified_name for plugin in plugins.found]


def test_the_good_examples_are_found_whatever_their_directories_are_called():
    plugins = load(GOOD)
    assert plugins.broken == []
    assert names(plugins) == ["plain.Sms", "with settings.Mailbox"]
    plain, mailbox = plugins.found
    assert (plain.name, plain.source, plain.settings) == ("Sms", "directory", None)
    assert plain.file == GOOD / "plain" / "sms.py"
    assert mailbox.settings is mailbox.cls.Settings
    assert mailbox.file.name == "mail-box.py"


def test_a_directory_that_is_absent_gives_nothing(tmp_path):
    for directory in (None, tmp_path / "absent"):
        plugins = load(directory)
        assert (list(plugins.found), list(plugins.broken)) == ([], [])


def test_a_plugin_directory_that_is_a_file_is_reported(tmp_path):
    (broken,) = load(write(tmp_path, "plugins", "")).broken
    assert broken.reason == "The plugin directory cannot be read: Not a directory."


def test_several_directories_files_and_classes_are_found(tmp_path):
    write(tmp_path, "phone/calls.py", PLUGIN.format(name="Call") + PLUGIN.format(name="Ring"))
    write(tmp_path, "phone/v1.2.py", PLUGIN.format(name="Old"))
    write(tmp_path, "café-ñ/x.py", PLUGIN.format(name="Café"))
    plugins = load(tmp_path)
    assert plugins.broken == []
    assert names(plugins) == ["café-ñ.Café", "phone.Call", "phone.Old", "phone.Ring"]


def test_hidden_private_and_test_files_are_not_searched(tmp_path):
    for name in ("_a.py", ".b.py", "test_c.py", "conftest.py", "d.txt", "e.py/f.py"):
        write(tmp_path, f"phone/{name}", "raise RuntimeError\n")
    for name in ("_private", ".hidden", "__pycache__"):
        write(tmp_path, f"{name}/phone.py", "raise RuntimeError\n")
    write(tmp_path, "phone/phone.py", PLUGIN.format(name="Phone"))
    plugins = load(tmp_path)
    assert names(plugins) == ["phone.Phone"]
    assert plugins.broken == []


def test_only_public_classes_defined_in_the_file_count_each_once(tmp_path):
    write(tmp_path, "phone/first.py", PLUGIN.format(name="First"))
    text = (
        "from almenara import Plugin\n"
        "from .first import First\n"
        f"{PLUGIN.format(name='_Hidden')}"
        "class Second(First): ...\n"
        "Alias = Second\n"
        "def make():\n"
        "    class Made(First): ...\n"
        "    return Made\n"
        "Third = make()\n"
    )
    write(tmp_path, "phone/second.py", text)
    assert names(load(tmp_path)) == ["phone.First", "phone.Second", "phone.Third"]


def test_a_file_in_the_plugin_directory_itself_is_reported_with_its_right_place(tmp_path):
    root = tmp_path / "plugins"
    write(root, "sms.py", PLUGIN.format(name="Sms"))
    write(root, "README.md", "")
    (broken,) = load(root).broken
    assert "move sms.py to plugins/sms/sms.py" in broken.reason


def test_a_helper_is_imported_relatively_and_is_not_broken(tmp_path):
    write(tmp_path, "phone/numbers/codes.py", "spain = 34\n")
    write(tmp_path, "phone/_dial.py", "from .numbers.codes import spain\n")
    write(tmp_path, "phone/dial.py", "from ._dial import spain\n")
    write(tmp_path, "phone/phone.py", f"from .dial import spain\n{PLUGIN.format(name='Phone')}")
    plugins = load(tmp_path)
    assert plugins.broken == []
    assert names(plugins) == ["phone.Phone"]


def test_a_plugin_directory_shadows_no_module_and_leaves_the_path_alone(tmp_path):
    write(tmp_path, "email/email.py", f"import email.utils\n{PLUGIN.format(name='Email')}")
    write(tmp_path, "email/json.py", "raise RuntimeError\n")
    path = list(sys.path)
    plugins = load(tmp_path)
    assert names(plugins) == ["email.Email"]
    assert sys.path == path
    assert sys.modules["email"] is email
    assert [broken.file.name for broken in plugins.broken] == ["json.py"]


def test_loading_leaves_nothing_behind_in_the_directory(tmp_path):
    write(tmp_path, "phone/dial.py", "")
    write(tmp_path, "phone/phone.py", f"from . import dial\n{PLUGIN.format(name='Phone')}")
    assert names(load(tmp_path)) == ["phone.Phone"]
    assert sorted(path.name for path in (tmp_path / "phone").iterdir()) == ["dial.py", "phone.py"]


def test_the_directorys_own_init_file_is_the_body_of_its_package(tmp_path):
    write(tmp_path, "phone/__init__.py", "from .codes import spain\n")
    write(tmp_path, "phone/codes.py", "spain = 34\n")
    write(tmp_path, "phone/phone.py", f"from . import spain\n{PLUGIN.format(name='Phone')}")
    plugins = load(tmp_path)
    assert plugins.broken == []
    assert names(plugins) == ["phone.Phone"]


def test_a_broken_init_file_does_not_break_relative_imports(tmp_path):
    write(tmp_path, "phone/__init__.py", "from plugins.phone.phone import Phone\n")
    write(tmp_path, "phone/codes.py", "spain = 34\n")
    write(tmp_path, "phone/phone.py", f"from .codes import spain\n{PLUGIN.format(name='Phone')}")
    plugins = load(tmp_path)
    assert names(plugins) == ["phone.Phone"]
    assert [broken.file.name for broken in plugins.broken] == ["__init__.py"]


def test_symlink_loops_and_unreadable_files_stop_nothing(tmp_path):
    write(tmp_path, "phone/phone.py", PLUGIN.format(name="Phone"))
    (tmp_path / "phone" / "loop.py").symlink_to("loop.py")
    (tmp_path / "phone" / "gone.py").symlink_to("nowhere.py")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "all").symlink_to(tmp_path)
    plugins = load(tmp_path)
    assert names(plugins) == ["phone.Phone"]
    reasons = {broken.file.name: broken.reason for broken in plugins.broken}
    assert sorted(reasons) == ["all", "gone.py", "loop.py"]
    assert "no class with send_message" in reasons["all"]
    assert "cannot be read (No such file or directory)" in reasons["gone.py"]
    assert "cannot be read (Too many levels of symbolic links)" in reasons["loop.py"]


def test_a_pipe_in_place_of_a_file_is_reported_after_the_deadline(tmp_path):
    write(tmp_path, "phone/phone.py", PLUGIN.format(name="Phone"))
    os.mkfifo(tmp_path / "phone" / "pipe.py")
    plugins = Plugins(tmp_path, import_timeout_seconds=1, shipped=False)
    plugins.load()
    assert names(plugins) == ["phone.Phone"]
    (broken,) = plugins.broken
    assert broken.reason.startswith("The import did not end within 1 s")


def test_a_directory_that_cannot_be_listed_is_reported(tmp_path):
    gone = Place(tmp_path / "gone", "gone", "directory", None, 10)
    (broken,) = find_in_directory(gone).broken
    assert broken.reason == "The directory cannot be read: No such file or directory."


def test_what_cannot_be_looked_at_is_neither_file_nor_directory(tmp_path):
    too_long = tmp_path / ("x" * 300)
    assert not is_file(too_long)
    assert not is_directory(too_long)


def test_the_env_file_beside_the_plugin_is_found(tmp_path):
    write(tmp_path, "phone/phone.py", PLUGIN.format(name="Phone"))
    assert load(tmp_path).get("Phone").env_file is None
    env_file = write(tmp_path, "phone/.env", "PHONE_LINE=1\n")
    assert load(tmp_path).get("Phone").env_file == env_file


def test_loading_again_takes_changes_up_and_leaves_the_old_class_whole(tmp_path):
    late_import = (
        "class Phone:\n"
        "    def send_message(self, message, background_tasks):\n"
        "        from .codes import code\n"
        "        return code\n"
    )
    codes = write(tmp_path, "phone/codes.py", "code = 34\n")
    phone = write(tmp_path, "phone/phone.py", late_import)
    plugins = load(tmp_path)
    old = plugins.get("Phone")
    codes.write_text("code = 51\n")
    phone.write_text(late_import.replace("return code", "return -code"))
    write(tmp_path, "fax/fax.py", PLUGIN.format(name="Fax"))
    plugins.load()
    new = plugins.get("Phone")
    assert new.cls().send_message(None, None) == -51
    assert old.cls().send_message(None, None) == 34
    assert old.revision != new.revision
    assert names(plugins) == ["fax.Fax", "phone.Phone"]
    shutil.rmtree(tmp_path / "phone")
    plugins.load()
    with pytest.raises(PluginError, match="There is no plugin"):
        plugins.get("phone.Phone")


def test_the_revision_is_that_of_the_content(tmp_path):
    file = write(tmp_path, "phone/phone.py", PLUGIN.format(name="Phone"))
    first = load(tmp_path).get("Phone").revision
    file.touch()
    assert load(tmp_path).get("Phone").revision == first
    file.write_text(PLUGIN.format(name="Phone") + "#\n")
    assert load(tmp_path).get("Phone").revision != first


PLAIN_SCRIPT = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
from fastapi import BackgroundTasks
from almenara.loader import Plugins

plugins = Plugins(Path(sys.argv[1]), shipped=False)
plugins.load()
assert not plugins.broken, plugins.broken
instance = plugins.build(plugins.get("Sms"), {})
tasks = BackgroundTasks()
instance.target.send_message(SimpleNamespace(description="hello"), tasks)
asyncio.run(tasks())
print(instance.target.sent, sorted(instance.secrets))
"""


def test_a_plugin_written_for_plain_fastapi_reads_the_env_file_beside_it(tmp_path):
    plugin = (GOOD / "plain" / "sms.py").read_text()
    write(tmp_path, "plugins/sms gateway/sms.py", plugin)
    write(tmp_path, "plugins/sms gateway/.env", "SMS_ACCOUNT=acme\nSMS_TOKEN=tok-123\n")
    script = write(tmp_path, "script.py", PLAIN_SCRIPT)
    # A process of its own, without a tracer: under one, load_dotenv() looks in the working
    # directory instead of beside the file that calls it.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE", "SMS_"))}
    environment["PYTHONPATH"] = str(Path(almenara.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, script, "plugins"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "['acme/tok-123: hello'] ['acme', 'tok-123']"
