"""One attempt: call the plugin under a deadline, judge the outcome, record it."""

from almenara.dispatch.call import in_thread
from almenara.dispatch.dispatcher import Attempted, Dispatcher, Ready
from almenara.dispatch.instances import Instances
from almenara.dispatch.leases import Leases
from almenara.dispatch.preview import Preview, Previewer
from almenara.dispatch.verdict import clean, describe, judge

__all__ = [
    "Attempted",
    "Dispatcher",
    "Instances",
    "Leases",
    "Preview",
    "Previewer",
    "Ready",
    "clean",
    "describe",
    "in_thread",
    "judge",
]
