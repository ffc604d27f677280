"""Loads and builds, but raises what ``except Exception`` does not catch when it sends."""


class Doom(BaseException):
    pass


class Shutdown:
    def send_message(self, message, background_tasks):
        raise Doom("the plugin gave up")
