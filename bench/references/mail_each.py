"""Mail to many as it is usually sent: for each recipient a connection, a rendering and a mail.

`python -m bench.references.mail_each PORT SECONDS AT_ONCE` reads a subject, and below it a text,
from standard input, sends it for so long to a mail server on loopback, in so many threads, and
prints how many mails that were, and the seconds they took. It does less than Almenara: it stores
nothing, records nothing and tries nothing again; its HTML comes from a template that was read once,
not from Markdown.
"""

from __future__ import annotations

import smtplib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from itertools import count

from jinja2 import Environment

_TEMPLATE = Environment(autoescape=True).from_string(
    '<div style="white-space: pre-wrap">\n'
    "{% for line in lines %}{{ line }}<br>\n{% endfor %}</div>\n"
)
_FROM = "shop@example.org"


def send(port: int, recipient: str, subject: str, text: str) -> None:
    """Render the mail for one recipient, connect, and send it."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = _FROM, recipient, subject
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="example.org")
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    mail.add_alternative(_TEMPLATE.render(lines=text.splitlines()), subtype="html")
    # A name for EHLO, as whoever cares sets it: without one, the DNS is asked for each connection.
    with smtplib.SMTP("127.0.0.1", port, local_hostname="[127.0.0.1]", timeout=30) as client:
        client.send_message(mail)


def main(port: int, seconds: float, at_once: int) -> None:
    """Send for a while, and print the mails and the seconds."""
    subject, text = sys.stdin.readline().strip(), sys.stdin.read()
    begun = time.perf_counter()

    def send_some(thread: int) -> int:
        for number in count():
            send(port, f"customer-{thread}-{number}@example.org", subject, text)
            if time.perf_counter() - begun >= seconds:
                break
        return number + 1

    with ThreadPoolExecutor(at_once) as pool:
        mails = sum(pool.map(send_some, range(at_once)))
    print(mails, time.perf_counter() - begun)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
