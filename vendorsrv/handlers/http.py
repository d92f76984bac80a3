"""The HTTP clients of a handler: a request ends with the run that makes it, and its failures are vendorsrv's errors."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from vendorsrv.errors import ServiceUnavailable, UpstreamError
from vendorsrv.request import DEADLINE, STILL_OURS
from vendorsrv.telemetry.metrics import Operation
from vendorsrv.telemetry.tracebacks import without_secrets

LOG = logging.getLogger(__name__)

#: Seconds by which a request ends before the run, so that the handler's error is that of the service.
MARGIN: Final = 0.05
#: Seconds for each step of a request where there is no run, such as in ``open()``.
TIMEOUT: Final = 10.0
#: Bytes of an answer. It is not compressed, so that this is its size in memory as well.
MAX_BYTES: Final = 8 * 2**20


class Answer(httpx.Response):
    """An answer that is read already; what its handler cannot use raises UpstreamError, and no error of httpx's.

    :param refuse: logs why the service's answer cannot be used, and returns the error.
    """

    def __init__(self, response: httpx.Response, content: bytes, refuse: Callable[[str], UpstreamError]) -> None:
        super().__init__(response.status_code, headers=response.headers, stream=httpx.ByteStream(content))
        self.refuse = refuse

    def raise_for_status(self) -> Answer:
        """Return the answer itself.

        :raises UpstreamError: its status is not 2xx.
        """
        if not self.is_success:
            raise self.refuse(f"answered with status {self.status_code}")
        return self

    def json(self, **options: Any) -> Any:
        """Return the answer's JSON.

        :raises UpstreamError: it is not JSON.
        """
        try:
            return super().json(**options)
        except (ValueError, RecursionError):
            raise self.refuse("did not send JSON") from None


class Exchange(httpx.AsyncBaseTransport):
    """Sends the requests of one handler, and reads their answers whole.

    :param handler: its name, for messages.
    :param requests: their metrics.
    """

    def __init__(self, handler: str, requests: Operation) -> None:
        self.service = f"the service that handler {handler} calls"
        self.requests = requests
        self.transport = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(), trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer.

        :raises ServiceUnavailable: there is none in time.
        :raises UpstreamError: its status is 5xx, or it is larger than :data:`MAX_BYTES`.
        :raises PinsUnavailable: the run has lost its claim of the instance; nothing is sent.
        """
        STILL_OURS.get()()
        deadline = DEADLINE.get() - MARGIN
        with self.requests.measure():
            try:
                async with asyncio.timeout(None if math.isinf(deadline) else deadline - time.monotonic()):
                    return await self.exchange(request)
            except (httpx.TimeoutException, TimeoutError) as error:
                raise ServiceUnavailable(self.failed(request, error, "did not answer in time")) from None
            except httpx.TransportError as error:
                raise ServiceUnavailable(self.failed(request, error, "does not answer")) from None

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        response = await self.transport.handle_async_request(request)
        content = bytearray()
        try:
            if response.headers.get("Content-Encoding", "identity") != "identity":  # it may become 1,000 times as large
                raise UpstreamError(self.failed(request, None, "sent a compressed answer, which was not requested"))
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > MAX_BYTES:
                    raise UpstreamError(self.failed(request, None, f"sent more than {MAX_BYTES} bytes"))
        finally:
            await response.aclose()
        answer = Answer(response, bytes(content), lambda what: UpstreamError(self.failed(request, None, what)))
        return answer.raise_for_status() if response.is_server_error else answer

    def failed(self, request: httpx.Request, error: Exception | None, what: str) -> str:
        reason = f" ({type(error).__name__}: {without_secrets(error)})" if error else ""
        LOG.warning("%s, %s: it %s%s", self.service, request.url.netloc.decode(), what, reason)
        return f"{self.service} {what}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()


class InThread(httpx.BaseTransport):
    """Sends the requests of threads from the event loop, where a deadline can end them.

    :param loop: it.
    """

    def __init__(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self.exchange = exchange
        self.loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer; raise as :meth:`Exchange.handle_async_request` does."""
        STILL_OURS.get()()
        request.read()
        answer = self.exchange.handle_async_request(request)
        return asyncio.run_coroutine_threadsafe(answer, self.loop).result()


class Http:
    """Both clients of a handler.

    They follow no redirects, keep no cookies, and use no proxies of the environment.
    """

    def __init__(self, handler: str, requests: Operation, loop: asyncio.AbstractEventLoop) -> None:
        exchange = Exchange(handler, requests)
        options: dict[str, Any] = {
            "headers": {"User-Agent": "vendorsrv", "Accept-Encoding": "identity"},
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            "timeout": TIMEOUT,
            "trust_env": False,
        }
        self.on_loop = httpx.AsyncClient(transport=exchange, **options)
        self.in_thread = httpx.Client(transport=InThread(exchange, loop), **options)

    async def close(self) -> None:
        """Close the connections."""
        await self.on_loop.aclose()
