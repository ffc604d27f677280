"""A plugin with settings: aliases, secrets, a rule over several fields."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from almenara import BackgroundTasks, Message, PluginSettings, SecretStr

from .writing import heading


class Mailbox:
    class Settings(PluginSettings):
        server: str
        port: int = Field(default=25, le=65535)
        sender: str = Field(default="almenara", alias="from")
        password: SecretStr | None = None
        token: SecretStr | None = None
        security: Literal["none", "starttls"] = "none"
        to: list[str] = Field(default_factory=list)

        @field_validator("server")
        @classmethod
        def _one_word(cls, value: str) -> str:
            if " " in value:
                raise ValueError(f"{value} is not the name of a server")
            if value == "explode":
                raise SystemExit(value)
            return value

        @model_validator(mode="after")
        def _one_secret(self) -> Self:
            if self.password and self.token:
                raise ValueError("Give password or token, not both.")
            return self

    def __init__(self, settings: Settings) -> None:
        if settings.server == "unreachable.example":
            raise ConnectionError(f"refused {settings.password.get_secret_value()}")
        self.settings = settings

    def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str:
        return heading(message)
