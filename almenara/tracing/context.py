"""The context of a trace as it travels: the header ``traceparent`` of W3C Trace Context."""

from __future__ import annotations

import re
from typing import Final

#: A version, a trace, a span and flags; of a version that is not known, only these are read.
_WRITTEN: Final = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})"
    rb"-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    rb"(?P<more>-.*)?"
)
#: The flags that are known: sampled, and a trace whose id is random.
_KNOWN_FLAGS: Final = 0x03


def read_traceparent(header: bytes | None) -> str | None:
    """Return the context that a header names, in version 00; ``None``: there is none to be read.

    The specification asks for an invalid one to be passed over, as if it were absent.
    """
    if header is None:
        return None
    found = _WRITTEN.fullmatch(header)
    if found is None or (found["version"] == b"00" and found["more"] is not None):
        return None
    return write_traceparent(
        found["trace"].decode(), found["span"].decode(), int(found["flags"], 16) & _KNOWN_FLAGS
    )


def write_traceparent(trace: str, span: str, flags: int) -> str:
    """Return a context as a header and a row have it, in 55 characters.

    Args:
        trace: 32 hexadecimal digits.
        span: 16 hexadecimal digits.
        flags: bits, of which 1 says that the trace is recorded.
    """
    return f"00-{trace}-{span}-{flags:02x}"
