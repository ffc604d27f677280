"""The PostgreSQL engine for Tortoise: transactions whose connection is never leaked.

A task cancelled while it enters a transaction of Tortoise 1.1.9 leaves its connection outside the
pool for ever (tortoise/tortoise-orm#1152). The module's name contains ``asyncpg`` because the
migration executor chooses its dialect by that.
"""

from __future__ import annotations

from typing import Any

from asyncpg import Pool, create_pool
from asyncpg.pool import PoolConnectionProxy
from tortoise.backends.asyncpg.client import AsyncpgDBClient as TortoiseAsyncpgClient
from tortoise.backends.asyncpg.client import TransactionWrapper
from tortoise.backends.base.client import (
    TransactionalDBClient,
    TransactionContext,
    TransactionContextPooled,
)
from tortoise.connection import get_connections

from almenara.database.postgres import prepare


class AsyncpgDBClient(TortoiseAsyncpgClient):
    """A pool of connections to one PostgreSQL database."""

    async def create_pool(self, **options: Any) -> Pool:
        """Make the pool; what a connection was set to stays, as nobody sets anything.

        asyncpg would ask the server to forget settings, cursors and locks after each use, which
        costs as much as the short statements that it is used for. An open transaction is ended in
        any case.
        """
        return await create_pool(None, **options, init=prepare, reset=_as_it_is)

    def _in_transaction(self) -> TransactionContext:
        return SafeTransactionContext(TransactionWrapper(self), self._pool_init_lock)


class SafeTransactionContext(TransactionContextPooled):
    """A transaction context that gives its connection back however its entry is broken off."""

    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        pool = self.client._parent._pool  # noqa: SLF001 - Tortoise's own
        connection = await pool.acquire()
        self.client._connection = connection  # noqa: SLF001 - same
        token = None
        try:
            token = get_connections().set(self.connection_name, self.client)
            await self.client.begin()
        except BaseException:
            get_connections().reset(token)
            # asyncpg shields the release and resets the connection, an open transaction included.
            await pool.release(connection)
            raise
        self.token = token
        return self.client


async def _as_it_is(_: PoolConnectionProxy) -> None:
    """Leave a connection as it was used."""


#: The name under which Tortoise looks for an engine's client.
client_class = AsyncpgDBClient
