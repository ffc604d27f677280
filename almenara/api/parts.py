"""The parts of one running application, which everything that answers is given."""

from __future__ import annotations

from dataclasses import dataclass

from almenara.accept import Acceptor
from almenara.audit import Audit
from almenara.backlog import Backlog
from almenara.backups import Backups
from almenara.catalogue import Channels, Pausing, Topics
from almenara.database import Database
from almenara.drilling import Driller
from almenara.explain import Explainer
from almenara.intake import Intake
from almenara.ledger import Ledger
from almenara.loader import Plugins
from almenara.log import Log
from almenara.operate import Operator
from almenara.processes import Processes
from almenara.queues.base import Queue
from almenara.replay import Replays
from almenara.stream import Stream
from almenara.tallies import Tallies
from almenara.tracing import Spans
from almenara.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one running application; ``app.py`` wires them."""

    acceptor: Acceptor
    intake: Intake
    uploads: Uploads
    explainer: Explainer
    operator: Operator
    replays: Replays
    log: Log
    audit: Audit
    backups: Backups
    channels: Channels
    driller: Driller
    pausing: Pausing
    topics: Topics
    plugins: Plugins
    processes: Processes
    backlog: Backlog
    tallies: Tallies
    stream: Stream
    #: ``None``: tracing is off.
    spans: Spans | None
    database: Database
    ledger: Ledger
    queue: Queue
