"""Send the contract's requests, bounded in time and size, and record what Nova makes of each answer."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import requests
from keystoneauth1.session import Session
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import DecodeError, HTTPError, MaxRetryError, ReadTimeoutError

from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import HEADERS, Limits, Result, Target, ask
from vendorsrv.nova.credentials import one_line
from vendorsrv.nova.pitfalls import FOLLOWED

#: Bytes of an answer that are read; Nova reads without a limit.
MAX_BYTES: Final = 8 * 2**20
CHUNK: Final = 65536
#: Characters of the server's own text that are shown.
MAX_SHOWN: Final = 160


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    :ivar description: for people; it contains neither a token nor user-data.
    :ivar token: the value of ``X-Auth-Token``; None to send no such header.
    """

    description: str
    url: str
    body: bytes = field(repr=False)
    token: str | None = field(default=None, repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response.

    :ivar status: the response's status, or None without a response.
    :ivar body: what was read of the body, decompressed; may be secret.
    :ivar elapsed: seconds for the whole exchange.
    :ivar error: what :mod:`requests` raises for Nova, or None.
    :ivar timed_out: whether the server was silent for longer than Nova waits.
    :ivar cut: the bytes or seconds after which reading stopped, where Nova would read on; or empty.
    :ivar nova: what Nova makes of the answer; None for a redirect, which Nova follows, and for a cut answer.
    """

    request: Request
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    body: bytes = field(default=b"", repr=False)
    elapsed: float = 0.0
    error: requests.RequestException | None = field(default=None, repr=False)
    timed_out: bool = False
    cut: str = ""
    nova: Result | None = None

    @property
    def accepted(self) -> bool:
        """Whether the status is 2xx."""
        return self.status is not None and self.status // 100 == 2

    @property
    def answered(self) -> bool:
        """Whether the server accepted the request and its answer was complete."""
        return self.accepted and self.error is None and not self.cut

    @property
    def text(self) -> str:
        """The body as Nova decodes it."""
        return rebuilt(self).text

    @property
    def value(self) -> Any:
        """What Nova stores under the target's name; ``{}`` when it drops the answer."""
        return self.nova.value if self.nova else {}

    @property
    def never_connected(self) -> bool:
        """Whether no connection to the server could be made."""
        if isinstance(self.error, requests.exceptions.SSLError):
            return True
        return self.error is not None and isinstance(next(iter(self.error.args), None), MaxRetryError)

    def shown(self, text: str) -> str:
        """Return text of the server as one short line, in which the token is replaced."""
        token = self.request.token
        return one_line(text.replace(token, "<token>") if token else text)[:MAX_SHOWN]

    def __str__(self) -> str:
        """Describe the response without its content."""
        dropped = self.nova.dropped if self.nova else None
        if self.status is None:
            return f"no answer: {dropped}, {self.elapsed:.2f} s"
        broken = f"then {dropped}" if self.error else f"cut after {self.cut}" if self.cut else ""
        parts = (
            f"status {self.status}",
            self.shown(self.headers.get("Content-Type", "no content type")),
            f"{len(self.body)} bytes",
            f"{self.elapsed:.2f} s",
            broken,
        )
        return ", ".join(part for part in parts if part)


class Wire:
    """Sends requests to one server, with Nova's headers. It follows no redirect, so the token goes nowhere else.

    :param client: a session with the client certificate to use, or None.
    :raises ConfigError: from each method that sends: the file of a CA or a certificate does not exist.
    """

    def __init__(self, target: Target, limits: Limits, client: Session | None = None) -> None:
        self.target = target
        self.limits = limits
        self.certificate = client.cert if client else None

    def send(self, request: Request) -> Exchange:
        """Send a request once, over a new connection."""
        return self.sequence(request, 1)[0]

    def sequence(self, request: Request, times: int) -> list[Exchange]:
        """Send a request several times in sequence over one connection, as Nova does for a config drive."""
        with requests.Session() as session:
            return [self.exchange(session, request) for _ in range(times)]

    def burst(self, request: Request, times: int) -> list[Exchange]:
        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(self.send, [request] * times))

    def exchange(self, session: requests.Session, request: Request) -> Exchange:
        started = time.monotonic()
        headers = dict(HEADERS) if request.token is None else {**HEADERS, "X-Auth-Token": request.token}
        url = request.url
        try:
            unprepared = requests.Request(request.method, url, headers=headers, data=request.body)
            verify = (self.limits.ssl_certfile or True) if url.startswith("https://") else False
            settings = session.merge_environment_settings(url, {}, True, verify, self.certificate)
            timeout = (self.limits.connect_timeout, self.limits.read_timeout)
            # Not the session's own send(): it reads the whole body of a redirect that it does not follow.
            adapter = session.get_adapter(url)
            with adapter.send(session.prepare_request(unprepared), timeout=timeout, **settings) as response:
                found = self.receive(request, response, started)
        except OSError as error:
            if not isinstance(error, requests.RequestException):  # the file of a CA or a certificate does not exist
                raise ConfigError(f"{one_line(url)} cannot be called: {one_line(error)}") from None
            timed_out = isinstance(error, requests.ReadTimeout)
            found = Exchange(request, elapsed=time.monotonic() - started, error=error, timed_out=timed_out)
        return replace(found, nova=self.judged(found))

    def receive(self, request: Request, response: requests.Response, started: float) -> Exchange:
        """Read a response to its end, its first fault, or the limit of bytes or time.

        Without the limit of time, a server that sends a byte now and then would block the run, as it blocks Nova.
        """
        begun = time.monotonic()
        patience = 2 * self.limits.read_timeout
        body, cut, timed_out, failed = bytearray(), "", False, None
        try:
            while not cut and (chunk := response.raw.read1(CHUNK, decode_content=True)):
                body += chunk
                elapsed = time.monotonic() - begun
                if len(body) > MAX_BYTES:
                    cut = f"{MAX_BYTES} bytes"
                elif elapsed > patience:
                    cut = f"{elapsed:.1f} s"
        except HTTPError as error:
            failed, timed_out = as_requests(error), isinstance(error, ReadTimeoutError)
        elapsed = time.monotonic() - started
        return Exchange(request, response.status_code, response.headers, bytes(body), elapsed, failed, timed_out, cut)

    def judged(self, found: Exchange) -> Result | None:
        """Return what ``vendorsrv call`` makes of the recorded answer, or None if that is not final."""
        if found.cut or (found.status in FOLLOWED and "Location" in found.headers):
            return None
        with requests.Session() as session:
            replay = Replay(found)
            session.mount("http://", replay)
            session.mount("https://", replay)
            result = ask(Session(session=session), self.target, {}, self.limits)
        return replace(result, elapsed=found.elapsed)


class Replay(BaseAdapter):
    """Answers every request with a recorded exchange."""

    def __init__(self, found: Exchange) -> None:
        super().__init__()
        self.found = found

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Return the recorded response, or raise the recorded error."""
        if self.found.error is not None:
            raise self.found.error
        return rebuilt(self.found, request)

    def close(self) -> None:
        """Do nothing: there is no connection."""


def rebuilt(found: Exchange, request: requests.PreparedRequest | None = None) -> requests.Response:
    response = requests.Response()
    response.status_code = found.status or 0
    response.headers = CaseInsensitiveDict(found.headers)
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response.raw = io.BytesIO(found.body)
    if request is not None:
        response.request, response.url = request, request.url or ""
    return response


def as_requests(error: HTTPError) -> requests.RequestException:
    """Translate an error as :meth:`requests.Response.iter_content` does, with which Nova reads."""
    if isinstance(error, ReadTimeoutError):
        return requests.ConnectionError(error)
    if isinstance(error, DecodeError):
        return requests.exceptions.ContentDecodingError(error)
    return requests.exceptions.ChunkedEncodingError(error)
