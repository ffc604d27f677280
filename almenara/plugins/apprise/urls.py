"""Which of Apprise's services a channel may use, by the schema of their URLs."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

_PUBLIC = """
46elks elks atalk azure o365 brevo bulksms bulkvs burstsms clickatell clicksend d7sms dingtalk
discord feishu firehydrant flock freemobile gchat groupme guilded gupshup httpsms ifttt ilert
incidentio join kavenegar kook kumulos lark line mailersend msg91 msgbird nexmo vonage octopush
onesignal opsgenie pagerduty pagertree pbul plivo postmark pover prowl pushed pushme pushy qq
push resend revolt schan sendgrid seven simplepush spush slack spike splunk victorops spugpush
squadcast stackfield strmlabs telnyx tgram threema twilio viber voipms webex wxteams wecombot
whatsapp wxpusher zoom
"""
_LOCAL = "blink1 dbus gio glib gnome kde macosx qt syslog windows"
_FILES = "keyfile pgp pgpprv pgppub subfile template"

#: Services on the internet whose addresses are Apprise's own: no URL leads them anywhere else.
PUBLIC = frozenset(_PUBLIC.split())
#: These act on the machine itself, whatever anybody allows: its desktop, its log, its devices.
LOCAL = frozenset(_LOCAL.split())
#: In a URL, these name a file of the machine, which would be read and sent.
FILES = frozenset(_FILES.split())

_SCHEMA = re.compile(r"([a-z0-9]{2,20})://.+", re.DOTALL)


def schema_of(url: str) -> str:
    """Return the schema of a URL of Apprise's.

    Raises:
        ValueError: it is none, or one that no channel may use. No part of it but a known schema is
            in the text.
    """
    found = _SCHEMA.fullmatch(url.strip())
    if found is None:
        raise ValueError("must be a URL of Apprise's, such as discord://...")
    schema = found[1]
    if schema in LOCAL:
        raise ValueError(f"{schema} acts on the machine itself, which no channel may")
    try:
        given = {name.strip().lower() for name, _ in parse_qsl(urlsplit(url).query)}
    except ValueError:
        raise ValueError("must be a URL of Apprise's, such as discord://...") from None
    files = sorted(given & FILES)
    if files:
        raise ValueError(f"?{files[0]}= may name a file of the machine, which no channel reads")
    return schema
