"""The alert rules and the dashboard fit the metrics of a real server, and lead to what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from almenara.deliveries import Outcome
from almenara.limits import PauseReason
from tests.pages import ROOT, blocks, read
from tests.scraped import Scrape, scrape
from tests.serving import make_settings, served

RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
CONFIGURATION = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "almenara.json"
PAGE = "docs/howto/watch-it.md"

#: What Prometheus itself adds.
_ITS_METRICS = {"up"}
_ITS_LABELS = {"job", "instance", "le"}


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def expressions() -> Iterator[str]:
    """Every expression of the rules and of the dashboard, its variables included."""
    yield from (one["expr"] for one in rules())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield re.sub(
                r"label_values\((\w+), (\w+)\)", r"\1{\2=~'x'}", variable["query"]["query"]
            )


def names_in(expression: str) -> set[str]:
    """The metrics that an expression names."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|on) \([^)]*\)", " ", expression)
    words = set(re.findall(r"[a-z_][a-z_0-9]*(?![a-z_0-9]*\s*\()", bare))
    return {one for one in words if "_" in one or one in _ITS_METRICS} - {"histogram_quantile"}


def labels_in(expression: str) -> set[str]:
    """The labels that an expression names."""
    selected = re.findall(r"([a-z_]+)\s*(?:=~|!=|!~|=)\s*[\"']", expression)
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    return {*selected, *(one.strip() for many in grouped for one in many.split(","))}


async def test_every_metric_and_label_that_is_used_is_there(tmp_path: Path) -> None:
    async with served(make_settings(tmp_path)) as client:
        sent = await client.post("/v1/messages", {"topic": "hello", "description": "x"})
        await client.final(sent.body["id"])
        found: Scrape = await scrape(client)
    names = {name for name, _ in found.samples}
    labels = {label for _, having in found.samples for label, _ in having}
    used = 0
    for expression in expressions():
        assert names_in(expression) <= names | _ITS_METRICS, expression
        assert labels_in(expression) <= labels | _ITS_LABELS, expression
        used += len(names_in(expression))
    assert used > 20


def test_a_name_that_is_not_there_would_be_found() -> None:
    expression = 'max by (channel) (almenara_gone{chanel="x"}) > 1 unless on (reason) up == 0'
    assert names_in(expression) == {"almenara_gone", "up"}
    assert labels_in(expression) == {"channel", "chanel", "reason"}


def test_the_values_of_labels_that_are_used_are_such_as_there_are() -> None:
    known = {
        "outcome": {one.value for one in Outcome},
        "reason": {one.value for one in PauseReason},
    }
    for expression in expressions():
        for label, value in re.findall(r"(outcome|reason)!?=\"([^\"]*)\"", expression):
            assert value in known[label], expression


def test_every_alert_says_what_happened_what_to_do_and_where_more_stands() -> None:
    headings = re.findall(r"^### (\w+)$", read(PAGE), re.MULTILINE)
    assert [one["alert"] for one in rules()] == headings
    for rule in rules():
        said = rule["annotations"]
        assert said.keys() == {"summary", "action", "runbook_url"}, rule["alert"]
        for sentence in (said["summary"], said["action"]):
            assert re.fullmatch(r"[A-Z{].+\.", sentence), sentence
        assert said["runbook_url"] == f"{PAGE}#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert re.fullmatch(r"\d+m", rule["for"])


def test_the_dashboard_lets_the_data_source_be_chosen_and_its_panels_do_not_overlap() -> None:
    whole = dashboard()
    assert whole["templating"]["list"][0]["type"] == "datasource"
    assert len({panel["id"] for panel in whole["panels"]}) == len(whole["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in whole["panels"]:
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert panel["title"]
        assert panel["description"]
        taken |= cells


def test_the_configuration_names_the_rules_and_the_jobs_that_they_ask_for() -> None:
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    assert configuration["rule_files"] == [RULES.name]
    jobs = [one["job_name"] for one in configuration["scrape_configs"]]
    [down] = [one["expr"] for one in rules() if one["alert"] == "AlmenaraDown"]
    pattern = re.search(r'job=~"([^"]+)"', down)
    assert pattern is not None
    assert all(re.fullmatch(pattern[1], job) for job in jobs)
    [shown] = blocks(read(PAGE), "yaml")
    assert yaml.safe_load(shown.text)["scrape_configs"][0]["job_name"] in jobs


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed here")
    command = [promtool, "check", "rules", str(RULES)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
