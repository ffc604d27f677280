"""One attempt: call the plugin under a deadline, judge the outcome, record it."""

from almenara.dispatch.attached import read_chunks
from almenara.dispatch.call import Ended, ask_plugin, call_plugin, in_thread
from almenara.dispatch.dispatcher import Attempted, Dispatcher, Ready
from almenara.dispatch.instances import Instances
from almenara.dispatch.leases import Leases
from almenara.dispatch.preview import Preview, Previewer
from almenara.dispatch.verdict import clean, describe, judge
from almenara.dispatch.verify import Verifier, verify_plugin

__all__ = [
    "Attempted",
    "Dispatcher",
    "Ended",
    "Instances",
    "Leases",
    "Preview",
    "Previewer",
    "Ready",
    "Verifier",
    "ask_plugin",
    "call_plugin",
    "clean",
    "describe",
    "in_thread",
    "judge",
    "read_chunks",
    "verify_plugin",
]
