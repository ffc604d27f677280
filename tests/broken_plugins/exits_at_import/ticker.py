"""Ends the process when it is imported, as a script without a main guard does."""

import sys


class Ticker:
    def send_message(self, message, background_tasks):
        return None


sys.exit(3)
