"""One of two files that define a class of the same name."""


class Twin:
    def send_message(self, message, background_tasks):
        return "second"
