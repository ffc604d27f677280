"""The HTTP client for plugins: pooled, guarded against private addresses.

A plugin uses :func:`request` and :func:`raise_for_status`; the process sets the guard once with
:func:`configure`. No request reaches an address that the guard does not permit, and no error that
leaves this package names more of a URL than scheme, host and port.
"""

from __future__ import annotations

from almenara.egress.client import Egress, configure, current, request
from almenara.egress.forms import multipart
from almenara.egress.response import HttpResponse, raise_for_status
from almenara.egress.tls import ClientTls

__all__ = [
    "ClientTls",
    "Egress",
    "HttpResponse",
    "configure",
    "current",
    "multipart",
    "raise_for_status",
    "request",
]
