"""What is handed to others: the wheel, the lock, the two commands, the image, the compose file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = {
    "help",
    "setup",
    "run",
    "test",
    "check",
    "fix",
    "lock",
    "up",
    "down",
    "bench",
    "bench-fleet",
    "plugin",
    "clean",
}


def _make(*arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, although these tests may themselves run under make."""
    given = ("MAKE", "ARGS", "WORKERS")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(given)}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=directory,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


# --- make and CI


def test_make_alone_lists_the_targets_each_with_its_sentence() -> None:
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", _make().stdout, re.MULTILINE))
    assert set(listed) >= TARGETS


def test_check_is_lint_format_types_layers_and_then_the_tests() -> None:
    steps = _make("--dry-run", "--always-make", "check").stdout
    expected = ["ruff check .", "ruff format --check .", "mypy", "lint-imports", "run -m pytest"]
    places = [steps.index(step) for step in expected]
    assert places == sorted(places)
    assert "coverage_gate.py" in steps
    assert "--partial" not in steps


def test_a_choice_of_tests_has_no_gate() -> None:
    steps = _make("--dry-run", "test", "ARGS=-k mail").stdout
    assert re.search(r"coverage run -m pytest .* -k mail$", steps, re.MULTILINE)
    assert "coverage_gate.py --partial" in steps


def test_the_number_of_workers_can_be_chosen() -> None:
    assert "--numprocesses 4 " in _make("--dry-run", "test").stdout
    assert "--numprocesses 0 " in _make("--dry-run", "test", "WORKERS=0").stdout


def test_what_make_starts_keeps_what_it_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    shown = _make("--eval", "shown: ; @env", "shown").stdout
    assert "PATH=" in shown
    assert "PYTHONDONTWRITEBYTECODE" not in shown


