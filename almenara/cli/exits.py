"""The exit codes of the command line: the one table from errors to codes, and what each means."""

from __future__ import annotations

from enum import IntEnum

from almenara.cli.client import RefusedError, StrangeAnswerError, UnreachableError
from almenara.errors import AlmenaraError, ConfigurationError, UnavailableError


class ExitCode(IntEnum):
    """What a command ends with; those above 60 are the words of ``sysexits.h``."""

    DONE = 0
    NOT_DONE = 1
    USAGE = 2
    UNREACHABLE = 69
    BROKEN = 70
    LATER = 75
    FORBIDDEN = 77
    CONFIGURATION = 78
    INTERRUPTED = 130


#: One sentence each, for the reference.
MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "It was done; with `--wait` and for `channels test`: everything was sent.",
    ExitCode.NOT_DONE: "The server refused it, and says why; or something was not sent, or "
    "`check`, `alive` or `channels verify` found something wrong.",
    ExitCode.USAGE: "The command was written wrongly.",
    ExitCode.UNREACHABLE: "Nothing answers at the server's address.",
    ExitCode.BROKEN: "The server failed, or what answers there is not Almenara.",
    ExitCode.LATER: "It cannot be done just now, or no answer came in time: try again.",
    ExitCode.FORBIDDEN: "The token is missing or not accepted, or does not allow this.",
    ExitCode.CONFIGURATION: "The set-up is wrong; nothing was done.",
    ExitCode.INTERRUPTED: "Ctrl-C was pressed (`log --follow` ends with 0).",
}

#: Answers of the server that mean something else than "refused".
_BY_STATUS: dict[int, ExitCode] = {
    401: ExitCode.FORBIDDEN,
    403: ExitCode.FORBIDDEN,
    429: ExitCode.LATER,
    502: ExitCode.LATER,
    503: ExitCode.LATER,
    504: ExitCode.LATER,
}

#: The first class that fits, from the top.
_BY_CLASS: tuple[tuple[type[AlmenaraError], ExitCode], ...] = (
    (UnreachableError, ExitCode.UNREACHABLE),
    (StrangeAnswerError, ExitCode.BROKEN),
    (UnavailableError, ExitCode.LATER),
    (ConfigurationError, ExitCode.CONFIGURATION),
    (AlmenaraError, ExitCode.NOT_DONE),
)

_SERVER_FAILURES = range(500, 600)


def exit_code(error: AlmenaraError) -> ExitCode:
    """Return what a command ends with that was stopped by this error."""
    if isinstance(error, RefusedError):
        failed = error.status in _SERVER_FAILURES
        return _BY_STATUS.get(error.status, ExitCode.BROKEN if failed else ExitCode.NOT_DONE)
    return next(code for kind, code in _BY_CLASS if isinstance(error, kind))
