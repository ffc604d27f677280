"""The library apprise, kept within bounds: no files, no redirects, no state on disk, no log."""

from __future__ import annotations

import logging
import re
import threading
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from almenara import ChannelError, HttpResponse, SecretStr, TemporaryError, raise_for_status

INSTALL = "apprise is not installed: run pip install 'almenara[apprise]'"
_MOST_SOCKET_SECONDS = 4.0
#: The service refuses whatever the channel sends.
_OF_THE_CHANNEL = frozenset({401, 403, 404, 410})
_FAILURES = range(300, 600)
#: What apprise writes of an answer that was none of success.
_STATUS = re.compile(r"\berror=(\d{3})\b")
_loading = threading.Lock()


def is_installed() -> bool:
    """Tell whether the library is there, without importing it."""
    return find_spec("apprise") is not None


def service_of(url: SecretStr) -> Any:
    """Return apprise's object for a URL; it blocks while the library is imported.

    Returns ``None`` when apprise cannot use the URL.
    """
    with _loading:
        library = _library()
    try:
        service = library.Apprise.instantiate(url.get_secret_value(), asset=_asset(library))
    except Exception:  # noqa: BLE001 - a hundred plugins read URLs, and may raise anything
        service = None
    if service is None:
        return None
    # What a URL may say otherwise: where an answer leads, how often, how long, in how many pieces.
    service.redirects, service.retry = False, 0
    service.overflow_mode = library.OverflowMode.TRUNCATE
    for name in ("socket_connect_timeout", "socket_read_timeout"):
        setattr(service, name, min(getattr(service, name), _MOST_SOCKET_SECONDS))
    return service


def send(url: SecretStr, named: str, *, title: str, body: str, kind: str) -> None:
    """Send one text; it blocks.

    Args:
        named: who sends, as an error may say it.
        kind: apprise's type: ``info``, ``warning``, ``failure``.

    Raises:
        ChannelError, PermanentError, TemporaryError: it was not taken. Of what apprise says, only
            the status of an answer is in the text.
    """
    service = service_of(url)
    if service is None:
        raise ChannelError(f"Apprise cannot use {named}: check it.")
    library = _library()
    channel = library.Apprise(asset=service.asset)
    channel.add(service)
    status = 0
    failed = "gave no answer that Apprise explains"
    try:
        result = channel.notify(
            body=body,
            title=title,
            notify_type=kind,
            body_format=library.NotifyFormat.TEXT,
            log_level=logging.WARNING,
        )
        if result:
            return
        said = [found[1] for one in result.logs() for found in _STATUS.finditer(one.message)]
        status = int(said[-1]) if said else 0
    except Exception as error:  # noqa: BLE001 - a hundred plugins send, and may raise anything
        failed = f"failed within Apprise ({type(error).__name__})"
    if status in _FAILURES:
        answer = HttpResponse(status, {}, b"")
        raise_for_status(answer, service=named, channel_statuses=_OF_THE_CHANNEL)
    raise TemporaryError(f"{named} {failed}.")


@cache
def _library() -> ModuleType:
    """Import the library, and take away what channels must not have; twice would be no harm."""
    library = import_module("apprise")
    # It writes URLs and texts into its log, and sees itself what it needs of it.
    log = logging.getLogger("apprise")
    log.propagate = False
    log.addHandler(logging.NullHandler())
    for name in ("oauthlib", "requests_oauthlib", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Where it would read a file or fetch an address to send along: it finds no way to.
    attachments = import_module("apprise.manager_attachment").AttachmentManager()
    attachments.load_modules()
    attachments.remove(*({"file", "http", "https"} & set(attachments.schemas())))
    return library


def _asset(library: ModuleType) -> Any:
    return library.AppriseAsset(
        storage_mode="memory",
        http_redirects=False,
        pgp_autogen=False,
        pem_autogen=False,
        async_mode=False,
        # A limit of its own would have it start threads that outlive the process's end.
        service_timeout=0,
        allow_templates=False,
    )
