"""The Helm chart: its values, its schema and its templates fit each other, Kubernetes and ours."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from almenara.settings import Settings
from tests.pages import ROOT

CHART = ROOT / "deploy" / "helm" / "almenara"
#: Everything that is off by default, on.
EVERYTHING = (
    "api.insecure=true",
    "autoscale.enabled=true",
    "ingress.enabled=true",
    "ingress.className=nginx",
    "ingress.tlsSecretName=almenara-tls",
    "ingress.annotations.purpose=test",
    "image.pullSecrets={registry}",
    "nodeSelector.disk=ssd",
    "tolerations[0].operator=Exists",
)

needs_helm = pytest.mark.skipif(
    not shutil.which("helm"), reason="there is no helm here: the chart is read, not rendered"
)


def values() -> dict[str, Any]:
    parsed = yaml.safe_load((CHART / "values.yaml").read_text())
    assert isinstance(parsed, dict)
    return parsed


def schema() -> dict[str, Any]:
    parsed = json.loads((CHART / "values.schema.json").read_text())
    assert isinstance(parsed, dict)
    return parsed


def templates() -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}


def named(tree: dict[str, Any], known: dict[str, Any], before: str = "") -> Iterator[str]:
    """Give the dotted name of each value; what the schema leaves open is one value."""
    for name, value in tree.items():
        parts = known[name].get("properties")
        if parts and isinstance(value, dict):
            yield from named(value, parts, f"{before}{name}.")
        else:
            yield before + name


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)


def test_the_schema_takes_the_values_and_nothing_unknown() -> None:
    validator = jsonschema_rs.validator_for(schema())
    validator.validate(values())
    for wrong in (
        {"replicas": 3},
        {"api": {"replicas": 0}},
        {"settings": {"RETENTION_DAYS": "90"}},
        {"settings": {"ALMENARA_RETENTION_DAYS": 90}},
    ):
        assert not validator.is_valid(values() | wrong), wrong


def test_every_value_is_used_and_none_is_made_up() -> None:
    used = {
        name
        for text in templates().values()
        for name in re.findall(r"\.Values\.([A-Za-z.]+)", text)
    }
    leaves = set(named(values(), schema()["properties"]))
    # A template may look for one setting among all.
    assert {re.sub(r"^settings\..*", "settings", name) for name in used} == leaves


def test_every_block_of_a_template_is_closed() -> None:
    for name, text in templates().items():
        actions = re.findall(r"\{\{-?\s*(\S+)", text)
        opened = sum(actions.count(word) for word in ("if", "with", "range", "define"))
        assert opened == actions.count("end"), name
        assert text.count("{{") == text.count("}}"), name


def test_every_template_that_is_included_is_defined() -> None:
    everything = "\n".join(templates().values())
    included = set(re.findall(r'include "([^"]+)"', everything))
    assert included == set(re.findall(r'define "([^"]+)"', everything))


def test_every_setting_of_the_chart_exists() -> None:
    texts = [*templates().values(), (CHART / "values.yaml").read_text()]
    found = {
        name.removesuffix("_FILE")
        for text in texts
        for name in re.findall(r"ALMENARA_[A-Z_]*[A-Z]", text)
    }
    fields = {f"ALMENARA_{name.upper()}" for name in Settings.model_fields}
    # The one setting whose own name ends so.
    assert found - {"ALMENARA_AUTH"} <= fields


def test_the_chart_is_of_this_version_and_counts_as_the_manifests_do() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]
    scaled = ROOT / "deploy" / "kubernetes" / "autoscale" / "scaled-worker.yaml"
    query = next(yaml.safe_load_all(scaled.read_text()))["spec"]["triggers"][0]["metadata"]["query"]
    assert " ".join(query.split()) in " ".join(templates()["worker.yaml"].split())


@needs_helm
def test_helm_refuses_to_serve_without_tokens_unless_told() -> None:
    refused = helm("template", "tower", str(CHART))
    assert refused.returncode != 0
    assert "Say whose tokens are trusted" in refused.stderr
    trusted = helm("template", "tower", str(CHART), "--set", "settings.ALMENARA_JWT_ISSUER=idp")
    assert trusted.returncode == 0, trusted.stderr
    assert "--insecure" not in trusted.stdout


@needs_helm
def test_helm_makes_what_kubernetes_takes() -> None:
    import kubernetes_validate

    linted = helm("lint", "--strict", str(CHART), "--set", "api.insecure=true")
    assert linted.returncode == 0, linted.stdout
    sets = [part for one in EVERYTHING for part in ("--set", one)]
    made = helm("template", "tower", str(CHART), *sets)
    assert made.returncode == 0, made.stderr
    found = [one for one in yaml.safe_load_all(made.stdout) if one]
    for one in found:
        if not one["apiVersion"].startswith("keda.sh"):
            kubernetes_validate.validate(one, "1.31", strict=True)
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in found
        if one["kind"] in {"Deployment", "Job"}
    }
    assert set(pods) == {"tower-api", "tower-worker", "tower-migrate"}
    for one in found:
        selector = one.get("spec", {}).get("selector", {})
        wanted = selector.get("matchLabels", selector if one["kind"] == "Service" else {})
        part = wanted.get("app.kubernetes.io/component")
        assert not part or wanted.items() <= pods[f"tower-{part}"]["metadata"]["labels"].items()
    _as_in_the_manifests(pods)


def _as_in_the_manifests(pods: dict[str, Any]) -> None:
    """What is shut in, asked and waited for is the same as in deploy/kubernetes."""
    for path in (ROOT / "deploy" / "kubernetes" / "base").glob("*.yaml"):
        for one in yaml.safe_load_all(path.read_text()):
            if one["kind"] not in {"Deployment", "Job"}:
                continue
            plain = one["spec"]["template"]["spec"]
            ours = pods[one["metadata"]["name"].replace("almenara", "tower")]["spec"]
            for name in ("securityContext", "volumes", "terminationGracePeriodSeconds"):
                assert ours[name] == plain[name], (path.name, name)
            [container], [theirs] = ours["containers"], plain["containers"]
            for name in theirs.keys() - {"image", "envFrom"}:
                assert container[name] == theirs[name], (path.name, name)