def test_ci_is_make_check_and_nothing_that_a_developer_cannot_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec make --no-print-directory check")
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.fixture
def makefile_alone(tmp_path: Path) -> Path:
    """A directory with nothing but the Makefile and what its environments depend on."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-build.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_a_python_that_is_too_old_is_named_before_anything_is_made(makefile_alone: Path) -> None:
    old = makefile_alone / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.10.4" && exit 0\nexit 1\n')
    old.chmod(0o755)
    finished = _make("setup", f"PYTHON={old}", directory=makefile_alone)
    assert finished.returncode != 0
    assert "Python 3.10.4; Almenara needs Python 3.11 or newer" in finished.stderr
    assert not (makefile_alone / ".venv").exists()


def test_a_python_that_is_not_there_is_named(makefile_alone: Path) -> None:
    finished = _make("setup", "PYTHON=python9", directory=makefile_alone)
    assert finished.returncode != 0
    assert "There is no python9 here" in finished.stderr


def test_a_plugin_without_a_name_is_asked_for_one(makefile_alone: Path) -> None:
    # As if set up already: the stamp is newer than what it depends on.
    (makefile_alone / ".venv").mkdir()
    (makefile_alone / ".venv" / ".runtime-installed").touch()
    finished = _make("plugin", directory=makefile_alone)
    assert finished.returncode != 0
    assert "make plugin NAME=" in finished.stderr


# --- the lock


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return {
        canonicalize_name(package): version
        for package, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.txt", PROJECT["project"]["dependencies"]),
        ("requirements-build.txt", PROJECT["dependency-groups"]["build"]),
        ("requirements-celery.txt", PROJECT["project"]["dependencies"]),
        ("requirements-celery.txt", PROJECT["project"]["optional-dependencies"]["celery"]),
        ("requirements-dev.txt", PROJECT["project"]["dependencies"]),
        ("requirements-dev.txt", PROJECT["project"]["optional-dependencies"]["apprise"]),
        ("requirements-dev.txt", PROJECT["project"]["optional-dependencies"]["otel"]),
        ("requirements-dev.txt", PROJECT["dependency-groups"]["build"]),
        ("requirements-dev.txt", PROJECT["dependency-groups"]["dev"]),
    ],
)
def test_the_lock_holds_what_the_project_asks_for(lock: str, wanted: list[str]) -> None:
    pins = _pins(lock)
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text


def test_developers_run_the_versions_that_operators_run() -> None:
    developers = _pins("requirements-dev.txt")
    for lock in ("requirements.txt", "requirements-celery.txt", "requirements-build.txt"):
        pins = _pins(lock)
        assert {name: developers[name] for name in pins} == pins


# --- the wheel

#: One worker runs them all, and so builds one wheel.
BUILT_ONCE = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built as the image builds it."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(directory)]
    subprocess.run([*command, *options, str(ROOT)], check=True, capture_output=True)
    (built,) = directory.glob("*.whl")
    return zipfile.Path(built)


@BUILT_ONCE
def test_the_wheel_holds_the_package_the_plugins_and_their_examples(wheel: zipfile.Path) -> None:
    inside = set(wheel.root.namelist())
    kept = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "almenara").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".env"
    }
    assert kept <= inside
    assert "almenara/py.typed" in inside
    shipped = [path for path in (ROOT / "almenara" / "plugins").iterdir() if path.is_dir()]
    for directory in shipped:
        if (directory / ".env.example").exists():
            assert f"almenara/plugins/{directory.name}/.env.example" in inside


@BUILT_ONCE
def test_the_wheel_holds_nothing_else(wheel: zipfile.Path) -> None:
    tops = {name.split("/")[0] for name in wheel.root.namelist()}
    assert tops == {"almenara", f"almenara-{PROJECT['project']['version']}.dist-info"}
    assert not [name for name in wheel.root.namelist() if name.endswith(("/.env", ".sqlite3"))]


@BUILT_ONCE
def test_the_wheel_brings_the_command_and_the_licence(wheel: zipfile.Path) -> None:
    information = wheel / f"almenara-{PROJECT['project']['version']}.dist-info"
    assert "almenara = almenara.__main__:main" in (information / "entry_points.txt").read_text()
    assert "Apache License" in (information / "licenses" / "LICENSE").read_text()


def test_the_version_is_said_once() -> None:
    from almenara import __version__

    assert __version__ == PROJECT["project"]["version"]


# --- the image


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def _final(dockerfile: list[tuple[str, str]], instruction: str) -> list[str]:
    last = max(index for index, (name, _) in enumerate(dockerfile) if name == "FROM")
    return [rest for name, rest in dockerfile[last:] if name == instruction]


def test_the_image_runs_as_nobody_in_particular_and_keeps_data(
    dockerfile: list[tuple[str, str]],
) -> None:
    assert _final(dockerfile, "USER") == ["10001:10001"]
    assert _final(dockerfile, "VOLUME") == ["/data"]
    assert "ALMENARA_DATA_DIR=/data" in " ".join(_final(dockerfile, "ENV")).split()


def test_the_image_starts_the_server_itself_without_a_shell(
    dockerfile: list[tuple[str, str]],
) -> None:
    (entrypoint,) = _final(dockerfile, "ENTRYPOINT")
    (command,) = _final(dockerfile, "CMD")
    assert json.loads(entrypoint) == ["almenara"]
    assert json.loads(command) == ["serve", "--host", "0.0.0.0", "--insecure"]


def test_the_image_says_what_it_is(dockerfile: list[tuple[str, str]]) -> None:
    (labels,) = _final(dockerfile, "LABEL")
    said = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', labels))
    wanted = {"title": "name", "description": "description", "licenses": "license"}
    assert said == {
        label: PROJECT["project"][name] for label, name in (wanted | {"version": "version"}).items()
    }


def test_the_image_installs_only_what_has_a_hash(dockerfile: list[tuple[str, str]]) -> None:
    steps = " && ".join(rest for name, rest in dockerfile if name == "RUN").split("&&")
    installs = [step for step in steps if re.search(r"pip (install|wheel)", step)]
    assert len(installs) == 4
    assert all("--require-hashes" in step or "--no-index" in step for step in installs)


def test_everything_that_the_image_copies_is_let_through(
    dockerfile: list[tuple[str, str]],
) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = " ".join(
        rest for name, rest in dockerfile if name == "COPY" and "--from" not in rest
    ).split()
    for name in set(copied) - {"./"}:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name
    assert {"*", "**/.env"} <= set(ignored)


class _Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def health() -> Iterator[tuple[type[_Health], int]]:
    """A server with a /healthz, and its port."""
    handler = type("Health", (_Health,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler, server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_images_health_check_asks_the_server(
    status: int,
    healthy: bool,
    health: tuple[type[_Health], int],
    dockerfile: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    handler, port = health
    handler.status = status
    (instruction,) = _final(dockerfile, "HEALTHCHECK")
    _, *arguments = json.loads(instruction[instruction.index("[") :])
    environment = os.environ | {
        "ALMENARA_PORT": str(port),
        "http_proxy": "http://127.0.0.1:9",
        "TMPDIR": str(tmp_path),
    }
    finished = subprocess.run(
        [sys.executable, "-m", "almenara", *arguments],
        env=environment,
        check=False,
        capture_output=True,
    )
    assert (finished.returncode == 0) is healthy


# --- compose


def _compose_service(name: str) -> str:
    text = (ROOT / "compose.yaml").read_text()
    return re.split(rf"^  {name}:$", text, flags=re.MULTILINE)[1].split("\n\n")[0]


def test_compose_shuts_the_server_in() -> None:
    service = _compose_service("almenara")
    for line in (
        "read_only: true",
        "cap_drop: [ALL]",
        'security_opt: ["no-new-privileges:true"]',
        "- data:/data",
        "- ./plugins:/plugins:ro",
        "- /tmp:",
    ):
        assert line in service


def test_compose_publishes_on_loopback_only() -> None:
    ports = re.findall(r'^\s+- "(\S+:\d+)"$', (ROOT / "compose.yaml").read_text(), re.MULTILINE)
    assert {port.split(":")[0] for port in ports} == {"127.0.0.1"}


@pytest.mark.parametrize("name", ["postgres", "rabbitmq"])
def test_composes_servers_for_tests_start_only_when_asked_for(name: str) -> None:
    assert "profiles: [test]" in _compose_service(name)
    for target in ("up", "down"):
        assert name in _make("--dry-run", target).stdout
