"""Cannot be built without settings: a default is wrong and a field is required."""

from almenara import PluginSettings


class Modem:
    class Settings(PluginSettings):
        number: str
        speed: int = "fast"

    def __init__(self, settings):
        self.settings = settings

    def send_message(self, message, background_tasks):
        return None
