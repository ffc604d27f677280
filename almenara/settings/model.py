"""Every setting of the server, typed, each with its sentence."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from almenara.settings.console import ConsoleSettings
from almenara.settings.urls import check_keys_url, has_port


class Settings(ConsoleSettings):
    """The settings of one process; read once at its start, passed by hand, never global."""

    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL as `postgres://user:password@host:port/name`, with `?sslmode=` "
        "where the server asks for it. "
        "Absent: SQLite in the data directory.",
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description="RabbitMQ as `amqp://user:password@host:port/vhost`, or `amqps://`: this "
        "process only receives, and `almenara worker` processes send. It needs PostgreSQL, and "
        "the extra `celery`. Absent: this process sends by itself.",
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
        description="The address to serve on; any but loopback needs tokens, or `--insecure`.",
    )
    port: int = Field(
        default=8000, ge=0, le=65535, description="The TCP port to serve on; 0 takes any free one."
    )
    database_connections: int = Field(
        default=12,
        ge=2,
        le=200,
        description="How many connections to PostgreSQL one process may have at once, besides one "
        "that renews its claims.",
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
    strict: bool = Field(
        default=False,
        description="Refuse to start while others can change the files of your own channels, "
        "instead of a warning.",
    )
    jwt_issuer: str | None = Field(
        default=None,
        max_length=1024,
        description="Who issues the tokens: what stands in `iss`, to the letter. With it, every "
        "request needs a token, checked with one of the three keys below.",
    )
    jwt_audience: str = Field(
        default="almenara",
        min_length=1,
        max_length=1024,
        description="What must stand in the `aud` of a token.",
    )
    jwt_jwks_url: str | None = Field(
        default=None,
        description="Where the issuer publishes its keys: a JWK Set, or the OpenID document that "
        "names one, `https://.../.well-known/openid-configuration`.",
    )
    jwt_public_key: str | None = Field(
        default=None,
        description="The issuer's public key in PEM: RSA (RS256), P-256 (ES256), Ed25519 (EdDSA).",
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        description="A secret that the issuer shares (HS256), of at least 32 random bytes.",
    )
    jwt_max_age_seconds: int = Field(
        default=86_400,
        ge=60,
        description="A token that lives longer, in seconds, is refused.",
    )
    auth_file: Path | None = Field(
        default=None,
        description="A TOML file that takes the place of the five settings above: several issuers, "
        "and what their words for scopes and roles mean here.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="The names that this server is asked for, with commas: `push.example.org`. "
        "Absent: any, but loopback's alone where no tokens are asked for.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="The web pages whose scripts may call the API, with commas: "
        "`https://shop.example.org`. Absent: none.",
    )
    sender_rate: str | None = Field(
        default=None,
        description="How many requests one subject may make of one process: `600/m`. Absent: any "
        "number.",
    )
    secret_keys_old: SecretStr | None = Field(
        default=None,
        description="Older keys, with commas: they only open what they sealed, until "
        "`almenara rotate-secrets` has sealed it anew.",
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="The directory from which settings of channels may be read as `file:NAME`. "
        "Absent: none.",
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
    audit_days: int = Field(
        default=365,
        ge=0,
        le=36_500,
        description="How many days it is kept who changed what; 0 keeps all for ever.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="The TCP port of `ALMENARA_HOST` on which `almenara worker` serves `/metrics`; "
        "0 takes any free one. Absent: none. A server has them on its own port.",
    )
    traces: Literal["on", "off"] = Field(
        default="off",
        description="`on` sends traces to a collector, which OpenTelemetry's own variables "
        "(`OTEL_EXPORTER_OTLP_ENDPOINT`) name. It needs the extra `otel`.",
    )
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`human`, `json`, or `auto`: human on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log lines that are written."
    )

    @field_validator("egress_allow", "allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
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

    @field_validator("jwt_jwks_url")
    @classmethod
    def _check_keys_url(cls, value: str | None) -> str | None:
        return value if value is None else check_keys_url(value)

    @model_validator(mode="after")
    def _check_issuer(self) -> Settings:
        keys = (self.jwt_jwks_url, self.jwt_public_key, self.jwt_secret)
        given = sum(key is not None for key in keys)
        if given > 1 or (self.jwt_issuer is not None) != (given == 1):
            raise ValueError(
                "ALMENARA_JWT_ISSUER and one of ALMENARA_JWT_JWKS_URL, ALMENARA_JWT_PUBLIC_KEY and "
                "ALMENARA_JWT_SECRET belong together"
            )
        return self

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("postgres://", "postgresql://")
        ):
            raise ValueError(
                "must start with postgres:// (for SQLite, set ALMENARA_DATA_DIR; MySQL and MariaDB "
                "cannot be used)"
            )
        return value

    @field_validator("broker_url")
    @classmethod
    def _check_broker_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        if not value.get_secret_value().startswith(("amqp://", "amqps://")):
            raise ValueError("must start with amqp:// or amqps://")
        if not has_port(value.get_secret_value()):
            raise ValueError(
                "is not a URL such as amqp://user:password@host:5672/vhost; in the password, write "
                "/ as %2F, ? as %3F, # as %23"
            )
        if info.data.get("database_url", "wrong itself") is None:
            raise ValueError(
                "workers on other machines cannot share SQLite; use PostgreSQL "
                "(ALMENARA_DATABASE_URL), or leave the broker out"
            )
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
    def on_loopback(self) -> bool:
        """Whether it is reached from this machine alone."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def asks_for_tokens(self) -> bool:
        """Whether requests need a token."""
        return self.jwt_issuer is not None or self.auth_file is not None

    @property
    def uses_sqlite(self) -> bool:
        """Whether this process keeps its rows in SQLite."""
        return self.database_url is None
