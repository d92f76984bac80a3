"""One look-up at Nova, Glance or Keystone: the token, the request, and what each failure means."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from vendorsrv.auth.account import Account
from vendorsrv.errors import FactsRefused, FactsUnavailable
from vendorsrv.proxy.client import Upstream
from vendorsrv.proxy.connection import Reply, UpstreamFailure
from vendorsrv.proxy.options import tls_context
from vendorsrv.telemetry.tracebacks import without_secrets

LOG = logging.getLogger(__name__)

#: The last microversion of Nova whose servers are read, 2.96 (2024.1): availability zone pinned, 2.90: hostname, 2.71:
#: server groups, 2.47: the flavor.
MICROVERSION: Final = "2.96"
HEADERS: Final = {"User-Agent": "vendorsrv", "Accept": "application/json", "Accept-Encoding": "gzip"}
MICROVERSION_HEADER: Final = "X-OpenStack-Nova-API-Version"
#: A URL of the catalogue that names a version.
VERSIONED: Final = re.compile(r"/v\d+(\.\d+)?(/|$)")
#: Bytes of an answer; a server with 128 items of metadata has some 70,000.
MAX_BYTES: Final = 2**20


class FactMissing(FactsRefused):
    """The service does not have what was asked for, or does not show it to this project."""


class Source(NamedTuple):
    """Where a fact is looked up.

    :ivar member: of the answer, which holds the fact; empty when it is the answer itself.
    """

    service: str
    service_type: str
    version: str
    path: str
    member: str = ""


SOURCES: Final = {
    "server": Source("Nova", "compute", "v2.1", "servers", "server"),
    "image": Source("Glance", "image", "v2", "images"),
    "project": Source("Keystone", "identity", "v3", "projects", "project"),
}


class Client:
    """Asks the services that the catalogue of the account's token names.

    :param concurrency: requests at a time.
    :param timeout: seconds for one look-up.
    """

    def __init__(self, account: Account, concurrency: int, timeout: float) -> None:
        self.account = account
        self.slots = asyncio.Semaphore(concurrency)
        self.microversion = MICROVERSION
        self.timeout = timeout
        # An answer is known by its id, so no connection needs to be watched for surplus bytes of the one before.
        self.upstream = Upstream(
            tls_of(account), connect_timeout=timeout, read_timeout=None, max_bytes=MAX_BYTES, silence=0.0
        )

    async def close(self) -> None:
        await self.upstream.close()

    async def get(self, fact: str, identifier: str, project_id: str | None) -> dict[str, Any]:
        """Return what a service knows.

        :param fact: one of :data:`SOURCES`.
        :param project_id: whose token is sent, unless the account has its own scope.
        :raises FactsUnavailable: naming the service.
        :raises TimeoutError: the service did not answer in time.
        """
        source = SOURCES[fact]
        reply = await self.ask(source, f"{source.path}/{quote(identifier, safe='')}", project_id)
        if reply.status == 404:
            raise FactMissing(f"{source.service} does not know the instance's {fact}")
        found = read(source, reply, source.member)
        if not isinstance(found, dict) or found.get("id") != identifier:  # the answer is about something else
            raise unreadable(source.service)
        return found

    async def first(self, fact: str, project_id: str | None) -> str | None:
        """Return the id of one that a service lists; None if it lists none. Otherwise like :meth:`get`."""
        source = SOURCES[fact]
        listed = read(source, await self.ask(source, f"{source.path}?limit=1", project_id), source.path)
        try:
            return str(listed[0]["id"]) if listed else None
        except (LookupError, TypeError):
            raise unreadable(source.service) from None

    async def ask(self, source: Source, path: str, project_id: str | None) -> Reply:
        """Ask with the project's token; with one that is refused, once more with a new one."""
        async with asyncio.timeout(self.timeout):
            access = await self.account.access(project_id)
            reply = await self.send(source, path, access)
            if reply.status == 401:
                access = await self.account.access(project_id, refused=access.auth_token)
                reply = await self.send(source, path, access)
            if reply.status == 406 and self.microversion == MICROVERSION:
                self.microversion = "latest"  # of an older Nova, whose servers have nothing that is not known here
                reply = await self.send(source, path, access)
            return reply

    async def send(self, source: Source, path: str, access: Any) -> Reply:
        endpoint = self.account.endpoint(access, source.service_type)
        if endpoint is None:
            raise FactsUnavailable(f"Keystone's catalogue has no {source.service}")
        base = endpoint.rstrip("/")
        if not VERSIONED.search(base):
            base = f"{base}/{source.version}"
        headers = {**HEADERS, "X-Auth-Token": access.auth_token, MICROVERSION_HEADER: self.microversion}
        try:
            async with self.slots:
                return await self.upstream.request("GET", f"{base}/{path}", headers)
        except (UpstreamFailure, ValueError) as error:
            LOG.warning("%s: %s: %s", source.service, type(error).__name__, without_secrets(error))
            raise FactsUnavailable(f"{source.service} does not answer") from None


def read(source: Source, reply: Reply, member: str) -> Any:
    """Return a member of an answer; the answer itself without one."""
    if reply.status in {401, 403}:
        raise FactsRefused(f"{source.service} refuses vendorsrv's account")
    if reply.status != 200:
        raise FactsUnavailable(f"{source.service} answered with status {reply.status}")
    try:
        answer = json.loads(reply.body)
        return answer[member] if member else answer
    except (ValueError, LookupError, TypeError, RecursionError):
        raise unreadable(source.service) from None


def tls_of(account: Account) -> ssl.SSLContext:
    """Return the TLS context of ``[service_account]``."""
    if not account.insecure:
        return tls_context(account.cafile, *account.certificate)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def unreadable(service: str) -> FactsUnavailable:
    return FactsUnavailable(f"the answer of {service} cannot be read")
