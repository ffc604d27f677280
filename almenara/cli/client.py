"""The command line as a client of the running server: JSON over HTTP, synchronous, bounded.

Where the server is stands in ``ALMENARA_URL``, the token in ``ALMENARA_TOKEN``. Neither a token nor
anything else that was sent is in the text of an error.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from almenara import __version__
from almenara.errors import AlmenaraError, ConfigurationError, FieldError, UnavailableError

DEFAULT_URL = "http://127.0.0.1:8000"

#: Longer than the longest test of a channel, which waits for an attempt of up to 20 s.
TIMEOUT_SECONDS = 30.0

#: A file is read in pieces of so many bytes.
_PIECE_BYTES = 262_144

#: What a query may hold; ``None`` is left out.
Query = Mapping[str, str | int | bool | None]

_PORTS = {"http": http.client.HTTP_PORT, "https": http.client.HTTPS_PORT}


class UnreachableError(UnavailableError):
    """Nothing answers at the server's address."""

    code = "unreachable"


class NoAnswerError(UnavailableError):
    """The server took the request, but no answer came; it may have been carried out."""

    code = "no_answer"


class StrangeAnswerError(AlmenaraError):
    """What answers at the server's address is not Almenara."""

    code = "strange_answer"


class RefusedError(AlmenaraError):
    """The server refused the request.

    Args:
        status: the HTTP status.
        errors: what is wrong with which field, when the server said so.
    """

    code = "refused"

    def __init__(self, message: str, *, status: int, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to a request that it carried out."""

    #: The body as it came.
    text: str
    #: The body read as JSON; ``None`` when there was none.
    body: Any


class Server:
    """A running server.

    Args:
        url: its address, with the path that it is mounted at, if any.
        token: shown to it with every request.

    Raises:
        ConfigurationError: the address or the token cannot be used.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.url = url.rstrip("/")
        self._scheme, self._host, self._port, self._prefix = _read_url(self.url)
        self._headers = {"Accept": "application/json", "User-Agent": f"almenara/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {_read_token(token)}"
        self._timeout_seconds = timeout_seconds

    def get(self, path: str, **query: str | int | bool | None) -> Answer:
        """Read."""
        return self.call("GET", path, query=query)

    def post(
        self,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **query: str | int | bool | None,
    ) -> Answer:
        """Write."""
        return self.call("POST", path, body, query=query, headers=headers)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one request and return the answer.

        Raises:
            UnreachableError: there is no connection; nothing was done.
            NoAnswerError: it may have been done, or not.
            StrangeAnswerError: the answer is not Almenara's.
            RefusedError: it was not done, and why.
        """
        sent_headers = self._headers | dict(headers or {})
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent_headers["Content-Type"] = "application/json"
        with self._asked(method, self._target(path, query), content, sent_headers) as response:
            text = response.read().decode("utf-8", errors="replace")
        return self._read(response.status, text)

    def download(self, path: str, take: Callable[[bytes, int], None]) -> Mapping[str, str]:
        """Ask for a file by POST, hand over its pieces, and return the header in lower case.

        Args:
            take: called with a piece, and how many bytes there are in all.

        Raises:
            UnreachableError: there is no connection; nothing was done.
            NoAnswerError: the file did not come, or not to its end.
            StrangeAnswerError: the answer is not Almenara's.
            RefusedError: there is no file, and why.
        """
        with self._asked("POST", self._target(path, None), None, self._headers) as response:
            size, came = response.length, 0
            if response.status != HTTPStatus.OK or size is None:
                self._read(response.status, response.read().decode("utf-8", errors="replace"))
                raise self._strange(response.status)
            while piece := response.read(_PIECE_BYTES):
                came += len(piece)
                take(piece, size)
        if came != size:
            raise NoAnswerError(f"The server at {self.url} sent {came:,} of {size:,} bytes.")
        return {name.lower(): value for name, value in response.headers.items()}

    @contextmanager
    def _asked(
        self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """Make a request; its answer is read inside."""
        connection = self._connected()
        try:
            connection.request(method, target, body=content, headers=dict(headers))
            yield connection.getresponse()
        except TimeoutError as error:
            raise NoAnswerError(
                f"The server at {self.url} did not answer within {self._timeout_seconds:g} s; "
                "it may have done what was asked."
            ) from error
        except OSError as error:
            raise NoAnswerError(
                f"The server at {self.url} ended the connection without an answer; "
                "it may have done what was asked."
            ) from error
        except http.client.HTTPException as error:
            raise StrangeAnswerError(
                f"What answers at {self.url} does not speak HTTP; check ALMENARA_URL."
            ) from error
        finally:
            connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        if self._scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host,
                self._port,
                timeout=self._timeout_seconds,
                context=ssl.create_default_context(),
            )
        else:
            connection = http.client.HTTPConnection(
                self._host, self._port, timeout=self._timeout_seconds
            )
        try:
            connection.connect()
        except ssl.SSLError as error:
            connection.close()
            raise UnreachableError(
                f"There is no trusted TLS connection to {self.url}: {error.reason}."
            ) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA refuses
            connection.close()
            raise UnreachableError(
                f"Nothing answers at {self.url}. Start it with `almenara serve`, or set "
                "ALMENARA_URL."
            ) from error
        return connection

    def _target(self, path: str, query: Query | None) -> str:
        given = {
            name: json.dumps(value) if isinstance(value, bool) else value
            for name, value in (query or {}).items()
            if value is not None
        }
        return f"{self._prefix}{path}" + (f"?{urlencode(given)}" if given else "")

    def _read(self, status: int, text: str) -> Answer:
        """Tell answers from refusals, and both from what somebody else says."""
        try:
            body = json.loads(text) if text else None
        except ValueError as error:
            raise self._strange(status) from error
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return Answer(text=text, body=body)
        if status < HTTPStatus.BAD_REQUEST or not isinstance(body, dict) or "detail" not in body:
            raise self._strange(status)
        raise RefusedError(str(body["detail"]), status=status, errors=_field_errors(body))

    def _strange(self, status: int) -> AlmenaraError:
        """Return the error for an answer that is not ours: perhaps of a proxy on the way."""
        message = (
            f"What answers at {self.url} is not Almenara (it answered {status}); "
            "check ALMENARA_URL."
        )
        if status < HTTPStatus.BAD_REQUEST:
            return StrangeAnswerError(message)
        return RefusedError(message, status=status)


def connect(timeout_seconds: float = TIMEOUT_SECONDS) -> Server:
    """Return the server that the environment names; nothing is sent yet.

    Raises:
        ConfigurationError: ``ALMENARA_URL`` or ``ALMENARA_TOKEN`` cannot be used.
    """
    url, token = os.environ.get("ALMENARA_URL") or DEFAULT_URL, os.environ.get("ALMENARA_TOKEN")
    return Server(url, token, timeout_seconds=timeout_seconds)


def path_to(*parts: str) -> str:
    """Return the path of a thing in the API, each part quoted."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _read_url(url: str) -> tuple[str, str, int, str]:
    """Split an address into scheme, host, port and path; its text is in no error."""
    example = "write it as http://127.0.0.1:8000"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"ALMENARA_URL is not an address: {example}.") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigurationError(f"ALMENARA_URL is not an address: {example}.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"ALMENARA_URL holds more than an address: {example}; a token goes into ALMENARA_TOKEN."
        )
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme], quote(parts.path)


def _read_token(token: str) -> str:
    """Return the token without the spaces around it, if a header can carry it."""
    token = token.strip()
    if not token.isascii() or not token.isprintable():
        raise ConfigurationError("ALMENARA_TOKEN holds characters that no token has.")
    return token


def _field_errors(problem: Mapping[str, Any]) -> list[FieldError]:
    found = problem.get("errors")
    return [
        FieldError(
            field=str(one.get("field", "")),
            code=str(one.get("code", "")),
            message=str(one.get("message", "")),
        )
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
    ]
