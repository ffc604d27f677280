"""Requests that follow the OpenAPI document, and such that do not, by Schemathesis."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench.fuzz.outcome import Outcome

#: A schema cannot say that a topic must exist or that two times must follow each other; so what it
#: allows may be refused with 422, which is nothing that the check knows by itself.
_CONFIGURATION = """\
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422, 429]
"""
#: Without a token everything is refused, so that nothing can be said of what is accepted.
_OF_STRANGERS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def fuzz_description(
    url: str,
    directory: Path,
    *,
    name: str,
    token: str | None,
    document_token: str,
    examples: int,
    seed: int,
    phases: Sequence[str] = ("examples", "coverage", "fuzzing", "stateful"),
) -> Outcome:
    """Let Schemathesis fuzz every operation.

    Args:
        url: where the server is.
        directory: where its reports go.
        name: what the run is called.
        token: what each request brings; ``None``: nothing.
        document_token: reads the OpenAPI document.
        examples: requests to each operation, in the phases that draw them.
        seed: what they are drawn from.
        phases: Schemathesis' own.

    Raises:
        RuntimeError: Schemathesis did not run.
    """
    directory.mkdir(parents=True, exist_ok=True)
    configuration, report = directory / "schemathesis.toml", directory / "report.json"
    document = directory / "openapi.json"
    configuration.write_text(_CONFIGURATION, encoding="utf-8")
    document.write_text(json.dumps(_document(url, document_token)), encoding="utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)]
    command += ["run", str(document), "--url", url, "--phases", ",".join(phases)]
    command += ["--checks", "all" if token else ",".join(_OF_STRANGERS)]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure"]
    command += ["--suppress-health-check", "all", "--output-truncate", "false"]
    command += ["--report", "json", "--report-json-path", str(report)]
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    written = directory / "output.txt"
    with written.open("wb") as file:
        # In its own directory: it keeps what it found there.
        done = subprocess.run(command, stdout=file, stderr=file, check=False, cwd=directory)
    if done.returncode not in {0, 1} or not report.exists():
        raise RuntimeError(f"Schemathesis did not run:\n{written.read_text()[-2_000:]}")
    told = json.loads(report.read_text(encoding="utf-8"))
    failures = [*told["failures"], *told["errors"]]
    mistakes = [
        f"{one.get('code')} {one.get('title')}: {one.get('operations') or one}"[:300]
        for one in failures
    ]
    if not told["complete"]:
        mistakes.append(f"The run is not complete: {told['stop_reason']}.")
    if failures:
        mistakes.append(f"Read {written}.")
    return Outcome(name, told["test_cases"]["generated"], mistakes)


def _document(url: str, token: str) -> object:
    request = urllib.request.Request(
        f"{url}/openapi.json", headers={"Authorization": f"Bearer {token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        document = json.load(answer)
    # It has no end, so that Schemathesis would wait for ever.
    document["paths"].pop("/v1/stream", None)
    # What a template reads may be any JSON, which no schema of a message says: other tests have it.
    # So may what comes on a topic with a mapping; the run shall make none.
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        if name in {"TopicIn", "TopicFields"}:
            del schema["properties"]["accept"]
    for path in document["paths"].values():
        for operation in path.values():
            operation["parameters"] = [
                one for one in operation.get("parameters", ()) if one["name"] != "template"
            ]
    return document
