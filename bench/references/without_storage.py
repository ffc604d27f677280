"""Almenara itself, with one thing taken out: what is accepted is not written anywhere.

`python -m bench.references.without_storage serve ...` is `almenara serve`, but for the transaction
that would store accepted messages: the ledger's answer is that all are stored. Everything else
stands, the list on which requests wait for that answer included. What the ledger writes besides
(topics, channels, claims) is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from almenara.__main__ import main
from almenara.ledger import Acceptance, Accepted, accept_messages, commit

_write = commit.Ledger._commit  # noqa: SLF001 - the product has no hook for it


async def _commit(self: commit.Ledger, batch: Sequence[Any]) -> list[Any]:
    """Say of accepted messages that they are stored, and write the rest."""
    rest = [entry for entry in batch if entry.operation is not accept_messages]
    answers = iter(await _write(self, rest) if rest else ())
    return [
        Accepted(Acceptance.STORED, entry.payload.message.id)
        if entry.operation is accept_messages
        else next(answers)
        for entry in batch
    ]


if __name__ == "__main__":
    commit.Ledger._commit = _commit  # type: ignore[method-assign]  # noqa: SLF001 - from outside
    main()
