"""As written for a plain FastAPI application: nothing of Almenara's, built without arguments."""

import os

from dotenv import load_dotenv
from fastapi import BackgroundTasks

load_dotenv()

ACCOUNT = os.getenv("SMS_ACCOUNT")


class Sms:
    def __init__(self) -> None:
        load_dotenv()
        self.token = os.getenv("SMS_TOKEN")
        self.sent: list[str] = []

    async def _send(self, text: str) -> None:
        self.sent.append(f"{ACCOUNT}/{self.token}: {text}")

    def send_message(self, message, background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(self._send, message.description)
