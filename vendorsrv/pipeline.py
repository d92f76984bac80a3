"""The life of one request, top to bottom, without HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from vendorsrv.answer import to_bytes
from vendorsrv.errors import Forbidden, NotFound
from vendorsrv.observe import Access
from vendorsrv.registry import Enabled
from vendorsrv.request import Caller, VendordataRequest
from vendorsrv.settings import Settings

#: Gives the body; takes the seconds that are left for it.
Read = Callable[[float], Awaitable[bytes]]


class Authenticates(Protocol):
    """What the pipeline needs of :class:`vendorsrv.auth.Authenticator`."""

    async def validate(self, token: str | None, path: str) -> Caller:
        """Say whose token it is, or raise Unauthorized or KeystoneUnavailable."""


class Permits(Protocol):
    """What the pipeline needs of :class:`vendorsrv.policy.Policy`."""

    def admit(self, caller: Caller) -> None:
        """Let the caller ask, or raise Forbidden."""

    def allows(self, handler: str, request: VendordataRequest, caller: Caller) -> bool:
        """Say whether this handler may be asked about this instance."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came over HTTP, with nothing parsed.

    :ivar handler: the name in the path; None for ``POST /``, which asks all.
    :ivar path: the whole path.
    :ivar token: the value of ``X-Auth-Token``, or None.
    :ivar read: gives the body, or raises BodyTimeout, BodyTooLarge or UnsupportedMediaType.
    """

    handler: str | None
    path: str
    token: str | None
    read: Read
    request_id: str


class Pipeline:
    """Answers requests; one for each worker.

    :param handlers: the enabled ones, by name.
    """

    def __init__(
        self, settings: Settings, authenticator: Authenticates, policy: Permits, handlers: dict[str, Enabled]
    ) -> None:
        self.budget = settings.request_timeout
        self.max_answer_bytes = settings.max_answer_bytes
        self.authenticator = authenticator
        self.policy = policy
        self.handlers = handlers

    async def answer(self, asked: Asked, access: Access) -> bytes:
        """Take a request through its whole life.

        The body is read after the caller is known, so that a stranger cannot make the server keep one.

        :param access: the request's log line; gets the caller, the handler and the instance as they become known.
        :returns: the JSON for Nova.
        :raises VendordataError: what Nova gets instead.
        """
        deadline = time.monotonic() + self.budget
        caller = await self.authenticator.validate(asked.token, asked.path)
        access.caller = caller.user_id
        self.policy.admit(caller)
        body = await asked.read(deadline - time.monotonic())
        request = VendordataRequest.from_json(body, caller, asked.request_id)
        access.instance = request.instance_id
        if asked.handler is None:
            return await self.ask_all(request, caller, deadline)
        enabled = self.handlers.get(asked.handler)
        if enabled is None:
            raise NotFound("no handler of this name is enabled")
        access.handler = enabled.name
        if not self.policy.allows(enabled.name, request, caller):
            raise Forbidden(f"the policy does not allow handler {enabled.name} for this instance")
        return await self.ask_one(enabled, request, deadline)

    async def ask_one(self, enabled: Enabled, request: VendordataRequest, deadline: float) -> bytes:
        value = await enabled.runner.run(request, budget=deadline - time.monotonic())
        return to_bytes(value, enabled.name, self.max_answer_bytes)

    async def ask_all(self, request: VendordataRequest, caller: Caller, deadline: float) -> bytes:
        """Ask every handler that the policy allows, side by side; the answer is ``{name: answer}``."""
        allowed = [each for each in self.handlers.values() if self.policy.allows(each.name, request, caller)]
        answers = await asyncio.gather(*(self.ask_one(each, request, deadline) for each in allowed))
        members = (b'"%s":%s' % (each.name.encode(), body) for each, body in zip(allowed, answers, strict=True))
        return b"{" + b",".join(members) + b"}"
