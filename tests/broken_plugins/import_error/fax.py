"""Imports a module that is not installed anywhere."""

import almenara_no_such_module


class Fax:
    def send_message(self, message, background_tasks):
        almenara_no_such_module.send(message)
