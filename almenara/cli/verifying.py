"""`channels verify`: the silent check of one channel, or of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

import typer

from almenara.cli.client import Answer, RefusedError, Server, connect, path_to
from almenara.cli.completing import channel_names
from almenara.cli.exits import ExitCode
from almenara.cli.output import Column, print_json, print_line, print_note, print_table
from almenara.cli.words import AsJson

VerifyEvery = Annotated[
    str | None,
    typer.Option(
        metavar="WAIT",
        help="How often its silent check is made: `1m` to `30d`, or `none` for never.",
    ),
]
_COLUMNS = (
    Column("channel"),
    Column("result", whole=True, status=True),
    Column("took", whole=True),
    Column("details"),
)


def read_every(every: str | None) -> dict[str, str | None]:
    """Return the schedule of drills as the API takes it; nothing when none is given."""
    if every is None:
        return {}
    return {"verify_every": None if every.strip().lower() == "none" else every}


def verify_channels(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="The name, in any case.", autocompletion=channel_names
        ),
    ] = None,
    every_one: Annotated[bool, typer.Option("--all", help="Every channel, by name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check really but silently whether a channel would send: a login, a test of its token.

    Example: `almenara channels verify team-slack`

    Example: `almenara channels verify --all`

    Nothing is sent. A channel whose service has no such check says so, and is no failure.
    """
    if (name is None) is not every_one:
        raise typer.BadParameter("Name a channel, or write --all.")
    server = connect()
    if name is not None:
        answer = server.post(path_to("channels", name, "verify"))
        outcomes = [answer.body]
        if as_json:
            print_json(answer)
        else:
            print_line(_sentence(answer.body))
    else:
        outcomes = _verify_all(server)
        if as_json:
            print_json(Answer(json.dumps({"data": outcomes}), None))
        else:
            rows = [_row(one) for one in outcomes]
            print_table(_COLUMNS, rows, empty="There are no channels.")
    if any(_result(one) == "failed" for one in outcomes):
        raise typer.Exit(ExitCode.NOT_DONE)


def _verify_all(server: Server) -> list[Mapping[str, Any]]:
    outcomes: list[Mapping[str, Any]] = []
    for channel in server.get("/v1/channels").body["data"]:
        print_note(f"{channel['name']} ...")
        outcomes += _verify_one(server, channel["name"])
    return outcomes


def _verify_one(server: Server, name: str) -> list[Mapping[str, Any]]:
    """Verify one of many, which may have been deleted meanwhile, or find nobody to make it."""
    try:
        return [server.post(path_to("channels", name, "verify")).body]
    except RefusedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return []
        if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return [{"channel": name, "supported": True, "verified": False, "error": error.message}]


def _result(outcome: Mapping[str, Any]) -> str:
    if not outcome["supported"]:
        return "no check"
    return "ok" if outcome["verified"] else "failed"


def _row(outcome: Mapping[str, Any]) -> tuple[str, str, str, str]:
    took = f"{outcome['duration_ms']} ms" if "duration_ms" in outcome else ""
    details = outcome.get("error") or outcome.get("detail") or ""
    return outcome["channel"], _result(outcome), took, details


def _sentence(outcome: Mapping[str, Any]) -> str:
    channel, result, took, details = _row(outcome)
    return f"Channel {channel}: {result}, after {took}. {details}".rstrip()
