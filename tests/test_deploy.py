"""The fleet in containers: compose and Kubernetes fit the product, and what they start runs."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from almenara.settings import Settings
from tests.acceptance.test_crash import client_of
from tests.pages import ROOT
from tests.plugins.author import Author
from tests.processes import ServerProcess, WorkerProcess
from tests.servers import RABBITMQ

KUBERNETES = ROOT / "deploy" / "kubernetes"

Databases = Callable[..., str]


def compose() -> dict[str, Any]:
    parsed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert isinstance(parsed, dict)
    return parsed


def manifests(*kinds: str) -> Iterator[dict[str, Any]]:
    """Every Kubernetes object of these kinds, or every one."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            if not kinds or one["kind"] in kinds:
                yield one


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods of the Deployments and of the Job, by name."""
    for one in manifests("Deployment", "Job"):
        yield one["metadata"]["name"], one["spec"]["template"]


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(s|m)", text)
    assert match
    return int(match[1]) * {"s": 1, "m": 60}[match[2]]


# --- compose


def test_the_profiles_start_what_they_are_for() -> None:
    services = compose()["services"]
    profiles: dict[str, set[str]] = {}
    for name, service in services.items():
        for profile in service.get("profiles", ["(none)"]):
            profiles.setdefault(profile, set()).add(name)
    assert profiles == {
        "(none)": {"almenara"},
        "test": {"postgres", "rabbitmq"},
        "fleet": {"api", "worker", "migrate", "database", "broker"},
    }


def test_the_fleet_is_one_image_with_three_commands_and_two_workers() -> None:
    services = compose()["services"]
    ours = {name: services[name] for name in ("api", "worker", "migrate")}
    assert {one["image"] for one in ours.values()} == {"almenara:local"}
    assert {name: one["command"][0] for name, one in ours.items()} == {
        "api": "serve",
        "worker": "worker",
        "migrate": "migrate",
    }
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["migrate"]["restart"] == "no"
    for name in ("api", "worker"):
        assert services[name]["depends_on"]["migrate"] == {
            "condition": "service_completed_successfully"
        }


def test_every_image_of_others_has_a_version_and_every_secret_a_file() -> None:
    parsed = compose()
    for service in parsed["services"].values():
        assert re.fullmatch(r"[a-z]+:(local|\d+[a-z0-9.-]*)", service["image"])
    used = {
        one if isinstance(one, str) else one["source"]
        for service in parsed["services"].values()
        for one in service.get("secrets", [])
    }
    assert used == set(parsed["secrets"])
    assert all(set(one) == {"file"} for one in parsed["secrets"].values())


def test_containers_have_longer_to_end_than_a_drain_takes() -> None:
    usual = Settings.model_fields["drain_seconds"].default
    for name in ("almenara", "api", "worker"):
        service = compose()["services"][name]
        drain = float(service.get("environment", {}).get("ALMENARA_DRAIN_SECONDS", usual))
        assert seconds(service["stop_grace_period"]) >= drain + 15


def test_the_secrets_are_made_once_and_fit_each_other(tmp_path: Path) -> None:
    def make() -> dict[str, str]:
        subprocess.run(
            ["sh", str(ROOT / "deploy" / "make-secrets.sh"), str(tmp_path / "secrets")],
            check=True,
            capture_output=True,
        )
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    made = make()
    assert make() == made
    assert {Path(one["file"]).name for one in compose()["secrets"].values()} <= set(made)
    assert made["database_password"] in made["database_url"]
    assert made["broker_password"] in made["broker_url"]
    assert f"default_pass = {made['broker_password']}\n" in made["broker.conf"]
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.timeout(120)
@pytest.mark.xdist_group("rabbitmq")
async def test_the_three_commands_run_with_what_compose_gives_them(
    tmp_path: Path, postgres_database: Databases
) -> None:
    """As in containers, but for where the two servers and the files are."""
    services = compose()["services"]
    author = Author(tmp_path / "plugins")
    places = {
        "/run/secrets/database_url": postgres_database(),
        "/run/secrets/broker_url": RABBITMQ.url,
        "/run/secrets/secret_key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }
    environ = dict(services["api"]["environment"])
    for number, (place, text) in enumerate(places.items()):
        file = tmp_path / f"secret-{number}"
        file.write_text(text)
        environ = {name: str(file) if value == place else value for name, value in environ.items()}
    assert environ.keys() == services["worker"]["environment"].keys()
    server = ServerProcess(tmp_path, environ=environ, arguments=())
    migrated = subprocess.run(
        [sys.executable, "-m", "almenara", *services["migrate"]["command"]],
        env=server.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert migrated.returncode == 0, migrated.stderr
    with server, WorkerProcess(server.environ, *services["worker"]["command"][1:]):
        async with client_of(server) as client:
            await client.call("PUT", "/v1/channels/sink", {"plugin": "Sink"})
            sent = await client.post("/v1/messages", {"channel": "sink", "description": "hello"})
            assert (await client.final(sent.body["id"], 30))["status"] == "sent"
    assert len(author.traces()) == 1


# --- Kubernetes


def test_the_manifests_are_what_kubernetes_takes() -> None:
    """By its own schemas, nothing unknown; KEDA's and kustomize's kinds are not among them."""
    import kubernetes_validate  # seconds, which each worker would pay that only collects

    checked = 0
    for one in manifests():
        if one["apiVersion"].partition("/")[0] not in {"keda.sh", "kustomize.config.k8s.io"}:
            kubernetes_validate.validate(one, "1.31", strict=True)
            checked += 1
    assert checked >= 8


def test_selectors_match_the_pods_that_they_are_for() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods()}
    for one in manifests("Deployment", "PodDisruptionBudget"):
        selector = one["spec"]["selector"]["matchLabels"]
        assert selector.items() <= labels[one["metadata"]["name"]].items()
    [service] = manifests("Service")
    assert service["spec"]["selector"].items() <= labels["almenara-api"].items()


def test_every_pod_is_shut_in_and_has_time_to_end() -> None:
    [settings] = [
        one["configMapGenerator"][0]["literals"]
        for one in manifests("Kustomization")
        if "api.yaml" in one.get("resources", [])
    ]
    values = dict(line.split("=", 1) for line in settings)
    for name, pod in pods():
        spec = pod["spec"]
        [container] = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["enableServiceLinks"] is False, name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert "memory" in container["resources"]["limits"], name
        grace = spec["terminationGracePeriodSeconds"]
        assert grace >= float(values["ALMENARA_DRAIN_SECONDS"]) + 20, name
    assert {pod["spec"]["containers"][0]["args"][0] for _, pod in pods()} == {
        "serve",
        "worker",
        "migrate",
    }


def test_every_setting_of_the_manifests_exists() -> None:
    named = {
        line.partition("=")[0]
        for one in manifests("Kustomization")
        for generator in one.get("configMapGenerator", [])
        for line in generator["literals"]
    } | {name for one in ("api", "worker") for name in compose()["services"][one]["environment"]}
    fields = {f"ALMENARA_{name.upper()}" for name in Settings.model_fields}
    assert {name.removesuffix("_FILE") for name in named} <= fields


def test_probes_ask_what_starting_anew_would_mend() -> None:
    probes = {name: pod["spec"]["containers"][0] for name, pod in pods()}
    api, worker = probes["almenara-api"], probes["almenara-worker"]
    assert api["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert worker["livenessProbe"]["exec"]["command"] == ["almenara", "alive"]


@pytest.mark.postgres
def test_the_number_of_workers_follows_a_query_that_runs(
    postgres_database: Databases,
) -> None:
    import asyncpg

    [scaled] = manifests("ScaledObject")
    [trigger] = scaled["spec"]["triggers"]

    async def ask() -> object:
        connection = await asyncpg.connect(postgres_database(migrated=True))
        try:
            return await connection.fetchval(trigger["metadata"]["query"])
        finally:
            await connection.close()

    assert asyncio.run(ask()) == 0
    assert scaled["spec"]["scaleTargetRef"]["name"] == "almenara-worker"


def test_kustomizations_name_files_that_are_there() -> None:
    for path in KUBERNETES.rglob("kustomization.yaml"):
        parsed = yaml.safe_load(path.read_text())
        for name in [*parsed.get("resources", []), *parsed.get("components", [])]:
            assert (path.parent / name).exists(), f"{path}: {name}"
