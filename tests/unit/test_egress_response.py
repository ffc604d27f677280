"""The table of HTTP statuses, and what is read out of an answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara import (
    HttpResponse,
    PermanentError,
    RateLimitedError,
    TemporaryError,
    raise_for_status,
)
from almenara.egress.response import retry_after_seconds

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
SECRET = "not-for-anybody"


def answer(status: int, **headers: str) -> HttpResponse:
    return HttpResponse(status, {"X-Note": SECRET, **headers}, SECRET.encode())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_a_2xx_is_taken(status: int) -> None:
    raise_for_status(answer(status), service="Slack")


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 507, 599])
def test_a_5xx_a_request_timeout_and_too_early_are_temporary(status: int) -> None:
    with pytest.raises(TemporaryError) as caught:
        raise_for_status(answer(status), service="Slack")
    assert type(caught.value) is TemporaryError
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [101, 300, 301, 302, 303, 304, 307, 308, 399])
def test_a_redirect_and_what_is_no_final_answer_are_permanent(status: int) -> None:
    with pytest.raises(PermanentError):
        raise_for_status(answer(status), service="Slack")


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 422, 451, 499]
)
def test_the_other_4xx_are_permanent(status: int) -> None:
    with pytest.raises(PermanentError):
        raise_for_status(answer(status), service="Slack")


@pytest.mark.parametrize("status", [600, 999])
def test_a_status_that_no_standard_knows_is_permanent(status: int) -> None:
    with pytest.raises(PermanentError, match=f"^Slack answered {status}\\.$"):
        raise_for_status(answer(status), service="Slack")


def test_a_redirect_says_that_it_is_not_followed() -> None:
    with pytest.raises(PermanentError, match="redirects are not followed"):
        raise_for_status(answer(307, Location="http://elsewhere.example"), service="Slack")


def test_a_410_says_that_the_receiver_is_gone() -> None:
    with pytest.raises(PermanentError, match=r"^Slack answered 410 \(Gone\): the receiver is gone"):
        raise_for_status(answer(410), service="Slack")


@pytest.mark.parametrize(("given_", "wait"), [("30", 30.0), (None, None), ("soon", None)])
def test_a_429_is_a_rate_limit_with_its_retry_after(given_: str | None, wait: object) -> None:
    headers = {} if given_ is None else {"retry-AFTER": given_}
    with pytest.raises(RateLimitedError) as caught:
        raise_for_status(answer(429, **headers), service="Slack")
    assert caught.value.retry_after == wait


def test_a_503_carries_its_retry_after() -> None:
    with pytest.raises(TemporaryError) as caught:
        raise_for_status(answer(503, **{"Retry-After": "7"}), service="Slack")
    assert caught.value.retry_after == 7.0


def test_a_retry_after_may_be_a_date() -> None:
    moment = datetime.now(UTC) + timedelta(hours=2)
    with pytest.raises(RateLimitedError) as caught:
        raise_for_status(
            answer(429, **{"Retry-After": format_datetime(moment, usegmt=True)}), service="Slack"
        )
    assert caught.value.retry_after is not None
    assert 7000 < caught.value.retry_after <= 7200


@pytest.mark.parametrize("status", [302, 400, 410, 429, 500, 503])
def test_no_part_of_the_answer_but_its_status_is_in_the_error(status: int) -> None:
    with pytest.raises((PermanentError, TemporaryError)) as caught:
        raise_for_status(answer(status), service="Slack")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
        ("86400", 86_400.0),
        ("86401", 86_400.0),
        ("9" * 5000, 86_400.0),
        ("Tue, 03 Nov 2026 12:00:10 GMT", 10.0),
        ("Tue, 03 Nov 2026 12:00:10 -0000", 10.0),
        ("Tue, 03 Nov 2026 11:00:00 GMT", 0.0),
        ("Tue, 03 Nov 2099 12:00:00 GMT", 86_400.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("1_000", None),
        ("٣", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Tue, 99 Nov 2026 12:00:10 GMT", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_within_one_day(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after_seconds(value, now=NOW) == seconds


@given(st.text(max_size=60))
def test_any_retry_after_is_a_number_within_bounds_or_absent(value: str) -> None:
    seconds = retry_after_seconds(value, now=NOW)
    assert seconds is None or 0 <= seconds <= 86_400


def test_an_answer_is_read_as_text_and_as_json() -> None:
    response = HttpResponse(200, {"content-TYPE": "x"}, '{"a": "ñ"}'.encode())
    assert response.json() == {"a": "ñ"}
    assert response.text == '{"a": "ñ"}'
    assert response.headers["Content-Type"] == "x"


@pytest.mark.parametrize("body", [b"", b"ok", b"\xff\xfe{", b"[" * 60_000, b'{"a": '])
def test_a_body_that_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        HttpResponse(200, {}, body).json()


def test_text_that_is_not_utf_8_is_replaced() -> None:
    assert HttpResponse(200, {}, b"caf\xe9").text == "caf\ufffd"


def test_the_representation_of_an_answer_shows_neither_headers_nor_body() -> None:
    response = answer(200)
    assert SECRET not in repr(response)
    assert json.dumps(response.headers["x-note"]) == f'"{SECRET}"'
