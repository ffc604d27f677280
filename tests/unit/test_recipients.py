"""What an attempt with several recipients comes to."""

from __future__ import annotations

import pytest

from almenara import (
    ChannelError,
    PermanentError,
    RateLimitedError,
    Receipt,
    TemporaryError,
    receipt_of_many,
)


def test_what_all_have_is_sent_with_the_first_reference() -> None:
    assert receipt_of_many([None, "r-1", "r-2"], recipients="customers") == Receipt(reference="r-1")
    assert receipt_of_many([None], recipients="customers") == Receipt()
    assert receipt_of_many([], recipients="customers") == Receipt()


def test_what_some_have_is_sent_and_says_who_has_not() -> None:
    ends = [None, TemporaryError("Two is away."), ChannelError("Three is gone."), "r"]
    receipt = receipt_of_many(ends, recipients="customers")
    assert receipt == Receipt(
        reference="r", detail="Sent to 2 of 4 customers. Two is away. Three is gone."
    )


def test_a_long_detail_is_cut() -> None:
    ends = [None, *(TemporaryError("x" * 90) for _ in range(9))]
    detail = receipt_of_many(ends, recipients="customers").detail or ""
    assert len(detail) == 500
    assert detail.endswith("…")


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ([ChannelError(), PermanentError(), RateLimitedError(retry_after=3)], 2),
        ([ChannelError(), ValueError(), PermanentError()], 1),
        ([ChannelError(), PermanentError()], 1),
        ([ChannelError(), ChannelError()], 0),
    ],
)
def test_what_nobody_has_fails_by_the_error_that_may_pass(
    errors: list[Exception], raised: int
) -> None:
    with pytest.raises(type(errors[raised])) as caught:
        receipt_of_many(errors, recipients="customers")
    assert caught.value is errors[raised]
