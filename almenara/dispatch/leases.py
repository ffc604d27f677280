"""The claims that one process has in flight, and how long each is still its own.

Counted by the monotonic clock, and never longer than the lease in the claim's row: counting begins
before the statement that begins the lease.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from almenara.deliveries import LEASE, Claim, Held

#: This part of a lease is left for recording the result; it is renewed, and looked at, as often.
PART = 6

#: So long a claim is renewed, in seconds. An attempt ends by its deadline, so what is in flight
#: longer hangs with its event loop, and another process shall have it.
_LONGEST_HOLD = 600.0


@dataclass(slots=True)
class _Lease:
    """One claim's: when it was taken up here, and until when it is ours."""

    held_since: float
    until: float
    lapsed: bool = False


class Leases:
    """Kept by the event loop, renewed by a thread beside it; safe to call from both."""

    def __init__(self, length: timedelta = LEASE) -> None:
        self.length = length
        self._seconds = length.total_seconds()
        #: So much must be left at the deadline of an attempt, in seconds.
        self.margin = self._seconds / PART
        self._guard = threading.Lock()
        self._leases: dict[Held, _Lease] = {}
        #: Those that ran out, were let go, and are not counted yet.
        self._lapsed_count = 0

    def hold(self, claim: Claim) -> None:
        """Note that a claim's attempt is under way here."""
        with self._guard:
            self._leases[_key(claim)] = _Lease(time.monotonic(), claim.claimed_at + self._seconds)

    def let_go(self, claim: Claim) -> None:
        """Note that a claim's attempt has ended, and is recorded."""
        with self._guard:
            lease = self._leases.pop(_key(claim), None)
            if lease and not lease.lapsed and lease.until < time.monotonic():
                self._lapsed_count += 1

    def lasts(self, claim: Claim, seconds: float) -> bool:
        """Tell whether a claim is ours for an attempt of so many seconds, and to record it.

        One whose lease ran out never is again, renewed or not: it must be claimed anew.
        """
        with self._guard:
            lease = self._leases.get(_key(claim))
            until = lease.until if lease else claim.claimed_at + self._seconds
        return time.monotonic() + seconds + self.margin <= until

    def delivery_ids(self) -> frozenset[UUID]:
        """Return the deliveries whose attempts are under way here."""
        with self._guard:
            return frozenset(delivery_id for delivery_id, _ in self._leases)

    def to_renew(self) -> list[Held]:
        """Return the claims whose leases shall begin anew."""
        oldest = time.monotonic() - _LONGEST_HOLD
        with self._guard:
            return [key for key, lease in self._leases.items() if lease.held_since > oldest]

    def renewed(self, held: Iterable[Held], asked_at: float) -> None:
        """Note which leases began anew.

        Args:
            asked_at: when that was asked for, by the monotonic clock.
        """
        with self._guard:
            for key in held:
                lease = self._leases.get(key)
                # What was asked for in time counts, however late the answer came.
                if lease and asked_at < lease.until:
                    lease.until = asked_at + self._seconds

    def newly_lapsed_count(self) -> int:
        """Count the leases that ran out since this was asked last."""
        now = time.monotonic()
        with self._guard:
            count, self._lapsed_count = self._lapsed_count, 0
            for lease in self._leases.values():
                if not lease.lapsed and lease.until < now:
                    lease.lapsed = True
                    count += 1
        return count


def _key(claim: Claim) -> Held:
    return claim.delivery_id, claim.token
