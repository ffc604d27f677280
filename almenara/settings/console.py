"""The settings of the console, the web page at `/`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from almenara.settings.urls import check_issuer_url


class ConsoleSettings(BaseModel):
    """Whether there is a console, and how people sign in to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    console: bool = Field(
        default=True, description="Whether the console, a web page, is served at `/`: `on`, `off`."
    )
    console_oidc_issuer: str | None = Field(
        default=None,
        max_length=1024,
        description="Where people sign in to the console (OpenID Connect): the issuer's address, "
        "`https://id.example.org`. Absent: they paste a token.",
    )
    console_client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="What the console is called there: a public client, with the console's "
        "address as the place to return to. It belongs to the setting above.",
    )
    console_scope: str = Field(
        default="openid",
        min_length=1,
        max_length=1024,
        description="What the console asks for when people sign in, with spaces between.",
    )

    @field_validator("console_oidc_issuer")
    @classmethod
    def _check_console_issuer(cls, value: str | None) -> str | None:
        return value if value is None else check_issuer_url(value)

    @model_validator(mode="after")
    def _check_console(self) -> ConsoleSettings:
        if (self.console_oidc_issuer is None) != (self.console_client_id is None):
            raise ValueError(
                "ALMENARA_CONSOLE_OIDC_ISSUER and ALMENARA_CONSOLE_CLIENT_ID belong together"
            )
        return self
