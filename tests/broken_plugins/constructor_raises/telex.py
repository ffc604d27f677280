"""Cannot be built: its constructor ends the process."""

import os


class Telex:
    def __init__(self):
        raise SystemExit("no line for " + os.environ.get("TELEX_LINE", "nobody"))

    def send_message(self, message, background_tasks):
        return None
