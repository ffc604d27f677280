"""What a plugin's author tests with: a service on this machine, and the contract of a plugin.

    from almenara.testing import Answer, FakeService, a_message, check_contract, sending

    async def test_it_keeps_the_contract():
        findings = await check_contract(Pager, lambda url: {"url": url})
        assert [one for one in findings if not one.ok] == []

Everything here reaches this machine alone. ``SmtpSink``, a mail server, needs the extra
``testing``; the rest needs nothing but what Almenara needs itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.testing.contract import STATUSES, Finding, check_contract
from almenara.testing.messages import a_message, sending
from almenara.testing.service import Answer, FakeService, Received
from almenara.testing.smtp_orders import ReceivedMail

if TYPE_CHECKING:
    from almenara.testing.smtp import SmtpSink

__all__ = [
    "STATUSES",
    "Answer",
    "FakeService",
    "Finding",
    "Received",
    "ReceivedMail",
    "SmtpSink",
    "a_message",
    "check_contract",
    "sending",
]


def __getattr__(name: str) -> Any:
    if name != "SmtpSink":
        raise AttributeError(f"module 'almenara.testing' has no attribute {name!r}")
    try:
        from almenara.testing.smtp import SmtpSink
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "aiosmtpd":
            raise
        raise ImportError(
            "SmtpSink needs aiosmtpd: install it with `pip install 'almenara[testing]'`."
        ) from error
    return SmtpSink
