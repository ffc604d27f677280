"""Declares settings that Almenara would never read."""

from pydantic import BaseModel


class Beeper:
    class Settings(BaseModel):
        number: str = "1"

    def send_message(self, message, background_tasks):
        return None
