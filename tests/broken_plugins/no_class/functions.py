"""Has a function where a class is asked for."""


def send_message(message, background_tasks):
    return None


class Formatter:
    def format(self, message):
        return message.description
