"""The responders of a handler: of its own path, of ``/cloud-init`` and of its preparation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from vendorsrv.answer import HandlerAnswer
from vendorsrv.cloudinit.guard import size_of
from vendorsrv.cloudinit.join import join_contributions
from vendorsrv.handler import defines_handle
from vendorsrv.handlers.registry import EnabledHandler
from vendorsrv.handlers.responder import Responder
from vendorsrv.request import VendordataRequest

if TYPE_CHECKING:  # SQLAlchemy is only for handlers that pin
    from vendorsrv.pins.pin import Pins


class Contributor(Responder):
    """The parts of a handler that has only ``cloud_init``.

    They are those of the string under its own path, where only that is pinned: by a server of 0.1.0.
    """

    async def prepare_and_run(self, pins: Pins, request: VendordataRequest, deadline: float) -> HandlerAnswer:
        """Return the parts of the pinned string, or run the handler."""
        string = await pins.get(request.instance_id, self.enabled.handler.name)
        if string is None:
            return await super().prepare_and_run(pins, request, deadline)
        return HandlerAnswer(await self.to_body(json.loads(string.body), deadline), expires_at=string.expires_at)


class StringOfParts(Responder):
    """The string under the own path of a handler that has only ``cloud_init``, made of the parts: one run makes both.

    :ivar contributor: also has the limits of both.
    """

    contributor: Responder

    async def prepare_and_run(self, pins: Pins, request: VendordataRequest, deadline: float) -> HandlerAnswer:
        """Return the string of the pinned parts."""
        parts = await self.before(deadline, self.contributor.create_pin(pins, request, deadline))
        return HandlerAnswer(await self.string_of(parts.body, deadline), expires_at=parts.expires_at)

    async def run(self, request: VendordataRequest, deadline: float) -> HandlerAnswer:
        """Return the string of the parts, for as long as these are fresh."""
        parts = await self.contributor.cached_or_run(request, self.contributor.key_of(request), deadline)
        return HandlerAnswer(await self.string_of(parts.body, deadline), max_age=parts.fresh_for or 0.0)

    async def string_of(self, parts: bytes, deadline: float) -> bytes:
        name = self.enabled.handler.name
        return await self.guard.check(size_of(parts.decode()), deadline, join_contributions, {name: parts}, self.guard)


class Roles(NamedTuple):
    """The responders of one handler."""

    own: Responder
    contributor: Responder | None
    preparation: Responder | None


def roles_of(enabled: EnabledHandler, build: Callable[[Any, EnabledHandler, Responder | None], Any]) -> Roles:
    """Build the responders of a handler.

    :param build: builds one of this class, for this variant of the handler, with the responder of its preparation.
    """
    preparation = build(Responder, enabled.preparation, None) if enabled.preparation else None
    if enabled.cloud_init is None:
        return Roles(build(Responder, enabled, preparation), None, preparation)
    if defines_handle(type(enabled.handler)):
        contributor = build(Responder, enabled.cloud_init, preparation)
        return Roles(build(Responder, enabled, preparation), contributor, preparation)
    contributor, string = build(Contributor, enabled.cloud_init, preparation), build(StringOfParts, enabled, None)
    string.contributor, string.limiter = contributor, contributor.limiter
    return Roles(string, contributor, preparation)
