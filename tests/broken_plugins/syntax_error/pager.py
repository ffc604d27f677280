"""Does not parse: a colon is missing in line 5."""


class Pager:
    def send_message(self, message, background_tasks)
        return None
