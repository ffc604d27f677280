"""Each way in which a plugin can be wrong is reported, and stops nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from almenara.errors import BrokenPluginError, InvalidInputError
from almenara.loader import BrokenPlugin, Plugins

BROKEN = Path(__file__).parent.parent / "broken_plugins"
GOOD = Path(__file__).parent.parent / "good_plugins"


def load(directory: Path, *, seconds: float = 10.0) -> Plugins:
    plugins = Plugins(directory, import_timeout_seconds=seconds, shipped=False)
    plugins.load()
    return plugins


@pytest.fixture
def load_one(tmp_path: Path):
    """Load a plugin directory that holds one of the broken directories and nothing else."""

    def load_one(name: str, *, seconds: float = 10.0) -> Plugins:
        shutil.copytree(BROKEN / name, tmp_path / name)
        return load(tmp_path, seconds=seconds)

    return load_one


def only(plugins: Plugins) -> BrokenPlugin:
    assert plugins.found == []
    (broken,) = plugins.broken
    return broken


def test_a_syntax_error_is_reported_with_its_line(load_one):
    broken = only(load_one("syntax_error"))
    assert (broken.name, broken.directory) == ("Pager", "syntax_error")
    assert broken.reason == "pager.py, line 5: expected ':'; correct this line."
    assert broken.traceback is not None
    assert "def send_message(self, message, background_tasks)" in broken.traceback


def test_a_missing_module_is_named(load_one):
    broken = only(load_one("import_error"))
    assert broken.name == "Fax"
    assert "The module almenara_no_such_module is not installed" in broken.reason
    assert "pip install almenara_no_such_module" in broken.reason


def test_the_traceback_of_an_import_begins_in_the_plugins_own_file(load_one):
    broken = only(load_one("import_error"))
    assert broken.traceback is not None
    first_frame = broken.traceback.splitlines()[1]
    assert "import_error/fax.py" in first_frame
    assert "importlib" not in broken.traceback


def test_a_missing_module_that_the_directory_requires_is_named_with_the_command(tmp_path):
    shutil.copytree(BROKEN / "import_error", tmp_path / "old fax")
    (tmp_path / "old fax" / "requirements.txt").write_text("almenara-no-such-module\n")
    broken = only(load(tmp_path))
    assert "run `almenara plugins install 'old fax'`" in broken.reason


def test_a_helper_that_is_not_there_is_named_as_the_file_writes_it(tmp_path):
    (tmp_path / "post").mkdir()
    (tmp_path / "post" / "post.py").write_text("from .stamps import price\n")
    broken = only(load(tmp_path))
    assert broken.reason == "The file imports .stamps, but there is no stamps.py in post."


def test_a_name_that_a_module_does_not_have_is_reported(tmp_path):
    (tmp_path / "post").mkdir()
    (tmp_path / "post" / "post.py").write_text("from email import stamps\n")
    broken = only(load(tmp_path))
    assert "ImportError: cannot import name 'stamps' from 'email'" in broken.reason


def test_an_exit_at_import_is_reported_and_ends_nothing(load_one):
    broken = only(load_one("exits_at_import"))
    assert broken.name == "Ticker"
    assert "ends the process while it is imported (SystemExit)" in broken.reason


def test_a_directory_without_a_class_is_reported(load_one):
    broken = only(load_one("no_class"))
    assert broken.name is None
    assert broken.file.name == "no_class"
    assert "no class with send_message in no_class/*.py" in broken.reason
    assert broken.traceback is None


def test_two_classes_of_one_name_are_reported_with_both_files(load_one):
    plugins = load_one("two_classes_of_one_name")
    broken = only(plugins)
    assert broken.name == "Twin"
    assert "two_classes_of_one_name/first.py" in broken.reason
    assert "two_classes_of_one_name/second.py" in broken.reason
    with pytest.raises(BrokenPluginError, match=r"first\.py and in .*second\.py"):
        plugins.get("Twin")


def test_a_constructor_that_raises_is_reported_when_it_is_built(load_one, monkeypatch):
    monkeypatch.setenv("TELEX_LINE", "line 7")
    plugins = load_one("constructor_raises")
    assert plugins.broken == []
    with pytest.raises(BrokenPluginError, match="The constructor of constructor_raises") as e:
        plugins.build(plugins.get("Telex"), {})
    assert "SystemExit: no line for line 7" in e.value.message


def test_invalid_settings_are_reported_when_it_is_built_field_by_field(load_one):
    plugins = load_one("settings_invalid")
    with pytest.raises(InvalidInputError) as raised:
        plugins.build(plugins.get("Modem"), {})
    assert {(error.field, error.code) for error in raised.value.errors} == {
        ("settings.number", "missing"),
        ("settings.speed", "int_parsing"),
    }


def test_send_message_of_another_shape_is_reported_with_the_right_one(load_one):
    plugins = load_one("send_message_of_another_shape")
    broken = only(plugins)
    assert broken.name == "Carrier"
    assert "def send_message(self, message, background_tasks)" in broken.reason
    with pytest.raises(BrokenPluginError, match="cannot be called with two arguments"):
        plugins.get("send_message_of_another_shape.Carrier")


def test_a_file_that_hangs_at_import_is_reported_after_the_deadline(load_one):
    plugins = load_one("hangs", seconds=0.3)
    broken = only(plugins)
    assert broken.name == "Listener"
    assert broken.reason.startswith("The import did not end within 0.3 s")
    assert broken.traceback is None


def test_a_plugin_that_raises_a_base_exception_when_it_sends_loads_and_builds(load_one):
    plugins = load_one("raises_base_exception")
    assert plugins.broken == []
    instance = plugins.build(plugins.get("Shutdown"), {})
    with pytest.raises(BaseException, match="the plugin gave up") as raised:
        instance.target.send_message(None, None)
    assert not isinstance(raised.value, Exception)


def test_a_base_exception_at_import_is_reported(load_one):
    broken = only(load_one("raises_base_exception_at_import"))
    assert broken.name == "Interrupt"
    assert "KeyboardInterrupt: the plugin gave up" in broken.reason


def test_settings_of_another_base_are_reported(load_one):
    broken = only(load_one("settings_of_another_base"))
    assert broken.name == "Beeper"
    assert "let it inherit from almenara.PluginSettings" in broken.reason


@pytest.mark.timeout(30)  # it waits for those that hang
def test_all_of_them_together_do_not_stop_a_good_one(tmp_path):
    directories = sorted(path for path in BROKEN.iterdir() if path.is_dir())
    for path in (*directories, GOOD / "plain"):
        shutil.copytree(path, tmp_path / path.name)
    plugins = load(tmp_path, seconds=3)
    assert plugins.get("Sms").qualified_name == "plain.Sms"
    loads = {"constructor_raises", "settings_invalid", "raises_base_exception"}
    assert {broken.directory for broken in plugins.broken} == {
        path.name for path in directories
    } - loads


def test_the_values_of_the_env_file_are_masked_in_reason_and_traceback(tmp_path):
    (tmp_path / "sms").mkdir()
    (tmp_path / "sms" / ".env").write_text("SMS_TOKEN=hunter2-hunter2\nSMS_PIN=12\n")
    (tmp_path / "sms" / "sms.py").write_text(
        "raise ValueError('hunter2-hunter2 is no token, 12')\n"
    )
    broken = only(load(tmp_path))
    assert "ValueError: ******** is no token, 12" in broken.reason
    assert broken.traceback is not None
    assert "hunter2" not in broken.traceback


def test_an_error_that_cannot_be_printed_is_reported(tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "odd.py").write_text(
        "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit\nraise Odd\n"
    )
    assert "Odd" in only(load(tmp_path)).reason


def test_bytes_that_are_no_python_are_reported(tmp_path):
    (tmp_path / "bytes").mkdir()
    (tmp_path / "bytes" / "latin.py").write_bytes(b"name = '\xe9'\n")
    (tmp_path / "bytes" / "nul.py").write_bytes(b"class Nul: pass\0\n")
    plugins = load(tmp_path)
    assert [broken.file.name for broken in plugins.broken] == ["latin.py", "nul.py"]
    assert all(broken.reason for broken in plugins.broken)


@pytest.mark.parametrize(
    "method",
    [
        "send_message = None",
        "send_message = property(lambda self: self.missing)",
        "def send_message(self, *, message, background_tasks): ...",
        "def send_message(self): ...",
        "def send_message(message, background_tasks): ...",
    ],
)
def test_what_cannot_be_called_with_two_arguments_is_broken(tmp_path, method):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "odd.py").write_text(f"class Odd:\n    {method}\n")
    assert "Odd.send_message cannot be called" in only(load(tmp_path)).reason


@pytest.mark.parametrize(
    "method",
    [
        "async def send_message(self, message, background_tasks): ...",
        "def send_message(self, *arguments): ...",
        "def send_message(self, message, background_tasks=None, trace=False): ...",
        "send_message = staticmethod(lambda message, background_tasks: None)",
        "send_message = classmethod(lambda cls, message, background_tasks: None)",
        "send_message = max",
    ],
)
def test_what_can_be_called_with_two_arguments_is_a_plugin(tmp_path, method):
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine" / "fine.py").write_text(f"class Fine:\n    {method}\n")
    plugins = load(tmp_path)
    assert plugins.broken == []
    assert plugins.get("Fine").name == "Fine"
