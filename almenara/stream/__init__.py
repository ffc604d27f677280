"""What changes in the log, told at once to whoever listens: a tail of the database."""

from almenara.stream.listener import Listener
from almenara.stream.stream import Change, Stream, Words

__all__ = ["Change", "Listener", "Stream", "Words"]
