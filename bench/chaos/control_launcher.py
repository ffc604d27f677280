"""The control of the power cuts: Almenara with `synchronous=NORMAL`, which it has no setting for.

The only file of this bench that imports the product, and only to break it: a bench that finds no
loss must be seen to find one where there is one.
"""

from __future__ import annotations

from typing import Any

from almenara import database
from almenara.__main__ import main

_careful = database._sqlite_connections  # noqa: SLF001 - on purpose: there is no setting for it


def _careless(*arguments: Any) -> dict[str, Any]:
    """Return the connections of SQLite, which sync at checkpoints alone."""
    connections = _careful(*arguments)
    for connection in connections.values():
        connection["credentials"]["synchronous"] = "NORMAL"
    return connections


if __name__ == "__main__":
    database._sqlite_connections = _careless  # noqa: SLF001 - see above
    main()
