"""The handler that returns the answer of another vendordata server."""

from __future__ import annotations

import asyncio
import base64
import codecs
import hashlib
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from oslo_config import cfg

from vendorsrv.answer import HandlerAnswer, UnusableAnswer
from vendorsrv.auth.service import ServiceToken, service_session
from vendorsrv.declarations import NAME, RESERVED
from vendorsrv.errors import HandlerTimeout, UpstreamError, UpstreamRefused, VendordataError
from vendorsrv.handler import Handler
from vendorsrv.proxy.client import CannotConnect, Upstream
from vendorsrv.proxy.connection import Reply, TooLarge, UpstreamFailure
from vendorsrv.proxy.options import PROXY_OPTIONS, tls_context
from vendorsrv.request import DEADLINE, VendordataRequest
from vendorsrv.strictjson import MAX_VALUES, StrictJSONError, parse
from vendorsrv.telemetry.metrics import Metrics
from vendorsrv.telemetry.tracebacks import without_secrets

LOG = logging.getLogger(__name__)

PREFIX: Final = "proxy:"
#: What Nova sends with each call besides its token (``DynamicVendorData._do_request``, and requests itself).
HEADERS: Final = {
    "User-Agent": "openstack-nova-vendordata",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
}
#: Seconds by which waiting ends before the handler's deadline, so that the error names the upstream.
MARGIN: Final = 0.05
#: Seconds for which a server that failed counts as unavailable, and is tried last.
UNAVAILABLE_FOR: Final = 10.0
#: 4xx that are failures of the server rather than refusals.
NOT_NOW: Final = {408, 425, 429}
#: Charsets that are decoded. Nova decodes all that Python knows, some of which take a minute for a megabyte.
CHARSETS: Final = {"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16", "utf-16-le", "utf-16-be"}
#: A directive of Cache-Control: its name, and its value with or without quotes.
DIRECTIVE: Final = re.compile(r"""([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""", re.ASCII)


@dataclass(slots=True)
class UpstreamServer:
    """One of a proxy's URLs.

    :ivar number: its place in the configuration, from 0.
    :ivar unavailable_until: on the monotonic clock.
    """

    number: int
    url: str
    unavailable_until: float = float("-inf")


class Proxy(Handler):
    """Return the answer of another vendordata server.

    A section ``[proxy:<name>]`` with a ``url`` enables one without code. A subclass is enabled as any other handler,
    with the same options in its own section.
    """

    options: ClassVar[Any] = PROXY_OPTIONS

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.servers = [UpstreamServer(number, url) for number, url in enumerate(settings.url)]
        self.per_caller = settings.auth == "relay"
        self.version = hashlib.sha256("\n".join(settings.url).encode()).hexdigest()
        self.account: ServiceToken | None = None
        self.max_answer_bytes = 0
        self.measure(Metrics())

    def configure(self, conf: cfg.ConfigOpts, max_answer_bytes: int) -> None:
        """Read what is not in the proxy's own options; called once, after it was built."""
        self.max_answer_bytes = max_answer_bytes
        if self.settings.auth == "service":
            self.account = ServiceToken(service_session(conf, self.section), f"upstream {self.name}")

    def measure(self, metrics: Metrics) -> None:
        """Count the requests to each URL there from now on."""
        self.requests = [metrics.upstream_requests(self.name, server.number) for server in self.servers]

    async def open(self) -> None:
        """Create the pool of connections, without opening one."""
        self.upstream = Upstream(
            tls_context(self.settings.cafile, self.settings.certfile, self.settings.keyfile),
            connect_timeout=self.settings.connect_timeout,
            read_timeout=self.settings.read_timeout,
            max_bytes=self.max_answer_bytes,
        )

    async def close(self) -> None:
        await self.upstream.close()

    def state(self) -> Mapping[str, Any]:
        """Return the state of each URL, in the order of the configuration."""
        now = time.monotonic()
        return {"urls": ["unavailable" if now < server.unavailable_until else "ok" for server in self.servers]}

    async def handle(self, request: VendordataRequest) -> HandlerAnswer:
        """Try the servers in their order, unavailable ones last, until one answers.

        :raises UpstreamError: none returned an answer that Nova could use.
        :raises UpstreamRefused: one refused the request.
        :raises HandlerTimeout: the last one was too slow.
        :raises KeystoneUnavailable: there is no token for our own account.
        """
        deadline = DEADLINE.get() - MARGIN
        now = time.monotonic()
        servers = sorted(self.servers, key=lambda server: max(server.unavailable_until, now))
        for left, server in zip(range(len(servers), 0, -1), servers, strict=True):
            try:
                with self.requests[server.number].measure():
                    return await self.ask(server, request, (deadline - time.monotonic()) / left)
            except UpstreamRefused:
                raise
            except (UpstreamError, HandlerTimeout) as error:
                server.unavailable_until = time.monotonic() + UNAVAILABLE_FOR
                failure = error
        raise failure

    async def ask(self, server: UpstreamServer, request: VendordataRequest, seconds: float) -> HandlerAnswer:
        """Return the answer of one server, checked."""
        try:
            async with asyncio.timeout(seconds):
                reply = await self.send(server, request)
        except (UpstreamFailure, TimeoutError) as failure:
            reason = str(failure) or f"no answer in {seconds:.1f} s"
            LOG.warning("upstream %s: %s: %s", self.name, without_secrets(server.url), without_secrets(reason))
            raise self.failed(failure) from None
        if not 200 <= reply.status < 300:
            LOG.warning("upstream %s: %s: status %d", self.name, without_secrets(server.url), reply.status)
            refused = 400 <= reply.status < 500 and reply.status not in NOT_NOW
            error = UpstreamRefused if refused else UpstreamError
            raise error(f"upstream {self.name} answered with status {reply.status}")
        return HandlerAnswer(self.read(reply), *read_cache_control(reply.headers.get("cache-control", "")))

    async def send(self, server: UpstreamServer, request: VendordataRequest) -> Reply:
        """Send the request; with a token of our own that is refused, once more with a new one."""
        headers = {**HEADERS, "X-Openstack-Request-Id": request.request_id, **self.credentials(request)}
        if self.account is None:
            return await self.upstream.post(server.url, headers, request.body)
        token = await self.account.get()
        reply = await self.upstream.post(server.url, {**headers, "X-Auth-Token": token}, request.body)
        if reply.status != 401:
            return reply
        token = await self.account.get(refused=token)
        return await self.upstream.post(server.url, {**headers, "X-Auth-Token": token}, request.body)

    def credentials(self, request: VendordataRequest) -> dict[str, str]:
        """Return the headers that need no account of our own."""
        if self.settings.auth == "relay" and request.token:
            return {"X-Auth-Token": request.token}
        if self.settings.auth == "basic":
            account = f"{self.settings.basic_username}:{self.settings.basic_password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(account).decode()}"}
        return {}

    def failed(self, failure: Exception) -> VendordataError:
        """Return the error for a request that got no answer."""
        match failure:
            case TimeoutError():
                return HandlerTimeout(f"upstream {self.name} gave no answer in time")
            case CannotConnect():
                return UpstreamError(f"upstream {self.name} cannot be reached")
            case TooLarge():
                return UnusableAnswer(f"upstream {self.name} answered with more than {self.max_answer_bytes} bytes")
        return UpstreamError(f"upstream {self.name} sent an incomplete or broken response")

    def read(self, reply: Reply) -> bytes:
        """Return the body as UTF-8 JSON, unchanged if it is that already; ``{}`` for an empty one."""
        body = reply.body
        if reply.status == 204 or not body:
            return b"{}"
        try:
            charset = charset_of(reply.headers.get("content-type", ""))
            if charset != "utf-8":
                body = body.decode(charset).encode()
            parse(body, MAX_VALUES)
        except (LookupError, UnicodeError):
            raise UnusableAnswer(f"upstream {self.name} answered with text that cannot be decoded") from None
        except StrictJSONError as error:
            raise UnusableAnswer(f"the answer of upstream {self.name} {error}") from None
        return body


