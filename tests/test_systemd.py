"""The units for systemd: it takes them, they are shut in, and a drain has its time."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from almenara.settings import Settings
from tests.pages import ROOT, read

UNITS = ROOT / "deploy" / "systemd"
#: From 0 (shut in) to 100 (open): a plain unit has 96.
MOST_EXPOSED = 20

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here"
)


@pytest.fixture(params=["almenara.service", "almenara-worker.service"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One unit, beside its drop-in, with a command that is on this machine."""
    made = tmp_path / str(request.param)
    text = (UNITS / made.name).read_text()
    made.write_text(text.replace("/opt/almenara/bin/almenara", shutil.which("true") or ""))
    dropped = tmp_path / "almenara.service.d"
    dropped.mkdir()
    shutil.copy(UNITS / "fleet.conf", dropped)
    return made


def lines(name: str) -> list[tuple[str, str]]:
    """What a unit or a drop-in sets, in order; a name may come several times."""
    found = re.findall(r"^(\w+)=(.*)$", (UNITS / name).read_text(), re.MULTILINE)
    return [(one, value) for one, value in found]


def environment(*names: str) -> Iterator[tuple[str, str]]:
    for name in names:
        for key, value in lines(name):
            if key == "Environment":
                setting, _, text = value.partition("=")
                yield setting, text


@needs_systemd
def test_systemd_takes_the_unit(unit: Path) -> None:
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in verified.stderr.splitlines() if unit.parent.name in line]
    assert (verified.returncode, said) == (0, [])


@needs_systemd
def test_systemd_finds_it_shut_in(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    looked = subprocess.run(
        [*command, f"--threshold={MOST_EXPOSED}", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 0, looked.stdout


def test_both_units_are_shut_in_alike() -> None:
    def restrictions(name: str) -> str:
        text = (UNITS / name).read_text()
        return text[text.index("# Nothing but its own") : text.index("[Install]")]

    server = restrictions("almenara.service")
    assert server == restrictions("almenara-worker.service")
    assert {"NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes"} <= set(server.split())


@pytest.mark.parametrize("name", ["almenara.service", "almenara-worker.service"])
def test_a_unit_has_longer_to_end_than_a_drain_takes(name: str) -> None:
    values = dict(lines(name))
    drain = float(Settings.model_fields["drain_seconds"].default)
    assert float(values["TimeoutStopSec"]) >= drain + 20
    # The parent passes SIGTERM on; a second one would end what drains.
    assert values["KillMode"] == "mixed"
    assert values["Restart"] == "on-failure"


def test_what_the_units_set_and_start_is_there() -> None:
    fields = {f"ALMENARA_{name.upper()}" for name in Settings.model_fields}
    named = {one for one, _ in environment(*(path.name for path in UNITS.iterdir()))}
    ours = {one.removesuffix("_FILE") for one in named if one.startswith("ALMENARA_")}
    assert ours <= fields
    reference = read("docs/reference/cli.md")
    for name in ("almenara.service", "almenara-worker.service"):
        _, command, *options = dict(lines(name))["ExecStart"].split()
        section = reference.partition(f"## almenara {command}\n")[2].partition("\n## ")[0]
        assert section, command
        for option in options:
            assert not option.startswith("--") or f"`{option} " in section


def test_every_credential_that_is_read_is_loaded() -> None:
    for name in ("fleet.conf", "almenara-worker.service"):
        loaded = {value.partition(":")[0] for key, value in lines(name) if key == "LoadCredential"}
        read_ones = {text[3:] for _, text in environment(name) if text.startswith("%d/")}
        assert read_ones == loaded == {"database-url", "broker-url", "secret-key"}
