"""Under which name a channel finds its plugin: directories, shipped plugins, installed packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from almenara.errors import AmbiguousPluginError, BrokenPluginError, PluginError
from almenara.loader import Plugins, catalogue

PLUGIN = "class {name}:\n    def send_message(self, message, background_tasks): ...\n"


def write(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def load(directory: Path | None, *, shipped: bool = False) -> Plugins:
    plugins = Plugins(directory, import_timeout_seconds=10, shipped=shipped)
    plugins.load()
    return plugins


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that stands for the one in the package, with the plugin ``email.Email``."""
    directory = tmp_path / "shipped"
    write(directory, "email/email.py", PLUGIN.format(name="Email"))
    monkeypatch.setattr(catalogue, "SHIPPED", directory)
    return directory


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The operator's plugin directory, still empty."""
    directory = tmp_path / "own"
    directory.mkdir()
    return directory


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a package that announces plugins by entry points."""
    site = tmp_path / "site"
    site.mkdir()

    def install(name: str, files: dict[str, str], **announced: str) -> Path:
        for path, text in files.items():
            write(site, path, text)
        lines = "".join(f"{key} = {value}\n" for key, value in announced.items())
        info = f"{name}-1.0.dist-info"
        write(site, f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        write(site, f"{info}/entry_points.txt", f"[almenara.plugins]\n{lines}")
        monkeypatch.syspath_prepend(site)
        return site

    return install


def test_a_plugin_is_found_by_its_class_and_by_its_directory_and_class(own):
    write(own, "my.phone/phone.py", PLUGIN.format(name="Phone"))
    plugins = load(own)
    assert plugins.get("Phone") is plugins.get("my.phone.Phone")


def test_a_name_that_is_not_there_is_answered_with_the_nearest(own):
    write(own, "phone/phone.py", PLUGIN.format(name="Phone"))
    plugins = load(own)
    with pytest.raises(PluginError) as raised:
        plugins.get("phnoe")
    assert raised.value.message == "There is no plugin 'phnoe'; did you mean Phone?"
    with pytest.raises(PluginError) as raised:
        plugins.get("Carrier pigeon")
    assert raised.value.message == "There is no plugin 'Carrier pigeon'."
    assert raised.value.code == "plugin_not_found"


def test_a_bare_name_in_two_directories_is_ambiguous_and_names_both_files(own):
    first = write(own, "office/phone.py", PLUGIN.format(name="Phone"))
    second = write(own, "home/phone.py", PLUGIN.format(name="Phone"))
    plugins = load(own)
    with pytest.raises(AmbiguousPluginError) as raised:
        plugins.get("Phone")
    assert f"home.Phone in {second}" in raised.value.message
    assert f"office.Phone in {first}" in raised.value.message
    assert plugins.get("office.Phone").file == first


@pytest.mark.parametrize("name", ["Phone", "phone", "phone.Phone", "phone.Other", "dial"])
def test_a_broken_file_is_named_when_a_channel_asks_for_what_it_may_hold(own, name):
    write(own, "phone/dial.py", "class Phone: ...\nclass Ring: ...\nraise ValueError('broken')\n")
    with pytest.raises(BrokenPluginError, match=r"dial\.py: The import raised ValueError: broken"):
        load(own).get(name)


@pytest.mark.parametrize("name", ["dial", "phone.Dial", "Ring"])
def test_a_broken_class_of_a_known_name_answers_to_that_name_only(own, name):
    write(own, "phone/dial.py", "class Phone: ...\nraise ValueError('broken')\n")
    plugins = load(own)
    with pytest.raises(BrokenPluginError):
        plugins.get("phone.Phone")
    with pytest.raises(PluginError) as raised:
        plugins.get(name)
    assert type(raised.value) is PluginError


def test_the_shipped_plugins_come_through_the_same_door():
    files = [file for file in catalogue.SHIPPED.glob("*/*.py") if not file.name.startswith("_")]
    if not files:
        pytest.skip("no plugin is shipped yet")
    plugins = load(None, shipped=True)
    directories = {file.parent for file in files}
    assert {plugin.file.parent for plugin in plugins.found} == directories
    assert {plugin.source for plugin in plugins.found} == {"shipped"}
    assert [broken for broken in plugins.broken if broken.file.parent in directories] == []


def test_the_operators_class_stands_in_for_the_shipped_one(own, shipped):
    assert load(own, shipped=True).get("Email").source == "shipped"
    write(own, "email/mail.py", PLUGIN.format(name="Email"))
    plugins = load(own, shipped=True)
    assert plugins.get("email.Email").source == "directory"
    assert plugins.get("Email").source == "directory"
    assert len(plugins.found) == 1


def test_the_operators_broken_class_does_not_let_the_shipped_one_send(own, shipped):
    write(own, "email/email.py", "class Email:\n    def send_message(self): ...\n")
    with pytest.raises(BrokenPluginError, match="cannot be called"):
        load(own, shipped=True).get("Email")


def test_a_class_of_a_shipped_name_in_another_directory_is_ambiguous(own, shipped):
    write(own, "mail/mail.py", PLUGIN.format(name="Email"))
    plugins = load(own, shipped=True)
    with pytest.raises(AmbiguousPluginError):
        plugins.get("Email")
    assert plugins.get("mail.Email").source == "directory"
    assert plugins.get("email.Email").source == "shipped"


def test_the_env_file_of_a_shipped_plugin_is_the_operators_or_the_one_beside_it(own, shipped):
    assert load(own, shipped=True).get("Email").env_file is None
    beside = write(shipped, "email/.env", "MAIL_SERVER=shipped\n")
    assert load(own, shipped=True).get("Email").env_file == beside
    assert load(None, shipped=True).get("Email").env_file == beside
    operators = write(own, "email/.env", "MAIL_SERVER=own\n")
    plugins = load(own, shipped=True)
    assert plugins.get("Email").env_file == operators
    assert plugins.broken == []


def test_an_installed_class_is_found_with_its_env_file(own, package):
    site = package(
        "acme-phone",
        {"acme_phone/plugin.py": PLUGIN.format(name="Phone"), "acme_phone/.env": "A=1\n"},
        phone="acme_phone.plugin:Phone",
    )
    found = load(own).get("acme_phone.Phone")
    assert (found.name, found.source) == ("Phone", "entry point")
    assert found.file == site / "acme_phone" / "plugin.py"
    assert found.env_file == site / "acme_phone" / ".env"


def test_an_installed_module_gives_all_its_classes(own, package):
    text = PLUGIN.format(name="Flag") + PLUGIN.format(name="Lamp")
    package("acme-signals", {"acme_signals.py": text}, signals="acme_signals")
    found = load(own).found
    assert [plugin.qualified_name for plugin in found] == ["acme_signals.Flag", "acme_signals.Lamp"]
    assert [plugin.env_file for plugin in found] == [None, None]


def test_a_broken_package_is_reported_and_stops_nothing(own, package):
    files = {
        "acme_a.py": "raise SystemExit\n",
        "acme_b.py": "import acme_not_there\n",
        "acme_c.py": "x = 1\n",
        "acme_d.py": "class D: ...\n",
    }
    package("acme-broken", files, a="acme_a:A", b="acme_b", c="acme_c:x", d="acme_d", e="acme_d:D")
    write(own, "phone/phone.py", PLUGIN.format(name="Phone"))
    plugins = load(own)
    assert [plugin.name for plugin in plugins.found] == ["Phone"]
    reasons = {broken.name: broken.reason for broken in plugins.broken}
    assert sorted(filter(None, reasons)) == ["D", "a", "b", "c", "d"]
    assert "SystemExit" in reasons["a"]
    assert "The module acme_not_there is not installed" in reasons["b"]
    assert "The entry point c names neither a class" in reasons["c"]
    assert "The entry point d names neither a class" in reasons["d"]
    assert "cannot be called" in reasons["D"]


def test_an_installed_class_cannot_take_a_name_that_is_in_use(own, package):
    text = PLUGIN.format(name="Phone")
    package("acme-desk", {"desk/plugin.py": text}, phone="desk.plugin:Phone", all="desk.plugin")
    assert [plugin.source for plugin in load(own).found] == ["entry point"]
    file = write(own, "desk/phone.py", text)
    plugins = load(own)
    assert plugins.get("desk.Phone").file == file
    assert all(f"The name desk.Phone belongs to {file}" in each.reason for each in plugins.broken)
    assert [broken.name for broken in plugins.broken] == ["Phone", "Phone"]
