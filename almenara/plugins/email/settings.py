"""What a mail channel needs to know, each value checked by its form alone."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from almenara import PluginSettings, SecretStr, WebUrl

#: A host name, an IPv4 or an IPv6 address, by its letters.
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
#: Addresses of which only the domain can be wrong: the library takes 40 µs for each, and a message
#: may have a hundred.
_PLAIN = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9.-]+")
#: So long that no part of it can be too long, in characters.
_SHORT = 64


def check_address(value: str) -> str:
    """Check one address by its form alone; a domain name is written in ASCII (IDNA)."""
    if len(value) <= _SHORT and _PLAIN.fullmatch(value):
        name, _, domain = value.rpartition("@")
        return f"{name}@{_written(domain)}"
    return _checked(value)


@lru_cache(1_000)
def _written(domain: str) -> str:
    """Return a domain name as it stands in addresses; most of a channel's are in a few domains."""
    return _checked(f"anybody@{domain}").rpartition("@")[2]


def _checked(value: str) -> str:
    # A server that sends no mail starts without it.
    from email_validator import EmailNotValidError, validate_email

    try:
        valid = validate_email(
            value,
            check_deliverability=False,
            globally_deliverable=False,  # a relay in the house may know names without a dot
            allow_smtputf8=False,
        )
    except EmailNotValidError as error:
        raise ValueError(f"must be one address such as ana@example.org. {error}") from error
    return str(valid.ascii_email)


def _host(value: str) -> str:
    """Check a host name by its form; the network would fail on it with a worse error."""
    try:
        written = value.encode("idna").decode("ascii")
    except UnicodeError:
        written = ""
    if not _HOST.fullmatch(written):
        raise ValueError("must be a host name such as smtp.example.org, or an address")
    return value


def _pattern(value: str) -> str:
    """Check what recipients are compared with: an address, or all of one domain."""
    beginning, _, domain = value.rpartition("@")
    if beginning == "*":
        return "*@" + check_address(f"anybody@{domain}").rpartition("@")[2].lower()
    if "*" in value:
        raise ValueError("a * stands alone before the @: *@example.org")
    return check_address(value).lower()


Address = Annotated[str, AfterValidator(check_address)]
Pattern = Annotated[str, AfterValidator(_pattern)]

_ONE_WAY = (
    "there is one way to log in: `password`, or `oauth_access_token`, or `oauth_token_url`. What "
    "an environment gives is put off by null"
)


class MailSettings(PluginSettings):
    """What a mail channel needs to know; in the environment each name begins with MAIL_."""

    model_config = SettingsConfigDict(env_prefix="MAIL_", env_ignore_empty=True)

    server: Annotated[str, AfterValidator(_host)] = Field(
        examples=["smtp.example.org"], description="The mail server's name or address."
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Its port. Absent: 465 with `ssl_tls`, 587 with `starttls`, else 25.",
    )
    username: str = Field(default="", description="The login; absent: no login.")
    password: SecretStr = Field(default=SecretStr(""), description="The login's password.")
    oauth_access_token: SecretStr | None = Field(
        default=None,
        description="An access token to log in with (XOAUTH2), in place of a password. It expires "
        "within hours: with the settings below a new one is fetched whenever it is needed.",
    )
    oauth_token_url: WebUrl | None = Field(
        default=None, description="Where access tokens are fetched (OAuth 2.0)."
    )
    oauth_client_id: str = Field(default="", description="The application's id there.")
    oauth_client_secret: SecretStr | None = Field(
        default=None, description="The application's secret, if it has one."
    )
    oauth_refresh_token: SecretStr | None = Field(
        default=None,
        description="What the mailbox's owner has granted. Absent: the application logs in by its "
        "own right (client credentials).",
    )
    oauth_scope: str = Field(
        default="", description="Which right is asked for; needed without a refresh token."
    )
    from_: Address = Field(
        examples=["shop@example.org"], alias="from", description="The address the mail comes from."
    )
    from_name: str = Field(
        default="", max_length=200, description="The name shown before that address."
    )
    to: list[Address] = Field(
        examples=[["ana@example.org", "team@example.org"]],
        min_length=1,
        max_length=100,
        description="Who gets the mail: one or more addresses, with commas.",
    )
    allow_to: list[Pattern] = Field(
        default=[],
        max_length=100,
        description="Which recipients a message may name in its own `to`, in place of these: "
        "addresses, or all of a domain as `*@example.org`, with commas. Absent: none.",
    )
    hide_recipients: bool = Field(
        default=False,
        description="Recipients do not see each other: where there are several, `To` names none.",
    )
    reply_to: Address | None = Field(
        default=None, description="Where answers go, if not to `from`."
    )
    starttls: bool = Field(
        default=False,
        description="Encrypt after connecting (STARTTLS); never sends if that is not offered.",
    )
    ssl_tls: bool = Field(default=False, description="Encrypt from the first byte.")
    validate_certs: bool = Field(
        default=True, description="Check the server's certificate; off only for tests."
    )
    subject_prefix: str = Field(
        default="", max_length=100, description="Stands before each subject."
    )
    timeout_seconds: float = Field(
        default=10.0, ge=0.1, le=60, description="The longest wait for one step of the server."
    )

    # At a field, not at the whole, so that a channel that gives two is refused when it is written.
    @field_validator("oauth_access_token", "oauth_token_url")
    @classmethod
    def _check_one_way(
        cls, value: SecretStr | str | None, info: ValidationInfo
    ) -> SecretStr | str | None:
        # A secret is true where it is not empty.
        if value and (info.data.get("password") or info.data.get("oauth_access_token")):
            raise ValueError(_ONE_WAY)
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.starttls and self.ssl_tls:
            raise ValueError(
                "starttls and ssl_tls exclude each other: take ssl_tls for port 465, "
                "starttls for port 587"
            )
        return self

    @model_validator(mode="after")
    def _check_oauth(self) -> Self:
        if (self.oauth_access_token or self.oauth_token_url) and not self.username:
            raise ValueError("a login by token needs `username`, which names the mailbox")
        if self.oauth_token_url and not self.oauth_client_id:
            raise ValueError("`oauth_token_url` needs `oauth_client_id`")
        if self.oauth_token_url and not (self.oauth_refresh_token or self.oauth_scope):
            raise ValueError(
                "`oauth_token_url` needs `oauth_refresh_token`, or `oauth_scope` for client "
                "credentials"
            )
        if not self.oauth_token_url and (self.oauth_refresh_token or self.oauth_client_id):
            raise ValueError("name in `oauth_token_url` where tokens are fetched")
        return self
