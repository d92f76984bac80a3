"""The life of one request, top to bottom, without HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vendorsrv.answer import Answer
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.join import join_contributions
from vendorsrv.errors import Forbidden, NotFound, VendordataError
from vendorsrv.request import Caller, VendordataRequest
from vendorsrv.settings import Settings
from vendorsrv.telemetry.logs import Access

#: The path of the target that joins what all handlers have for cloud-init; no handler has this name.
CLOUD_INIT: Final = "cloud-init"

#: Gives the body; takes the seconds that are left for it.
Read = Callable[[float], Awaitable[bytes]]


class Authenticates(Protocol):
    """What the pipeline needs of :class:`vendorsrv.auth.tokens.Authenticator`."""

    async def validate(self, token: str | None, path: str) -> Caller:
        """Say whose token it is, or raise Unauthorized or KeystoneUnavailable."""


class Permits(Protocol):
    """What the pipeline needs of :class:`vendorsrv.auth.policy.Policy`."""

    def admit(self, caller: Caller) -> None:
        """Let the caller ask, or raise Forbidden."""

    def allows(self, handler: str, request: VendordataRequest, caller: Caller) -> bool:
        """Say whether this handler may be asked about this instance."""


@dataclass(slots=True)
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


class Answers(Protocol):
    """What the pipeline needs of :class:`vendorsrv.handlers.responder.Responder`."""

    name: str

    async def answer(self, request: VendordataRequest, deadline: float) -> Answer:
        """Give the handler's answer for one instance, or raise a VendordataError."""


class Pipeline:
    """Answers requests; one for each worker.

    :param responders: of the enabled handlers, by name.
    :param contributors: of the enabled handlers with parts for cloud-init, by name.
    """

    def __init__(
        self,
        settings: Settings,
        authenticator: Authenticates,
        policy: Permits,
        responders: Mapping[str, Answers],
        *,
        contributors: Mapping[str, Answers],
        guard: Guard,
    ) -> None:
        self.budget = settings.request_timeout
        self.authenticator = authenticator
        self.policy = policy
        self.responders = responders
        self.contributors = contributors
        self.guard = guard

    async def answer(self, asked: Asked, access: Access) -> Answer:
        """Take a request through its whole life.

        The body is read after the caller is known, so that a stranger cannot make the server keep one.

        :param access: the request's log line; gets the caller, the handler and the instance as they become known.
        :raises VendordataError: what Nova gets instead.
        """
        deadline = time.monotonic() + self.budget
        caller = await self.authenticator.validate(asked.token, asked.path)
        access.caller = caller.user_id
        self.policy.admit(caller)
        body = await asked.read(deadline - time.monotonic())
        request = VendordataRequest.from_json(body, caller, asked.request_id, asked.token)
        access.instance = request.instance_id
        if asked.handler is None:
            return await self.ask_all(request, caller, deadline)
        if asked.handler == CLOUD_INIT:
            access.handler = CLOUD_INIT
            return await self.ask_for_cloud_init(request, caller, deadline)
        responder = self.responders.get(asked.handler)
        if responder is None:
            raise NotFound("no handler of this name is enabled")
        access.handler = responder.name
        if not self.policy.allows(responder.name, request, caller):
            raise Forbidden(f"the policy does not allow handler {responder.name} for this instance")
        return await responder.answer(request, deadline)

    async def ask_all(self, request: VendordataRequest, caller: Caller, deadline: float) -> Answer:
        """Ask every handler that the policy allows, side by side; the answer is ``{name: answer}``."""
        answers = await self.ask_each(self.responders, request, caller, deadline)
        members = (b'"%s":%s' % (name.encode(), answer.body) for name, answer in answers.items())
        return together(b"{" + b",".join(members) + b"}", list(answers.values()))

    async def ask_for_cloud_init(self, request: VendordataRequest, caller: Caller, deadline: float) -> Answer:
        """Ask every handler that the policy allows for its parts; the answer is one string for cloud-init."""
        answers = await self.ask_each(self.contributors, request, caller, deadline)
        body = join_contributions({name: answer.body for name, answer in answers.items()}, self.guard)
        return together(body, list(answers.values()))

    async def ask_each(
        self, asked: Mapping[str, Answers], request: VendordataRequest, caller: Caller, deadline: float
    ) -> dict[str, Answer]:
        allowed = [name for name in asked if self.policy.allows(name, request, caller)]
        answers = await asyncio.gather(*(name_failure(asked[name], request, deadline) for name in allowed))
        return dict(zip(allowed, answers, strict=True))


def together(body: bytes, answers: Sequence[Answer]) -> Answer:
    """Return an answer made of others, fresh for as long as all of them are."""
    fresh_for = [one.fresh_for for one in answers if one.fresh_for is not None]
    return Answer(body, min(fresh_for, default=None) if len(fresh_for) == len(answers) else None)


async def name_failure(responder: Answers, request: VendordataRequest, deadline: float) -> Answer:
    """Ask one handler of many, and put its name into what it raises."""
    try:
        return await responder.answer(request, deadline)
    except VendordataError as error:
        if responder.name not in error.message:
            # Changed, since an error of a vendor's own cannot be built again: nobody knows what it is built from.
            error.message = f"handler {responder.name}: {error.message}"
        raise
