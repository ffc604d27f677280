"""Sealing every secret anew with the key that seals now: all of them, or none.

It writes the configuration as a change does, so servers and workers that run take it up.
"""

from __future__ import annotations

from dataclasses import dataclass

from almenara.database import Transaction
from almenara.errors import ConfigurationError
from almenara.migrations import missing_migrations
from almenara.models import Channel
from almenara.secrets import Vault, is_sealed, key_file, open_vault, renew_key
from almenara.sending import opened
from almenara.settings import Settings


@dataclass(frozen=True, slots=True)
class Rotated:
    """What was sealed anew."""

    channel_count: int
    secret_count: int


async def rotate_secrets(settings: Settings, *, new_key: bool = False) -> Rotated:
    """Seal every secret anew with the key that seals now.

    On SQLite no server may run meanwhile; on PostgreSQL all of them may, if they know both keys.

    Args:
        new_key: make a new key in the key file before.

    Raises:
        ConfigurationError: a secret opens with none of the keys, the key does not stand in the key
            file, the schema is not current, or the database is in use.
    """
    if new_key and (settings.secret_key is not None or not settings.uses_sqlite):
        raise ConfigurationError(
            "The key stands in ALMENARA_SECRET_KEY: put it into ALMENARA_SECRET_KEYS_OLD, a new "
            "one (`openssl rand -base64 32`) in its place, in every process, and run this without "
            "--new-key."
        )
    async with opened(settings) as database:
        if await missing_migrations(database):
            raise ConfigurationError("The schema is not current; run `almenara migrate` first.")
        if new_key:
            renew_key(key_file(settings))
        vault = open_vault(settings)
        async with database.transaction() as transaction:
            # As every change of the configuration begins: one waits for the other.
            await transaction.execute(
                "UPDATE configuration SET revision = revision + 1 WHERE id = 1"
            )
            channels = await Channel.all().using_db(transaction.client).order_by("name")
            counts = [await _seal_anew(transaction, vault, channel) for channel in channels]
    return Rotated(channel_count=sum(count > 0 for count in counts), secret_count=sum(counts))


async def _seal_anew(transaction: Transaction, vault: Vault, channel: Channel) -> int:
    """Seal what an older key sealed; return how many values that were."""
    old = {
        name: value
        for name, value in channel.settings.items()
        if is_sealed(value) and not vault.is_newest(value)
    }
    if not old:
        return 0
    try:
        clear = vault.open(old, place=str(channel.id))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"Nothing was changed. Channel {channel.name!r}: {error.message}"
        ) from error
    channel.settings |= vault.seal(clear, old.keys(), place=str(channel.id))
    channel.revision += 1
    await channel.save(using_db=transaction.client, update_fields=["settings", "revision"])
    return len(old)
