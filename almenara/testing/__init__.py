"""What a plugin's author tests with: a service on this machine, and the contract of a plugin.

    from almenara.testing import Answer, FakeService, a_message, check_contract, sending

    async def test_it_keeps_the_contract():
        findings = await check_contract(Pager, lambda url: {"url": url})
        assert [one for one in findings if not one.ok] == []

Nothing but pytest, and only for your own tests, has to be installed. Everything here reaches this
machine alone.
"""

from almenara.testing.contract import Finding, check_contract
from almenara.testing.messages import a_message, sending
from almenara.testing.service import Answer, FakeService, Received

__all__ = [
    "Answer",
    "FakeService",
    "Finding",
    "Received",
    "a_message",
    "check_contract",
    "sending",
]
