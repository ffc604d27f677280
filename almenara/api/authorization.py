"""What a route asks of whoever calls it: one scope each, named in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from almenara.api.dependencies import DeliveryId, MessageId, PartsNeeded
from almenara.api.gate import PRINCIPAL
from almenara.auth import Principal, Scope
from almenara.errors import NotFoundError


class _Asking(SecurityBase):
    """A dependency that asks for a scope."""

    def __init__(self, scope: Scope) -> None:
        self.model = HTTPBearer(
            bearerFormat="JWT", description="A token of the system that this server trusts."
        )
        self.scheme_name = "token"
        self.scope = scope

    def principal(self, request: Request) -> Principal:
        """Return who asks.

        Raises:
            ForbiddenError: they may not do this.
        """
        principal: Principal = request.scope[PRINCIPAL]
        principal.require(self.scope)
        return principal


class _Scoped(_Asking):
    """Lets through whoever has the scope."""

    async def __call__(self, request: Request) -> Principal:
        """Return who asks."""
        return self.principal(request)


class _Whole(_Asking):
    """The same, but no token that is narrowed to topics: the route reaches beyond any."""

    async def __call__(self, request: Request) -> Principal:
        """Return who asks."""
        principal = self.principal(request)
        principal.require_everything(self.scope)
        return principal


class _Message(_Asking):
    """The same for one message, which others do not even see."""

    async def __call__(self, request: Request, message_id: MessageId, parts: PartsNeeded) -> UUID:
        """Return the message's id."""
        principal = self.principal(request)
        if principal.topics is not None and not principal.sees(
            await parts.log.topic_of(message_id=message_id)
        ):
            raise NotFoundError("message", str(message_id))
        return message_id


class _Delivery(_Asking):
    """The same for one delivery."""

    async def __call__(self, request: Request, delivery_id: DeliveryId, parts: PartsNeeded) -> UUID:
        """Return the delivery's id."""
        principal = self.principal(request)
        if principal.topics is not None and not principal.sees(
            await parts.log.topic_of(delivery_id=delivery_id)
        ):
            raise NotFoundError("delivery", str(delivery_id))
        return delivery_id


def _asking(dependency: Any) -> Any:
    return Security(dependency, scopes=[dependency.scope.value])


Sender = Annotated[Principal, _asking(_Scoped(Scope.SEND))]
Reader = Annotated[Principal, _asking(_Scoped(Scope.READ))]
ConfigWriter = Annotated[Principal, _asking(_Scoped(Scope.CONFIG_WRITE))]
Manager = Annotated[Principal, _asking(_Scoped(Scope.MANAGE))]
ManagerOfAll = Annotated[Principal, _asking(_Whole(Scope.MANAGE))]
Keeper = Annotated[Principal, _asking(_Whole(Scope.BACKUP))]

#: For routes whose function need not know who asks.
READS_CONFIG = _asking(_Scoped(Scope.CONFIG_READ))
MANAGES_ALL = _asking(_Whole(Scope.MANAGE))
ADMINISTERS = _asking(_Scoped(Scope.ADMIN))

#: The id in the path, for whoever may read it or manage it; to all others there is none.
ReadMessageId = Annotated[UUID, _asking(_Message(Scope.READ))]
ManagedMessageId = Annotated[UUID, _asking(_Message(Scope.MANAGE))]
ReadDeliveryId = Annotated[UUID, _asking(_Delivery(Scope.READ))]
ManagedDeliveryId = Annotated[UUID, _asking(_Delivery(Scope.MANAGE))]
