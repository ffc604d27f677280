"""Write the figures of a run into `docs/explanation/evidence.md`.

`python -m bench.chaos.evidence FILE` replaces what stands between two marks of that page, and
leaves the rest as somebody wrote it. The scenarios of the fleet have marks of their own, and what a
run did not try stays.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path("docs/explanation/evidence.md")
_BEGIN, _END = "<!-- figures: written by `make chaos` -->\n", "<!-- end of figures -->\n"
_FLEET_BEGIN = "<!-- figures of the fleet: written by `make chaos` -->\n"
_FLEET = "fleet-"
_HEAD = (
    "| scenario | what is done to it | faults | accepted | lost | stored twice | duplicates "
    "| worst recovery | result |\n|---|---|---|---|---|---|---|---|---|\n"
)


def figures(result: dict[str, Any]) -> str:
    """Return the part of the page that is made of figures."""
    machine, rows = result["machine"], result["rows"]
    minutes = sum(row["seconds"] for row in rows) / 60
    run = f"Run on {machine['date']} in the {result['size']} size, in {minutes:.0f} minutes."
    lines = [
        f"{run} Almenara {machine['almenara']}; {machine['versions']}.",
        f"{machine['machine']}.\n",
        _HEAD + "".join(_line(row) for row in rows),
        "What else was measured:\n",
        "\n".join(_details(row) for row in rows if row["figures"]) + "\n",
    ]
    return "\n".join(lines)


def write(page: str, result: dict[str, Any]) -> str:
    """Return a page with its figures replaced."""
    for begin, of_fleet in ((_BEGIN, False), (_FLEET_BEGIN, True)):
        rows = [row for row in result["rows"] if row["scenario"].startswith(_FLEET) is of_fleet]
        if rows:
            page = _replaced(page, begin, figures(result | {"rows": rows}))
    return page


def _replaced(page: str, begin: str, text: str) -> str:
    before, _, rest = page.partition(begin)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"{PAGE} has lost its marks {begin.strip()} and {_END.strip()}")
    return f"{before}{begin}\n{text}\n{_END}{after}"


def _line(row: dict[str, Any]) -> str:
    name = f"| `{row['scenario']}` | {row['about']} |"
    if row["skipped"]:
        return f"{name} not run: {row['skipped']} | | | | | | |\n"
    recovery = row["worst_recovery_seconds"]
    return (
        f"{name} {row['faults']} | {row['accepted']:,} | {row['lost']} | {row['accepted_twice']} "
        f"| {row['duplicated']} | {'' if recovery is None else f'{recovery:.2f} s'} "
        f"| {'; '.join(row['failures']) if row['failures'] else 'passed'} |\n"
    )


def _details(row: dict[str, Any]) -> str:
    parts = [f"{name.replace('_', ' ')} {_value(value)}" for name, value in row["figures"].items()]
    return f"- `{row['scenario']}` ({row['seconds']:.0f} s): {'; '.join(parts)}."


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> None:
    """Write the figures of the file on the command line into the page."""
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    PAGE.write_text(write(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")
    print(f"Wrote {PAGE}.")


if __name__ == "__main__":
    main()
