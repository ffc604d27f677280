"""What is shipped is known: each package by its hash, asked about, and listed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.audit_gate import CLEAN, UNKNOWN, VULNERABLE, read_report, verdict

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parent.parent
KNOWN = {"id": "CVE-2026-0001", "fix_versions": ["2.0"], "aliases": [], "description": "…"}


def package(**more: Any) -> dict[str, Any]:
    return {"name": "one", "version": "1.0", "vulns": []} | more


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([package(), package()], CLEAN, "No known vulnerability in 2 packages"),
        ([package(vulns=[KNOWN])], VULNERABLE, "one 1.0: CVE-2026-0001 (mended in 2.0)"),
        ([package(vulns=[KNOWN | {"fix_versions": []}])], VULNERABLE, "no version yet"),
        ([{"name": "one", "skip_reason": "not found"}, package()], UNKNOWN, "1 of 2 are unknown"),
        ([{"name": "one", "skip_reason": "-"}, package(vulns=[KNOWN])], VULNERABLE, "1 known"),
    ],
)
def test_a_package_that_was_not_asked_about_is_no_good_news(
    packages: list[dict[str, Any]], code: int, words: str
) -> None:
    sentence, found = verdict({"dependencies": packages, "fixes": []})
    assert (found, words in sentence) == (code, True), sentence


@pytest.mark.parametrize("errors", ["", "Traceback ...\nsocket.gaierror: Name not known\n"])
def test_data_that_cannot_be_had_are_one_sentence(errors: str) -> None:
    sentence, code = read_report("", errors)
    assert code == UNKNOWN
    assert sentence.startswith("pip-audit could not get the data on vulnerabilities from here (")
    assert "\n" not in sentence


def test_pip_audit_reads_our_requirements_and_writes_what_is_judged_here(tmp_path: Path) -> None:
    # An address at which nobody answers: what comes of it is the same on every machine.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.audit_gate", "--vulnerability-service", "osv"),
            *("--osv-url", "http://127.0.0.1:9/", "--cache-dir", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (UNKNOWN, "")
    assert "127.0.0.1" in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-celery.txt"])
def test_every_package_that_is_shipped_has_its_version_and_its_hashes(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) > 20
    for line in lines:
        assert re.match(r"[\w.\[\]-]+==\S+ ", line), line
        assert "--hash=sha256:" in line, line


def test_the_bill_of_materials_lists_what_is_required(tmp_path: Path) -> None:
    written = tmp_path / "sbom.json"
    subprocess.run(
        [
            *(Path(sys.executable).with_name("cyclonedx-py"), "environment", sys.executable),
            *("--pyproject", "pyproject.toml", "--output-reproducible", "--no-validate"),
            *("-o", written),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    bill = json.loads(written.read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "almenara"
    components = {one["name"].lower(): one for one in bill["components"]}
    for name in ("fastapi", "tortoise-orm", "celery", "pyjwt"):
        assert components[name]["version"]
        assert components[name]["licenses"], name


def test_the_make_targets_ask_and_list_the_same_requirements() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "-m tests.audit_gate $(ARGS)" in makefile
    assert "cyclonedx-py environment" in makefile
    assert "--require-hashes -r requirements-celery.txt" in makefile
