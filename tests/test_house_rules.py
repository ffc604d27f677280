"""The house rules hold, and each of them can tell when it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import house_rules

ROOT = Path(__file__).parent.parent

Rule = Callable[[Path], Iterator[str]]

RULES: list[Rule] = [
    house_rules.long_files,
    house_rules.forbidden_modules,
    house_rules.missing_captions,
    house_rules.stray_libraries,
    house_rules.plugins_reaching_inside,
    house_rules.oracles_that_know_the_product,
    house_rules.middleware_that_costs,
    house_rules.bare_exemptions,
    house_rules.forbidden_words,
    house_rules.stray_writes,
    house_rules.addresses_in_locks,
    house_rules.machine_paths,
]

_CAPTION = '"""One sentence."""\n'
_FOLDER = "/ro" + "ot/"

#: What must be found: the rule, the file, its text.
VIOLATIONS: list[tuple[Rule, str, str]] = [
    (house_rules.long_files, "almenara/plan.py", "x = 1\n" * 301),
    (house_rules.long_files, "bench/load.py", "x = 1\n" * 301),
    (house_rules.long_files, "tests/test_x.py", "x = 1\n" * 401),
    (house_rules.forbidden_modules, "almenara/utils.py", ""),
    (house_rules.forbidden_modules, "almenara/helpers/mail.py", ""),
    (house_rules.forbidden_modules, "almenara/dispatch/base.py", ""),
    (house_rules.forbidden_modules, "tests/services.py", ""),
    (house_rules.missing_captions, "almenara/a.py", "x = 1\n"),
    (house_rules.missing_captions, "almenara/a.py", '"""No full stop"""\n'),
    (house_rules.missing_captions, "almenara/a.py", '"""Two of them. One too many."""\n'),
    (house_rules.missing_captions, "almenara/a.py", '"""A sentence that\ngoes on."""\n'),
    (house_rules.missing_captions, "almenara/a.py", _CAPTION + "class A:\n    pass\n"),
    (house_rules.missing_captions, "almenara/a.py", _CAPTION + "async def a(): ...\n"),
    (
        house_rules.missing_captions,
        "almenara/a.py",
        _CAPTION + f"class A:\n    {_CAPTION}    def a(self): ...\n",
    ),
    (house_rules.stray_libraries, "almenara/app.py", "import celery\n"),
    (house_rules.stray_libraries, "almenara/app.py", "from opentelemetry import trace\n"),
    (house_rules.stray_libraries, "almenara/app.py", "def f():\n    from celery.app import x\n"),
    (house_rules.stray_libraries, "almenara/api/topics.py", "import jwt\n"),
    (house_rules.stray_libraries, "almenara/accept.py", "from prometheus_client import Counter\n"),
    (house_rules.plugins_reaching_inside, "almenara/plugins/a/a.py", "import almenara.egress\n"),
    (
        house_rules.plugins_reaching_inside,
        "almenara/plugins/a/a.py",
        "from almenara.egress import request\n",
    ),
    (house_rules.plugins_reaching_inside, "almenara/plugins/a/a.py", "from almenara import plan\n"),
    (house_rules.plugins_reaching_inside, "almenara/plugins/a/a.py", "from ..b import x\n"),
    (house_rules.oracles_that_know_the_product, "bench/chaos/sink.py", "import almenara.retry\n"),
    (
        house_rules.oracles_that_know_the_product,
        "bench/chaos/checker.py",
        "def f():\n    from almenara.deliveries import Status\n",
    ),
    (
        house_rules.middleware_that_costs,
        "almenara/app.py",
        "from starlette.middleware.base import BaseHTTPMiddleware\n",
    ),
    (
        house_rules.middleware_that_costs,
        "almenara/app.py",
        "@app.middleware('http')\nasync def slow(request, call_next): ...\n",
    ),
    (house_rules.bare_exemptions, "almenara/a.py", "x = 1  # no" + "qa\n"),
    (house_rules.bare_exemptions, "almenara/a.py", "x = 1  # no" + "qa: E501\n"),
    (house_rules.bare_exemptions, "tests/a.py", "x = 1  # type: " + "ignore # it is right\n"),
    (house_rules.bare_exemptions, "tests/a.py", "x = 1  # type: " + "ignore[misc]\n"),
    (house_rules.bare_exemptions, "tests/a.py", "x = 1  # type: " + "ignore[misc]  # noqa: E501\n"),
    (house_rules.forbidden_words, "almenara/notifications.py", ""),
    (house_rules.forbidden_words, "almenara/a.py", "class Job: ...\n"),
    (house_rules.forbidden_words, "almenara/a.py", "class PendingNotification: ...\n"),
    (house_rules.stray_writes, "almenara/api/a.py", "q = 'UPDATE delivery SET due_at = $1'\n"),
    (house_rules.stray_writes, "almenara/api/a.py", "q = f'insert into  message {x}'\n"),
    (house_rules.stray_writes, "almenara/api/a.py", "t.insert('attempt', columns, rows)\n"),
    (house_rules.stray_writes, "almenara/api/a.py", "Delivery.filter(id=1).update(due_at=now)\n"),
    (
        house_rules.stray_writes,
        "almenara/ledger/a.py",
        "q = '''UPDATE delivery\nSET due_at = $1, status = 'sent' WHERE id = $2'''\n",
    ),
    (house_rules.stray_writes, "almenara/ledger/a.py", "delivery.status = 'sent'\n"),
    (house_rules.addresses_in_locks, "uv.lock", ""),
    (house_rules.addresses_in_locks, "requirements-dev.txt", "--index-url https://x.invalid\n"),
    (house_rules.addresses_in_locks, "requirements.txt", "fastapi==0.165.0\n"),
    (house_rules.machine_paths, "docs/a.md", f"see {_FOLDER}project\n"),
]

#: What must not be found, though it looks alike.
ALLOWED: list[tuple[Rule, str, str]] = [
    (house_rules.long_files, "tests/test_x.py", "x = 1\n" * 400),
    (house_rules.forbidden_modules, "almenara/queues/base.py", ""),
    (house_rules.missing_captions, "almenara/a.py", _CAPTION + "def _a(): ...\n"),
    (house_rules.stray_libraries, "almenara/queues/celery.py", "import celery\n"),
    (house_rules.plugins_reaching_inside, "almenara/plugins/a/a.py", "from .b import x\n"),
    (
        house_rules.plugins_reaching_inside,
        "almenara/plugins/a/a.py",
        "from almenara import Message\n",
    ),
    (
        house_rules.oracles_that_know_the_product,
        "bench/chaos/control_launcher.py",
        "import almenara\n",
    ),
    (house_rules.bare_exemptions, "almenara/a.py", "x = 1  # no" + "qa: E501 - a table\n"),
    (
        house_rules.bare_exemptions,
        "almenara/a.py",
        "x = 1  # type: " + "ignore[misc, attr-defined]  # the library has no types\n",
    ),
    (house_rules.forbidden_words, "almenara/a.py", "class _Process: ...\nclass TopicRoute: ...\n"),
    (
        house_rules.stray_writes,
        "almenara/deliveries/a.py",
        "q = 'UPDATE delivery SET status = 1'\n",
    ),
    (
        house_rules.stray_writes,
        "almenara/ledger/a.py",
        "q = \"UPDATE delivery SET rung_at = $1 WHERE status = 'pending'\"\n",
    ),
    (house_rules.stray_writes, "almenara/a.py", "x = 'SELECT 1 FROM delivery WHERE status = 2'\n"),
    (
        house_rules.addresses_in_locks,
        "requirements.txt",
        "fastapi==0.165.0 \\\n    --hash=sha256:00\n",
    ),
    (house_rules.machine_paths, "docs/a.md", f"postgres://root@127.0.0.1/test, net/{'work'}/x\n"),
]


def _called(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize("rule", RULES, ids=_called)
def test_the_repository_keeps_the_rule(rule: Rule) -> None:
    violations = list(rule(ROOT))
    assert not violations, f"{rule.__doc__}\n" + "\n".join(violations)


@pytest.mark.parametrize(("rule", "name", "text"), VIOLATIONS, ids=_called)
def test_a_violation_is_found_and_named(rule: Rule, name: str, text: str, tmp_path: Path) -> None:
    _write(tmp_path, name, text)
    assert [line.split(":")[0] for line in rule(tmp_path)] == [name]


@pytest.mark.parametrize(("rule", "name", "text"), ALLOWED, ids=_called)
def test_what_only_looks_like_a_violation_is_left_alone(
    rule: Rule, name: str, text: str, tmp_path: Path
) -> None:
    _write(tmp_path, name, text)
    assert list(rule(tmp_path)) == []


def test_every_rule_is_shown_a_violation() -> None:
    assert {rule for rule, _, _ in VIOLATIONS} == set(RULES)


def test_files_that_git_ignores_are_nobodys_business(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    _write(tmp_path, ".gitignore", "data/\n")
    _write(tmp_path, "data/utils.py", "")
    _write(tmp_path, "almenara/utils.py", "")
    assert [path.name for path in house_rules.python_files(tmp_path)] == ["utils.py"]
    assert len(list(house_rules.forbidden_modules(tmp_path))) == 1


def test_imports_run_one_way() -> None:
    finished = _lint_imports(ROOT)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_an_import_upwards_breaks_the_layers(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "almenara", tmp_path / "almenara", ignore=shutil.ignore_patterns("*.pyc")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    errors = tmp_path / "almenara" / "errors.py"
    errors.write_text(errors.read_text() + "\nimport almenara.settings\n")
    finished = _lint_imports(tmp_path)
    assert finished.returncode != 0
    assert "almenara.errors -> almenara.settings" in finished.stdout


def _lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def _write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
