"""Finds plugin classes in the plugin directories, and builds them for a channel.

A broken file never stops the others or the server: it is listed with its reason. Nothing goes on
``sys.path``, and no plugin directory can shadow another module.
"""

from __future__ import annotations

from almenara.loader.breakage import news_of
from almenara.loader.catalogue import Change, Plugins
from almenara.loader.found import BrokenPlugin, FoundPlugin, Instance
from almenara.loader.masking import mask
from almenara.loader.permissions import Loose, find_loose

__all__ = [
    "BrokenPlugin",
    "Change",
    "FoundPlugin",
    "Instance",
    "Loose",
    "Plugins",
    "find_loose",
    "mask",
    "news_of",
]
