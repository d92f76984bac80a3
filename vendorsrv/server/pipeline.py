"""The life of one request, top to bottom, without HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vendorsrv.answer import NOTHING, Answer
from vendorsrv.auth.policy import Policy, RemoteRule
from vendorsrv.auth.rule_facts import FactsNeeded
from vendorsrv.auth.tokens import Authenticator
from vendorsrv.cloudinit.guard import Guard, size_of
from vendorsrv.cloudinit.join import join_contributions
from vendorsrv.errors import Forbidden, NotFound, VendordataError
from vendorsrv.handlers.responder import Responder
from vendorsrv.request import Caller, VendordataRequest
from vendorsrv.settings import Settings
from vendorsrv.telemetry.logs import AccessLine

if TYPE_CHECKING:  # only for handlers and rules that need facts
    from vendorsrv.facts.lookups import Lookups

#: The path of the parts of all handlers for cloud-init, joined; no handler can have this name.
CLOUD_INIT: Final = "cloud-init"

#: Reads the body within so many seconds.
Read = Callable[[float], Awaitable[bytes]]


class Pipeline:
    """Answers requests; one for each worker.

    :param responders: of the enabled handlers, by name.
    :param contributors: responders with the parts for cloud-init, of the handlers that have some.
    :param guard: checks the joined parts.
    :param lookups: of the facts that rules name; None without an account.
    """

    def __init__(
        self,
        settings: Settings,
        authenticator: Authenticator,
        policy: Policy,
        *,
        responders: Mapping[str, Responder],
        contributors: Mapping[str, Responder],
        guard: Guard,
        lookups: Lookups | None,
    ) -> None:
        self.budget = settings.request_timeout
        self.authenticator = authenticator
        self.policy = policy
        self.responders = responders
        self.contributors = contributors
        self.guard = guard
        self.lookups = lookups

    async def answer(self, path: str, token: str | None, read: Read, request_id: str, access: AccessLine) -> Answer:
        """Take a request through its whole life.

        The body is read after the caller is known: a caller without a valid token costs no memory.

        :param path: ``/{handler}``, or ``/`` for all handlers.
        :param token: the value of ``X-Auth-Token``, or None.
        :param read: reads the body within the seconds that it is given.
        :param access: the request's log line; has the peer, and gets the caller, the handler and the instance as they
            become known.
        :raises VendordataError: what Nova gets instead.
        """
        deadline = time.monotonic() + self.budget
        caller = await self.authenticator.validate(token, path, access.peer)
        access.caller = caller.user_id
        try:
            self.policy.admit(caller)
        except RemoteRule:
            await self.policy.admit_remotely(caller, deadline - time.monotonic())
        body = await read(deadline - time.monotonic())
        request = VendordataRequest.from_json(body, caller, request_id, token, access.peer)
        access.instance = request.instance_id
        name = path[1:]
        if not name:
            answers = await self.answer_each(self.responders, request, caller, deadline)
            its = {each: answer.body for each, answer in answers.items() if answer.body != NOTHING}
            members = (b'"%s":%s' % (each.encode(), body) for each, body in its.items())
            return combined(b"{" + b",".join(members) + b"}", answers.values())
        if name == CLOUD_INIT:
            access.handler = CLOUD_INIT
            answers = await self.answer_each(self.contributors, request, caller, deadline)
            bodies = {each: answer.body for each, answer in answers.items()}
            size = sum(size_of(body.decode()) for body in bodies.values())
            joined = await self.guard.check(size, deadline, join_contributions, bodies, self.guard)
            return combined(joined, answers.values())
        responder = self.responders.get(name)
        if responder is None:
            raise NotFound("no handler of this name is enabled")
        access.handler = name
        if not await self.allows(name, request, caller, deadline):
            raise Forbidden(f"the policy does not allow handler {name} for this instance")
        answer = await responder.answer(request, deadline)
        return answer if answer.body != NOTHING else replace(answer, body=b"{}")

    async def allows(self, name: str, request: VendordataRequest, caller: Caller, deadline: float) -> bool:
        """Whether the policy allows the request of a handler, for which the facts that its rule names are looked up."""
        while True:  # a rule that was read again meanwhile may name others
            try:
                return await self.decide(name, request, caller, deadline)
            except FactsNeeded as needed:
                assert self.lookups  # or the policy would refuse such a rule
                verify = "server" in needed.needs and self.responders[name].enabled.verify
                facts = await self.lookups.get(request, needed.needs, deadline, verify=verify)
                request = request.with_facts(facts)

    async def decide(self, name: str, request: VendordataRequest, caller: Caller, deadline: float) -> bool:
        try:
            return self.policy.allows(name, request, caller)
        except RemoteRule:
            return await self.policy.allows_remotely(name, request, caller, deadline - time.monotonic())

    async def answer_each(
        self, responders: Mapping[str, Responder], request: VendordataRequest, caller: Caller, deadline: float
    ) -> dict[str, Answer]:
        """Call every handler that the policy allows, concurrently."""
        allowed = [name for name in responders if await self.allows(name, request, caller, deadline)]
        answers = await asyncio.gather(*(answer_of(responders[name], request, deadline) for name in allowed))
        return dict(zip(allowed, answers, strict=True))


def combined(body: bytes, answers: Collection[Answer]) -> Answer:
    """Return an answer that consists of others, fresh for as long as all of them are; it has the source of each."""
    fresh_for = [one.fresh_for for one in answers if one.fresh_for is not None]
    sources = ",".join(dict.fromkeys(one.source for one in answers))
    return Answer(body, min(fresh_for, default=None) if len(fresh_for) == len(answers) else None, sources)


async def answer_of(responder: Responder, request: VendordataRequest, deadline: float) -> Answer:
    """Return the answer of one handler of several; an error's message names the handler."""
    try:
        return await responder.answer(request, deadline)
    except VendordataError as error:
        if responder.name not in error.message:
            # Changed in place: how to construct a handler's own error class anew is not known.
            error.message = f"handler {responder.name}: {error.message}"
        raise
