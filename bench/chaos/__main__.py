"""Run scenarios: `python -m bench.chaos [SCENARIO ...] [--size pr|full] [--json FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from bench.chaos.clocks import clock_jumps, clock_skew
from bench.chaos.disconnects import disconnects_on_postgres, disconnects_on_sqlite
from bench.chaos.disk_full import disk_full
from bench.chaos.fleet import fleet_freezes, fleet_kills, fleet_postgres
from bench.chaos.fleet_broker import fleet_broker
from bench.chaos.fleet_hosts import fleet_hosts
from bench.chaos.freezes import freezes
from bench.chaos.hostile import hostile_destinations
from bench.chaos.kills import kills_on_postgres, kills_on_sqlite
from bench.chaos.machine import describe_machine
from bench.chaos.plugins import bad_plugins
from bench.chaos.points import points_on_postgres, points_on_sqlite
from bench.chaos.postgres_faults import postgres_faults
from bench.chaos.power import cuts_of_the_control, cuts_on_postgres, cuts_on_sqlite
from bench.chaos.restarts import restarts_on_postgres, restarts_on_sqlite
from bench.chaos.scenario import CannotRun, Row, Scenario, Size
from bench.chaos.stage import staged

#: Every scenario by its name: one line each.
SCENARIOS: dict[str, Scenario] = {
    "kill-sqlite": kills_on_sqlite,
    "kill-postgres": kills_on_postgres,
    "points-sqlite": points_on_sqlite,
    "points-postgres": points_on_postgres,
    "freeze": freezes,
    "restart-sqlite": restarts_on_sqlite,
    "restart-postgres": restarts_on_postgres,
    "postgres-faults": postgres_faults,
    "disk-full": disk_full,
    "power-sqlite": cuts_on_sqlite,
    "power-postgres": cuts_on_postgres,
    "power-control": cuts_of_the_control,
    "hostile": hostile_destinations,
    "clock": clock_jumps,
    "clock-skew": clock_skew,
    "plugins": bad_plugins,
    "disconnect-sqlite": disconnects_on_sqlite,
    "disconnect-postgres": disconnects_on_postgres,
    "fleet-kill": fleet_kills,
    "fleet-freeze": fleet_freezes,
    "fleet-broker": fleet_broker,
    "fleet-postgres": fleet_postgres,
    "fleet-hosts": fleet_hosts,
}


async def run(
    name: str,
    size: Size,
    *,
    within: Path | None = None,
    keep: Path | None = None,
    show: bool = False,
) -> Row:
    """Run one scenario on a stage of its own, and return its row.

    Args:
        within: where its directory is made.
        keep: where a directory with the oracle's files is left.
        show: write to the terminal how far it is.
    """
    began = time.monotonic()

    def say(text: str) -> None:
        if show:
            passed = time.monotonic() - began
            print(f"\r\x1b[K{name:<18}{passed:6.0f} s  {text}", end="", file=sys.stderr, flush=True)

    try:
        async with staged(size, say, within=within, keep=keep and keep / name) as stage:
            row = await SCENARIOS[name](stage, size)
    except CannotRun as reason:
        row = Row(scenario=name, faults="none", fault_count=0, skipped=str(reason))
    row.about = (SCENARIOS[name].__doc__ or "").splitlines()[0]
    row.seconds = round(time.monotonic() - began, 1)
    return row


def main() -> None:
    """Run what the command line asks for, and end with 1 when a promise was broken."""
    options = _options()
    rows = []
    for name in options.scenarios or SCENARIOS:
        row = asyncio.run(
            run(
                name,
                Size(options.size),
                within=options.directory,
                keep=options.keep,
                show=True,
            )
        )
        print(f"\r\x1b[K{_line(row)}", file=sys.stderr)
        print(json.dumps(row.as_dict()), flush=True)
        rows.append(row)
    if options.json:
        result = {
            "size": options.size,
            "machine": describe_machine(options.directory),
            "rows": [row.as_dict() for row in rows],
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if any(row.failures for row in rows) else 0)


def _line(row: Row) -> str:
    """Say in one line what a scenario came to."""
    if row.skipped:
        return f"{row.scenario:<18}not run: {row.skipped}"
    return (
        f"{row.scenario:<18}{row.seconds:6.0f} s  {row.faults}: {row.accepted} accepted, "
        f"{row.lost} lost, {row.duplicated} duplicated; "
        + ("; ".join(row.failures) if row.failures else "passed")
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.chaos", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--size", choices=[size.value for size in Size], default=Size.PR.value)
    parser.add_argument("--json", type=Path, default=None, help="write the rows there as well")
    parser.add_argument(
        "--directory", type=Path, default=None, help="where the stages are made; a real disk"
    )
    parser.add_argument(
        "--keep", type=Path, default=None, help="leave the ledger, sink, journal and log there"
    )
    options = parser.parse_args()
    unknown = [name for name in options.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are: {', '.join(SCENARIOS)}")
    return options


if __name__ == "__main__":
    main()
