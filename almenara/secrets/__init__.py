"""Channel secrets at rest: sealed in the database, or only referred to.

The key comes from ``ALMENARA_SECRET_KEY`` or, on SQLite, from the file ``secret.key`` beside the
database.
"""

from __future__ import annotations

from almenara.secrets.keys import key_file, open_vault, renew_key
from almenara.secrets.vault import MASK, Opened, Vault, is_sealed, masked

__all__ = ["MASK", "Opened", "Vault", "is_sealed", "key_file", "masked", "open_vault", "renew_key"]