def charset_of(content_type: str) -> str:
    """Return the charset that requests, and so Nova, decodes with; UTF-8 where requests would guess.

    :raises LookupError: the charset is unknown or not allowed.
    """
    media_type, *parameters = (part.strip() for part in content_type.split(";"))
    pairs = (each.partition("=") for each in parameters)
    named = [value.strip("\"' ") for name, _, value in pairs if name.strip().lower() == "charset"]
    # Latin-1 for text without a charset: RFC 2616, 3.7.1, which is obsolete, but requests follows it.
    name = named[-1] if named else "iso-8859-1" if "text" in media_type else "utf-8"
    found = codecs.lookup(name).name
    if found not in CHARSETS:
        raise LookupError(found)
    return found


def read_cache_control(value: str) -> tuple[bool, float | None]:
    """Read the value of ``Cache-Control`` (RFC 9111, 5.2.2); of a directive that is repeated, the first counts (4.2.1).

    :returns: whether the answer may be stored, and its ``max-age`` in seconds: None without one, and 0 when it cannot
        be read. ``no-cache`` forbids storing too: the answer would have to be revalidated, and has no validator.
    """
    directives: dict[str, str] = {}
    for match in DIRECTIVE.finditer(value):
        directives.setdefault(match[1].lower(), match[2] or match[3] or "")
    may_store = not {"no-store", "no-cache"} & directives.keys()
    if "max-age" not in directives:
        return may_store, None
    seconds = directives["max-age"]
    # Larger numbers count as 2**31 (RFC 9111, 1.2.2).
    return may_store, float(min(int(seconds[:10]), 2**31)) if re.fullmatch("[0-9]+", seconds) else 0.0


def find_proxies(conf: cfg.ConfigOpts) -> tuple[list[type[Proxy]], list[str]]:
    """Return a class for each section ``[proxy:<name>]``, by name, and a sentence for each that cannot be one."""
    sections = conf.list_all_sections()
    names = sorted({section[len(PREFIX) :] for section in sections if section.lower().startswith(PREFIX)})
    good = [name for name in names if NAME.fullmatch(name) and name not in RESERVED]
    rule = "the name must be a URL segment of lower-case letters, digits, - and _, and not reserved"
    problems = [f"[{PREFIX}{name}]: {rule}" for name in names if name not in good]
    same = {"__doc__": Proxy.__doc__, "__module__": __name__}
    return [type("Proxy", (Proxy,), {"name": name, "section": PREFIX + name, **same}) for name in good], problems
