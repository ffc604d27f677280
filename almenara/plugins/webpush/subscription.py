"""A browser's subscription, as its `PushManager.subscribe` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel

from almenara import SecretStr, SecretUrl

from .encryption import AUTH_BYTES, read_base64url, read_point

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey


def _check_point(value: SecretStr) -> SecretStr:
    read_point(read_base64url(value.get_secret_value()))
    return value


def _check_auth(value: SecretStr) -> SecretStr:
    if len(read_base64url(value.get_secret_value())) != AUTH_BYTES:
        raise ValueError("must be 16 bytes in base64url")
    return value


class Keys(BaseModel):
    """What only this browser can read with."""

    p256dh: Annotated[SecretStr, AfterValidator(_check_point)]
    auth: Annotated[SecretStr, AfterValidator(_check_auth)]


class Subscription(BaseModel):
    """One browser, as its `PushManager.subscribe` describes it."""

    endpoint: SecretUrl
    keys: Keys

    def browser(self) -> EllipticCurvePublicKey:
        """Return the browser's own key."""
        return read_point(read_base64url(self.keys.p256dh.get_secret_value()))

    def auth(self) -> bytes:
        """Return what the browser and we alone know."""
        return read_base64url(self.keys.auth.get_secret_value())
