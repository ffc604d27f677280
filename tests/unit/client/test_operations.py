"""The client's operations and results are the API's: none is missing, none has another form."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from almenara.client import AsyncClient, Client, message_operations, results, set_up_operations
from almenara.client import set_up_results as set_up
from almenara.client.blocking import Caller
from almenara.client.pages import Pages
from docs.generate import openapi

_DOCUMENT = openapi()
_SCHEMAS = _DOCUMENT["components"]["schemas"]

#: Operations of the API that have no method, and why.
LEFT_OUT = {
    ("GET", "/healthz"): "for the machines that start servers anew; `readiness` says more",
    ("GET", "/metrics"): "for Prometheus",
    ("GET", "/v1/stream"): "it has no end; `almenara log --follow` reads the lists",
    ("POST", "/v1/backups"): "a file of any size: `Client.download`, or `almenara backup`",
}

#: What each operation is given here.
_GIVEN: dict[str, tuple[Any, ...]] = {
    "send_many": ([{"topic": "sales", "description": "x"}],),
    "send_webhook": ("x", {}),
    "explain_webhook": ("x", {}),
    "attachment": ("x", 1),
}

_OPERATIONS: dict[str, Callable[..., Any]] = {
    name: function
    for module in (message_operations, set_up_operations)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}


def _asked(name: str) -> tuple[str, str]:
    """Return the method and the route of the first request that an operation makes."""
    operation = _OPERATIONS[name]
    required = [
        one
        for one in inspect.signature(operation).parameters.values()
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    steps = operation(*_GIVEN.get(name, ["x"] * len(required)))
    request = next(steps.step() if isinstance(steps, Pages) else steps)
    [route] = [
        path
        for path, methods in _DOCUMENT["paths"].items()
        if request.method.lower() in methods
        and re.fullmatch(re.sub(r"{\w+}", "(x|1)", path), request.path)
    ]
    return request.method, route


def test_every_operation_of_the_api_has_a_method_or_is_left_out_by_name() -> None:
    operations = {
        (method.upper(), path) for path, methods in _DOCUMENT["paths"].items() for method in methods
    }
    reached = {_asked(name) for name in _OPERATIONS}
    assert reached | set(LEFT_OUT) == operations
    assert not reached & set(LEFT_OUT)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_both_clients_have_every_operation_with_its_words(client: type[Any]) -> None:
    general = {name for name in dir(Caller) if not name.startswith("_")}
    public = {name for name in dir(client) if not name.startswith("_")}
    assert public - general == set(_OPERATIONS)
    for name, operation in _OPERATIONS.items():
        assert getattr(client, name).__doc__ == operation.__doc__


#: The result for each schema of the API; those it shares with others are named once.
_RESULTS: dict[str, type[Any]] = {
    "AcceptedCounts": set_up.AcceptedCounts,
    "AcceptedDelivery": results.AcceptedDelivery,
    "AcceptedOut": results.Accepted,
    "AttachmentOut": results.AttachedFile,
    "AttemptCounts": set_up.AttemptCounts,
    "AttemptOut": results.Attempt,
    "AuditOut": set_up.AuditEntry,
    "BatchItem": results.Sent,
    "BrokenPluginOut": set_up.BrokenPlugin,
    "ChannelOut": set_up.Channel,
    "DeliveryOut": results.DeliveryStory,
    "DeliverySummary": results.Delivery,
    "DifferingOut": set_up.Differing,
    "DrillOut": set_up.Drill,
    "DryRunOut": results.DryRun,
    "ElsewhereOut": set_up.Elsewhere,
    "Explained": set_up.Explanation,
    "ExplainedChannel": set_up.ExplainedChannel,
    "ExplainedContent": set_up.ExplainedContent,
    "ExplainedMessage": set_up.ExplainedMessage,
    "ExplainedPlugin": set_up.ExplainedPlugin,
    "ExplainedPolicy": set_up.ExplainedPolicy,
    "MessageOut": results.Message,
    "MessageStory": results.Story,
    "PendingCount": set_up.PendingCount,
    "PluginList": set_up.Plugins,
    "PluginOut": set_up.Plugin,
    "Readiness": set_up.Readiness,
    "ReplayFilters": results.ReplayFilters,
    "ReplayOut": results.ReplayStory,
    "ReplaySummary": results.Replay,
    "Stats": set_up.Stats,
    "TimelineEntry": results.TimelineEntry,
    "TopicChannelOut": set_up.TopicChannel,
    "TopicOut": set_up.Topic,
    "WorkerOut": set_up.Process,
}


def test_every_answer_of_the_api_has_its_result() -> None:
    answers = {
        name
        for name in _SCHEMAS
        if re.search(r"Out$|Story$|Summary$|^Explained|^Accepted|Item$|Entry$", name)
    } - {"BatchOut"}
    assert answers <= set(_RESULTS)


@pytest.mark.parametrize("name", _RESULTS)
def test_a_result_has_the_fields_of_the_api(name: str) -> None:
    result, schema = _RESULTS[name], _SCHEMAS[name]
    hints = get_type_hints(result)
    assert {one.name for one in dataclasses.fields(result)} == set(schema["properties"])
    for field, part in schema["properties"].items():
        assert _may_be_none(hints[field]) == _is_nullable(part), field
        # Where the API names the words; in some places it says only that it is a text.
        if words := _enum_of(part):
            assert _words_of(hints[field]) in (set(), words), field


#: What a caller may write, by the schema of the body.
_WRITTEN: list[tuple[type[Any], str, set[str]]] = [
    (message_operations.MessageFields, "MessageIn", {"description", "topic", "channel"}),
    (set_up_operations.TopicFields, "TopicFields", set()),
    (set_up_operations.ChannelFields, "ChannelFields", set()),
    (set_up_operations.ReplayFields, "ReplayIn", {"dry_run"}),
]


@pytest.mark.parametrize(("fields", "schema", "apart"), _WRITTEN)
def test_what_can_be_written_is_what_the_api_takes(
    fields: type[Any], schema: str, apart: set[str]
) -> None:
    assert set(get_type_hints(fields)) | apart == set(_SCHEMAS[schema]["properties"])


@pytest.mark.parametrize(
    ("filters", "path"),
    [
        (message_operations.MessageFilters, "/v1/messages"),
        (message_operations.DeliveryFilters, "/v1/deliveries"),
        (set_up_operations.AuditFilters, "/v1/audit"),
    ],
)
def test_lists_are_filtered_as_the_api_does(filters: type[Any], path: str) -> None:
    parameters = {one["name"] for one in _DOCUMENT["paths"][path]["get"]["parameters"]}
    assert set(get_type_hints(filters)) | {"cursor", "limit"} == parameters


def _may_be_none(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and type(None) in get_args(hint)


def _is_nullable(part: dict[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in part.get("anyOf", []))


def _words_of(hint: Any) -> set[str]:
    return set(get_args(hint)) if get_origin(hint) is Literal else set()


def _enum_of(part: dict[str, Any]) -> set[str]:
    if "$ref" in part:
        part = _SCHEMAS[part["$ref"].rpartition("/")[2]]
    return set(part.get("enum", ()))
