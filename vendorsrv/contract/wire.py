"""Requests of the contract's cases, bounded in time and size, and what Nova would make of each answer."""

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
from vendorsrv.nova.pitfalls import REDIRECTS as FOLLOWED

#: Bytes of an answer that are read; Nova reads all there is.
MOST: Final = 8 * 2**20
AT_ONCE: Final = 65536
#: Characters of what the server said that are shown.
LONG: Final = 160
REDIRECTS: Final = range(300, 400)


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    :ivar words: what is sent, for people; never a token or user-data.
    :ivar token: the value of ``X-Auth-Token``; None for no such header.
    """

    words: str
    url: str
    body: bytes = field(repr=False)
    token: str | None = field(default=None, repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and all that came back.

    :ivar status: of the response, or None when there was none.
    :ivar body: what was read of it, decompressed; may be secret.
    :ivar first: seconds until the response began, or until it was known that there is none.
    :ivar elapsed: seconds for everything.
    :ivar error: what :mod:`requests` raises for Nova, or None.
    :ivar timed_out: the server was silent for longer than Nova waits.
    :ivar cut: where we stopped reading, and Nova would not: after how many bytes or seconds; or nothing.
    :ivar nova: what Nova makes of it; None for a redirect, which it follows, and for what was cut.
    """

    question: Question
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    body: bytes = field(default=b"", repr=False)
    first: float = 0.0
    elapsed: float = 0.0
    error: requests.RequestException | None = field(default=None, repr=False)
    timed_out: bool = False
    cut: str = ""
    nova: Result | None = None

    @property
    def answered(self) -> bool:
        """Whether the server took the request for a good one, and its answer came whole."""
        return self.status is not None and self.status // 100 == 2 and self.error is None and not self.cut

    @property
    def text(self) -> str:
        """What Nova reads the bytes as."""
        return rebuilt(self).text

    @property
    def value(self) -> Any:
        """What Nova puts under the target's name; ``{}`` when it drops the answer."""
        return self.nova.value if self.nova else {}

    @property
    def never_connected(self) -> bool:
        """Whether the request never got as far as the server."""
        if isinstance(self.error, requests.exceptions.SSLError):
            return True
        return self.error is not None and isinstance(next(iter(self.error.args), None), MaxRetryError)

    def shown(self, text: str) -> str:
        """Make what the server said fit to be shown: one line, not long, and without the token if it is in it."""
        token = self.question.token
        return one_line(text.replace(token, "<token>") if token else text)[:LONG]

    def __str__(self) -> str:
        """What came back, without anything of the answer's content."""
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
    """Asks one server, with Nova's headers and without following redirects: a token goes nowhere else.

    :param client: the session whose client certificate is shown, if there is one.
    :raises ConfigError: from whatever asks: the file of a CA or of the certificate is not there.
    """

    def __init__(self, target: Target, limits: Limits, client: Session | None = None) -> None:
        self.target = target
        self.limits = limits
        self.certificate = client.cert if client else None

    def send(self, question: Question) -> Exchange:
        """Ask once, over a connection of its own."""
        return self.row(question, 1)[0]

    def row(self, question: Question, times: int) -> list[Exchange]:
        """Ask several times, one after the other and over one connection, as Nova does for a config drive."""
        with requests.Session() as session:
            return [self.exchange(session, question) for _ in range(times)]

    def burst(self, question: Question, times: int) -> list[Exchange]:
        """Ask several times at once."""
        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(self.send, [question] * times))

    def exchange(self, session: requests.Session, question: Question) -> Exchange:
        started = time.monotonic()
        headers = dict(HEADERS) if question.token is None else {**HEADERS, "X-Auth-Token": question.token}
        url = question.url
        try:
            asked = requests.Request(question.method, url, headers=headers, data=question.body)
            verify = (self.limits.ssl_certfile or True) if url.startswith("https://") else False
            settings = session.merge_environment_settings(url, {}, True, verify, self.certificate)
            timeout = (self.limits.connect_timeout, self.limits.read_timeout)
            # Past the session's own send(), which reads the whole body of a redirect that it does not follow.
            adapter = session.get_adapter(url)
            with adapter.send(session.prepare_request(asked), timeout=timeout, **settings) as response:
                found = self.receive(question, response, started)
        except OSError as error:
            if not isinstance(error, requests.RequestException):  # a file of a CA or a certificate that is not there
                raise ConfigError(f"{one_line(url)} cannot be asked: {one_line(error)}") from None
            spent = time.monotonic() - started
            timed_out = isinstance(error, requests.ReadTimeout)
            found = Exchange(question, first=spent, elapsed=spent, error=error, timed_out=timed_out)
        return replace(found, nova=self.judged(found))

    def receive(self, question: Question, response: requests.Response, started: float) -> Exchange:
        """Read a response to its end, to its first fault, or to what is too much.

        A server that sends a byte now and then could else keep us for ever, as it keeps Nova.
        """
        begun = time.monotonic()
        patience = 2 * self.limits.read_timeout
        body, cut, timed_out, failed = bytearray(), "", False, None
        try:
            while not cut and (chunk := response.raw.read1(AT_ONCE, decode_content=True)):
                body += chunk
                elapsed = time.monotonic() - begun
                cut = f"{MOST} bytes" if len(body) > MOST else f"{elapsed:.1f} s" if elapsed > patience else ""
        except HTTPError as error:
            failed, timed_out = as_requests(error), isinstance(error, ReadTimeoutError)
        return Exchange(
            question,
            response.status_code,
            response.headers,
            bytes(body),
            first=begun - started,
            elapsed=time.monotonic() - started,
            error=failed,
            timed_out=timed_out,
            cut=cut,
        )

    def judged(self, found: Exchange) -> Result | None:
        """Let ``vendorsrv call`` read the recorded answer; what is not final it cannot judge."""
        if found.cut or (found.status in FOLLOWED and "Location" in found.headers):
            return None
        with requests.Session() as session:
            replay = Replay(found)
            session.mount("http://", replay)
            session.mount("https://", replay)
            result = ask(Session(session=session), self.target, {}, self.limits)
        return replace(result, elapsed=found.elapsed)


class Replay(BaseAdapter):
    """Answers with what another request got."""

    def __init__(self, found: Exchange) -> None:
        super().__init__()
        self.found = found

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Give the recorded response, or raise the recorded error."""
        if self.found.error is not None:
            raise self.found.error
        return rebuilt(self.found, request)

    def close(self) -> None:
        """There is nothing to close."""


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
    """Translate as :meth:`requests.Response.iter_content` does, by which Nova reads."""
    if isinstance(error, ReadTimeoutError):
        return requests.ConnectionError(error)
    if isinstance(error, DecodeError):
        return requests.exceptions.ContentDecodingError(error)
    return requests.exceptions.ChunkedEncodingError(error)
