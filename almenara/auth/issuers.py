"""Who issues the tokens that are trusted: from the settings, or many from one file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from almenara.auth.jose import Key, read_public_key, read_secret
from almenara.auth.principal import Scope
from almenara.errors import ConfigurationError
from almenara.settings import Settings
from almenara.settings.urls import check_keys_url

#: OpenID Connect Discovery 1.0, section 4.
DISCOVERY_PATH = "/.well-known/openid-configuration"

Text = Annotated[str, Field(min_length=1, max_length=1024)]


class Issuer(BaseModel):
    """One system whose tokens are trusted, and how its words are understood."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: What stands in ``iss``, to the letter.
    issuer: Text
    #: Stands before the subjects of this issuer, so that those of several differ.
    name: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,32}$")
    #: One of these stands in ``aud``.
    audience: tuple[Text, ...]
    secret: str | None = Field(default=None, repr=False)
    secret_file: Path | None = None
    public_key: str | None = None
    public_key_file: Path | None = None
    #: A JWK Set, or an OpenID discovery document that names one.
    jwks_url: str | None = None
    #: Older tokens are refused, and so are those that would live longer, in seconds.
    max_age_seconds: int = Field(default=86_400, ge=60)
    #: What may stand in the header ``typ``; nothing is allowed always.
    types: tuple[str, ...] = ("JWT", "at+jwt")
    #: Where the scopes or roles stand, with dots: the first that is there.
    scope_claims: tuple[Text, ...] = ("scope", "scp")
    #: Where the topics stand that a token is narrowed to.
    topics_claim: Text = "topics"
    #: What this issuer's own words mean here.
    roles: dict[str, tuple[Scope, ...]] = Field(default_factory=dict)
    denied_subjects: frozenset[str] = frozenset()
    denied_token_ids: frozenset[str] = frozenset()

    @field_validator("audience", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("jwks_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        return value if value is None else check_keys_url(value)

    @model_validator(mode="after")
    def _check_keys(self) -> Issuer:
        if sum(source is not None for source in self._sources()) != 1:
            raise ValueError(
                "write one of jwks_url, public_key, public_key_file, secret and secret_file: an "
                "issuer signs in one way"
            )
        return self

    def _sources(self) -> tuple[object, ...]:
        return (
            self.secret,
            self.secret_file,
            self.public_key,
            self.public_key_file,
            self.jwks_url,
        )

    @property
    def shares_a_secret(self) -> bool:
        """Whether it signs by a secret that this server has too."""
        return self.secret is not None or self.secret_file is not None

    def shared_secret(self) -> str:
        """Return that secret.

        Raises:
            ValueError: its file cannot be read.
        """
        return self.secret or _read(self.secret_file)

    def key(self) -> Key:
        """Return its one key, where that does not have to be fetched.

        Raises:
            ValueError: it cannot be used; says why, and does not repeat it.
        """
        if self.shares_a_secret:
            return read_secret(self.shared_secret())
        return read_public_key(self.public_key or _read(self.public_key_file))


def read_issuers(settings: Settings) -> tuple[Issuer, ...]:
    """Return the issuers that are trusted; none: no tokens are asked for.

    Raises:
        ConfigurationError: what is written cannot be used; names each mistake.
    """
    alone = _from_settings(settings)
    if settings.auth_file is None:
        return alone
    if alone:
        raise ConfigurationError(
            "ALMENARA_AUTH_FILE says who issues tokens, and so do ALMENARA_JWT_ settings: keep one."
        )
    return _from_file(settings.auth_file)


def _from_settings(settings: Settings) -> tuple[Issuer, ...]:
    if not settings.jwt_issuer:
        return ()
    secret = settings.jwt_secret
    return (
        Issuer(
            issuer=settings.jwt_issuer,
            audience=(settings.jwt_audience,),
            secret=secret and secret.get_secret_value(),
            public_key=settings.jwt_public_key,
            jwks_url=settings.jwt_jwks_url,
            max_age_seconds=settings.jwt_max_age_seconds,
        ),
    )


def _from_file(path: Path) -> tuple[Issuer, ...]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, f"it cannot be read ({type(error).__name__})") from error
    except tomllib.TOMLDecodeError as error:
        raise _unusable(path, f"it is not TOML: {error}") from error
    entries = document.pop("issuers", None)
    if document or not isinstance(entries, list) or not entries:
        raise _unusable(path, "write tables [[issuers]], and nothing beside them")
    issuers = tuple(_read_entry(path, number, entry) for number, entry in enumerate(entries, 1))
    for field in ("issuer", "name"):
        if len({getattr(one, field) for one in issuers}) < len(issuers):
            raise _unusable(path, f"give each of the issuers another `{field}`")
    return issuers


def _read_entry(path: Path, number: int, entry: Any) -> Issuer:
    try:
        return Issuer.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in (number, *first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise _unusable(path, f"issuers.{place}: {message}") from error


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"The file {path} (ALMENARA_AUTH_FILE) cannot be used: {why}.")


def _read(path: Path | None) -> str:
    assert path is not None  # noqa: S101 - checked when it was read
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({type(error).__name__})") from error
