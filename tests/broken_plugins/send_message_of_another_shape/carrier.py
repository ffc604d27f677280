"""Takes other arguments than the contract gives."""


class Carrier:
    def send_message(self, message, recipient, background_tasks):
        return None
