"""The library Apprise behind the same endpoint, as Apprise API serves it: sent before the answer.

Apprise API runs two processes for each processor and one more (its `gunicorn.conf.py`), each with
many requests at a time by gevent, makes an `Apprise` with the caller's URLs in each request, and
answers when all is sent. So does this, with uvicorn's processes and FastAPI's threads; it is run by
`serving` with five processes on two processors, although Almenara has one. Nothing is stored or
recorded, and what fails is not sent again. `HOOK_URL` says where messages go.
"""

from __future__ import annotations

import os

import apprise
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from bench.references.environment import HOOK_VARIABLE

app = FastAPI()


class MessageIn(BaseModel):
    """What is handed in."""

    topic: str
    title: str = ""
    description: str


@app.post("/v1/messages", status_code=202)
def send_message(body: MessageIn) -> dict[str, str]:
    """Send a message, in a thread."""
    sender = apprise.Apprise()
    sender.add(os.environ[HOOK_VARIABLE].replace("http://", "json://", 1))
    if not sender.notify(body=body.description, title=body.title):
        raise HTTPException(502, "It was not sent.")
    return {"topic": body.topic}
