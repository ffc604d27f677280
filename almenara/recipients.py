"""What an attempt came to that had several recipients: sent as soon as one has it, and honest."""

from __future__ import annotations

from collections.abc import Sequence

from almenara.errors import ChannelError, PermanentError
from almenara.plugin import Receipt

_LONGEST_DETAIL = 500


def receipt_of_many(ends: Sequence[str | BaseException | None], *, recipients: str) -> Receipt:
    """Return the receipt of a message that went to several, or raise when nobody has it.

    An attempt that is made again is made for all. So it is sent as soon as one has the message, and
    the receipt's detail says why others have not; nobody gets it twice for another's sake.

    Args:
        ends: how it ended for each, as ``asyncio.gather(..., return_exceptions=True)`` gives it:
            the service's reference, nothing, or an error, whose text is shown.
        recipients: what they are called, in the plural: ``customers``.

    Raises:
        BaseException: nobody has it. Of the errors, it is the one that may pass, if there is such,
            or else one that is not about the channel.
    """
    errors = [end for end in ends if isinstance(end, BaseException)]
    if errors and len(errors) == len(ends):
        raise min(errors, key=_hopelessness)
    reference = next((end for end in ends if isinstance(end, str)), None)
    if not errors:
        return Receipt(reference=reference)
    taken = f"Sent to {len(ends) - len(errors)} of {len(ends)} {recipients}."
    detail = " ".join([taken, *(str(error) for error in errors)])
    if len(detail) > _LONGEST_DETAIL:
        detail = f"{detail[: _LONGEST_DETAIL - 1]}…"
    return Receipt(reference=reference, detail=detail)


def _hopelessness(error: BaseException) -> int:
    return isinstance(error, PermanentError) + 2 * isinstance(error, ChannelError)
