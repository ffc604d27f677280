"""Every setting of the server, typed, each with its sentence; all mistakes are reported at once.

A setting is read from ``ALMENARA_<NAME>`` or, for what should not stand in an environment, from the
file that ``ALMENARA_<NAME>_FILE`` names.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from almenara.errors import ConfigurationError

PREFIX = "ALMENARA_"


class Settings(BaseModel):
    """The settings of one process; read once at its start, passed by hand, never global."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL as `postgres://user:password@host:port/name`, with `?sslmode=` "
        "where the server asks for it. "
        "Absent: SQLite in the data directory.",
    )
    data_dir: Path = Field(
        default=Path("data"),
        description="Where the SQLite database, its lock and the secret key are kept.",
    )
    plugins_dir: Path = Field(
        default=Path("plugins"),
        description="Your own channels: one directory each. It may be absent.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="The address to serve on; any but loopback needs `--insecure`.",
    )
    port: int = Field(
        default=8000, ge=0, le=65535, description="The TCP port to serve on; 0 takes any free one."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="How many server processes share the port; more than one needs PostgreSQL.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="32 bytes in base64: the key for channel secrets at rest. "
        "Absent: `secret.key` in the data directory, made at the first start (SQLite only).",
    )
    egress_allow: tuple[str, ...] = Field(
        default=(),
        description="Private networks that HTTP channels may reach, with commas: "
        "`10.1.0.0/16,127.0.0.0/8`. Absent: public addresses only.",
    )
    max_body_bytes: int = Field(
        default=262_144,
        ge=1024,
        le=16_777_216,
        description="The largest request body that is read, in bytes; larger ones get a 413.",
    )
    sends: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="How many attempts one process makes at once. The last quarter is kept for "
        "channels whose attempts end soon, or that have few under way.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        default=25.0,
        description="How long SIGTERM waits for attempts that are under way, in seconds.",
    )
    retention_days: int = Field(
        default=90,
        ge=0,
        le=36_500,
        description="How many days a message is kept after the last of it finished; "
        "0 keeps all for ever.",
    )
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`human`, `json`, or `auto`: human on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log lines that are written."
    )

    @field_validator("egress_allow", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("egress_allow")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(
                    f"{network!r} is not a network such as 10.1.0.0/16 ({error})"
                ) from error
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("postgres://", "postgresql://")
        ):
            raise ValueError("must start with postgres:// (for SQLite, set ALMENARA_DATA_DIR)")
        return value

    @field_validator("workers")
    @classmethod
    def _check_workers(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and info.data.get("database_url", "wrong itself") is None:
            raise ValueError(
                "SQLite is served by one process, which holds its file lock; use PostgreSQL "
                "(ALMENARA_DATABASE_URL) for several, or leave --workers out"
            )
        return value

    @property
    def database_file(self) -> Path:
        """The SQLite database's file."""
        return self.data_dir / "almenara.sqlite3"

    @property
    def uses_sqlite(self) -> bool:
        """Whether this process keeps its rows in SQLite."""
        return self.database_url is None


def read_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings from the environment.

    Args:
        environ: the environment; the process's own when absent.
        overrides: values from the command line, which win; ``None`` means "not given".

    Raises:
        ConfigurationError: one sentence a mistake, all at once, unknown ``ALMENARA_`` names
            included.
    """
    environ = os.environ if environ is None else environ
    values, mistakes = _gather(environ)
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        mistakes += [
            f"{PREFIX}{str(part['loc'][0]).upper()}: {part['msg'].removeprefix('Value error, ')}"
            for part in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError(_sentence(mistakes)) from error
    if mistakes:
        raise ConfigurationError(_sentence(mistakes))
    return settings


def _gather(environ: Mapping[str, str]) -> tuple[dict[str, object], list[str]]:
    """Collect the raw values and the mistakes in names and files."""
    values: dict[str, object] = {}
    mistakes: list[str] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        plain = name.removeprefix(PREFIX)
        if plain in {"URL", "TOKEN"} or plain.startswith("TEST_") or environ[name] == "":
            continue
        field = plain.lower()
        if field in Settings.model_fields:
            values[field] = environ[name]
        elif field.endswith("_file") and field.removesuffix("_file") in Settings.model_fields:
            try:
                text = Path(environ[name]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                mistakes.append(f"{name}: the file cannot be read ({type(error).__name__})")
            else:
                values.setdefault(field.removesuffix("_file"), text)
        else:
            mistakes.append(f"{name}: there is no such setting")
    return values, mistakes


def _sentence(mistakes: list[str]) -> str:
    return "The settings cannot be used:\n" + "\n".join(f"  {line}" for line in mistakes)
