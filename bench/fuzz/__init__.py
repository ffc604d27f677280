"""The fuzzing bench: what the API answers to whatever may come.

The API's own description is fuzzed by Schemathesis; texts that have broken other systems go through
every text field, and noise goes to the socket. Afterwards the server must serve and its database be
whole.
"""
