"""What the references are told by the environment, for them and for whoever starts them."""

from __future__ import annotations

import os

#: Where the naive way stores, as Tortoise writes it.
DATABASE_VARIABLE = "DATABASE_URL"
#: Where the topic `hook` goes.
HOOK_VARIABLE = "HOOK_URL"
#: What Apprise runs in, as Apprise API has it: two for each processor, and one more.
APPRISE_PROCESSES = 2 * (os.cpu_count() or 1) + 1
