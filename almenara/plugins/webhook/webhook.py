"""Posts each message as JSON to a URL, signed as Standard Webhooks has it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from almenara import (
    ChannelError,
    ClientTls,
    Message,
    PermanentError,
    PluginSettings,
    SecretStr,
    Template,
    TemplateError,
    raise_for_status,
    request,
    values_of,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LONGEST_REFERENCE = 200


class Webhook:
    """Posts each message to one URL; a receiver recognises a repeated attempt by `webhook-id`.

    The id is the same in each attempt of a delivery; the timestamp, and so the signature, is new
    in each. What is signed are the very bytes that are sent.
    """

    carries_attachments = True

    class Settings(PluginSettings):
        """Where to post, and how the receiver knows that it was us."""

        url: SecretStr = Field(
            examples=["https://example.com/hooks"],
            description="Where to post. It is kept secret, as its path or query may be one.",
        )
        secret: SecretStr | None = Field(
            default=None,
            description="The key of the signature: `whsec_` and 24 to 64 bytes in base64. "
            "Absent: the message is not signed.",
        )
        headers: dict[str, SecretStr] = Field(
            default_factory=dict, description="More headers to send, such as Authorization."
        )
        body: str | None = Field(
            default=None,
            description="A template of the body, over the message's fields. Absent: the message "
            "as JSON.",
            examples=['{"text": {{ description|json }}, "order": {{ data.number }}}'],
        )
        content_type: str = Field(
            default="application/json",
            pattern=r"^[\x21-\x7e][\x20-\x7e]*$",
            description="What the body is.",
        )
        client_certificate: str | None = Field(
            default=None,
            description="A certificate to present to the receiver (mutual TLS), in PEM, and those "
            "between it and its authority ...",
        )
        client_key: SecretStr | None = Field(
            default=None, description="... and its private key, in PEM, without a password."
        )
        authorities: str | None = Field(
            default=None,
            description="Certificates in PEM: only a receiver whose certificate is signed by one "
            "of them is trusted. Absent: those that the system trusts.",
        )

        attachments: bool = Field(
            default=False,
            description="Post what is in a message's files too, each in base64 as its `content`.",
        )

        @field_validator("url")
        @classmethod
        def _check_url(cls, value: SecretStr) -> SecretStr:
            try:
                parts = urlsplit(value.get_secret_value())
            except ValueError:
                parts = urlsplit("")
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("must be an address such as https://example.com/hooks")
            if parts.username is not None or parts.password is not None:
                raise ValueError("must hold no user name or password: put them into `headers`")
            return value

        @field_validator("secret")
        @classmethod
        def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
            if value is not None and len(_key(value)) not in _KEY_BYTES:
                raise ValueError(
                    "must be `whsec_` and then 24 to 64 random bytes in base64; one is made by "
                    "`echo whsec_$(openssl rand -base64 32)`"
                )
            return value

        @field_validator("headers")
        @classmethod
        def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
            for name in value:
                if not _HEADER_NAME.fullmatch(name):
                    raise ValueError("a header's name is letters, digits and `-`")
                if name.lower() == "content-type" or name.lower().startswith("webhook-"):
                    raise ValueError(f"the header {name} is made for each message; leave it out")
            return value

        @field_validator("body")
        @classmethod
        def _check_body(cls, value: str | None) -> str | None:
            try:
                Template(value or "")
            except TemplateError as error:
                raise ValueError(f"cannot be read: {error.message}") from error
            return value

        @model_validator(mode="after")
        def _check_tls(self) -> Self:
            secure = urlsplit(self.url.get_secret_value()).scheme == "https"
            if self.tls() is not None and not secure:
                raise ValueError("a certificate needs a `url` that begins with https")
            return self

        def tls(self) -> ClientTls | None:
            """Return what TLS needs beyond the usual, if it does."""
            given = (self.client_certificate, self.client_key, self.authorities)
            if given == (None, None, None):
                return None
            certificate, key, authorities = given
            return ClientTls(certificate=certificate, key=key, authorities=authorities)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls = settings.tls()

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Post the message; return the id that the receiver answers with, if it does."""
        del background_tasks  # the post is made here, nothing is left to do after it
        settings = self._settings
        files = message.attachments if settings.attachments else []
        contents = [await one.read() for one in files]
        written = partial(self._written, message, contents)
        # Files of 10 MiB take a while to be written and signed, as a template may; a message alone
        # takes less than a thread.
        slow = contents or settings.body is not None
        body, made = await asyncio.to_thread(written) if slow else written()
        response = await request(
            "POST",
            settings.url,
            headers={**settings.headers, **made},
            content=body,
            tls=self._tls,
        )
        if response.status == HTTPStatus.GONE:
            # Standard Webhooks: the receiver wants nothing more, from anybody.
            raise ChannelError(
                "The webhook's receiver answered 410 (Gone): remove the channel or give it a new "
                "`url`."
            )
        raise_for_status(response, service="The webhook's receiver")
        return response.headers.get("webhook-id", "")[:_LONGEST_REFERENCE] or None

    def _written(
        self, message: Message, contents: Sequence[bytes]
    ) -> tuple[bytes, dict[str, str | SecretStr]]:
        """Return the body, and the headers that are made for it."""
        body = _body(message, self._settings.body, contents)
        made: dict[str, str | SecretStr] = {
            "content-type": self._settings.content_type,
            "webhook-id": message.idempotency_key,
            "webhook-timestamp": str(int(time.time())),
        }
        if self._settings.secret is not None:
            signed = f"{made['webhook-id']}.{made['webhook-timestamp']}.".encode() + body
            made["webhook-signature"] = _signature(_key(self._settings.secret), signed)
        return body, made

    def preview(self, message: Message) -> dict[str, str]:
        """Return the body that would be posted; its ids are only examples, no content is in it.

        Raises:
            PermanentError: the template cannot be filled with the message.
        """
        return {"body": _body(message, self._settings.body).decode()}


def _body(message: Message, template: str | None, contents: Sequence[bytes] = ()) -> bytes:
    """Return what the template makes, or the message as JSON with the contents of its files."""
    if template is not None:
        return _filled(template, message)
    if not contents:
        return message.model_dump_json().encode()
    body = message.model_dump(mode="json")
    for file, content in zip(body["attachments"], contents, strict=True):
        file["content"] = base64.b64encode(content).decode()
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _filled(template: str, message: Message) -> bytes:
    try:
        return Template(template).render(values_of(message)).encode()
    except TemplateError as error:
        raise PermanentError(
            f"The template in `body` cannot be filled with this message: {error.message}."
        ) from error


def _key(secret: SecretStr) -> bytes:
    """Return the bytes of the key; none when it is not written as it must be."""
    text = secret.get_secret_value()
    encoded = text.removeprefix(_PREFIX).rstrip("=")
    padding = "=" * (-len(encoded) % 4)
    try:
        key = base64.b64decode(encoded + padding, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return key if text.startswith(_PREFIX) else b""


def _signature(key: bytes, signed: bytes) -> str:
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
