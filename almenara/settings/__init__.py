"""Every setting of the server, typed, each with its sentence; all mistakes are reported at once.

A setting is read from ``ALMENARA_<NAME>`` or, for what should not stand in an environment, from the
file that ``ALMENARA_<NAME>_FILE`` names.
"""

from __future__ import annotations

from almenara.settings.model import Settings
from almenara.settings.reading import PREFIX, read_settings

__all__ = ["PREFIX", "Settings", "read_settings"]
