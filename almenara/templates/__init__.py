"""Templates: the words of a topic or a channel around a message, and what foreign webhooks mean."""

from almenara.templates.budget import LONGEST_SOURCE
from almenara.templates.intake import Translated, check_reading, reading_of, translate
from almenara.templates.rendering import Template
from almenara.templates.senders import SENDERS, Reading
from almenara.templates.wording import LONGEST_TITLE, Words, put_in_words, values_of

__all__ = [
    "LONGEST_SOURCE",
    "LONGEST_TITLE",
    "SENDERS",
    "Reading",
    "Template",
    "Translated",
    "Words",
    "check_reading",
    "put_in_words",
    "reading_of",
    "translate",
    "values_of",
]
