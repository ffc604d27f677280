"""A service of the testing kit that answers each method and path as a test says."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Self

from almenara.testing import Answer, FakeService, Received
from almenara.testing.service import Answering


class ScriptedServer:
    """The server: ``with ScriptedServer() as server``.

    ``answer`` says what to answer to a method and a path; several answers are given in turn, the
    last one ever after. What was not scripted is a 404 in the words of Almenara.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._script: dict[tuple[str, str], list[Answering]] = {}
        self._service = FakeService(self._say, tls=tls)
        self.asked = self._service.received

    @property
    def url(self) -> str:
        """The server's address."""
        return self._service.url

    def answer(self, method: str, path: str, *answers: Any, status: int = 200) -> None:
        """Script the answers to a method and a path without its query: JSON, or as a service's."""
        self._script[method, path] = [
            one if isinstance(one, Answer) or callable(one) else Answer(status, one)
            for one in answers
        ]

    def refuse(self, method: str, path: str, status: int, detail: str, *errors: Any) -> None:
        """Script a problem document; errors are pairs of field and message."""
        self.answer(method, path, problem(status, detail, *errors))

    def __enter__(self) -> Self:
        self._service.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._service.__exit__(kind, error, traceback)

    def _say(self, request: Received) -> Answer:
        answers = self._script.get((request.method, request.target.partition("?")[0]))
        if answers is None:
            return problem(404, "There is nothing at this address.")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, Answer) else answer(request)


def problem(status: int, detail: str, *errors: tuple[str, str]) -> Answer:
    """Return a problem document."""
    fields = [{"field": name, "code": "wrong", "message": message} for name, message in errors]
    body = {"status": status, "detail": detail, "code": "wrong", "errors": fields}
    return Answer(status, body)
