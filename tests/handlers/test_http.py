"""``self.http``: requests of handlers end with their run, and their failures are vendorsrv's errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from oslo_config import cfg

from vendorsrv import Handler, VendordataRequest
from vendorsrv.testing import FakeUpstream, serve
from vendorsrv.testing.misbehaviour import drips, raw
from vendorsrv.testing.upstream import Received, Reply


class Asking(Handler):
    """Asks a service on the event loop."""

    options = (cfg.StrOpt("url", required=True, help="The service."),)

    async def handle(self, request: VendordataRequest) -> Any:
        """Return the service's answer."""
        response = await self.http.get(self.settings.url)
        return {"status": response.status_code, "text": response.text}


class AskingInThread(Asking):
    """Asks it in a thread."""

    def handle(self, request: VendordataRequest) -> Any:
        """Return the service's answer."""
        response = self.http.get(self.settings.url)
        return {"status": response.status_code, "text": response.text}


BOTH = pytest.mark.parametrize("handler", [Asking, AskingInThread], ids=["event loop", "thread"])


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """A service."""
    with FakeUpstream() as running:
        yield running


@BOTH
def test_the_answer_of_a_service(handler: type[Handler], upstream: FakeUpstream) -> None:
    """An answer below 500 is the handler's to read: a coroutine awaits it, and a plain method has it at once."""
    upstream.reply = Reply(b"no such rack", status=404)
    with serve(handler, options={"url": upstream.url}) as server:
        assert {"status": 404, "text": "no such rack"} == server.ask().json


@BOTH
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("refused", 503, "the service that handler asking calls does not answer"),
        ("hangs up", 503, "the service that handler asking calls does not answer"),
        ("cut short", 503, "the service that handler asking calls does not answer"),
        ("retry after", 502, "the service that handler asking calls answered with status 503"),
        ("errors that are strings", 502, "the service that handler asking calls answered with status 500"),
        ("gzip", 502, "the service that handler asking calls sent a compressed answer, which was not requested"),
    ],
)
def test_a_service_that_fails(
    handler: type[Handler], upstream: FakeUpstream, name: str, status: int, message: str
) -> None:
    """What a service fails with is an error whose message names the handler, and neither a host nor a path."""
    with serve(handler, options={"url": upstream.url_of(name)}) as server:
        answer = server.ask()
    assert (status, message) == (answer.status, str(answer.message).replace("asking-in-thread", "asking"))


@BOTH
@pytest.mark.parametrize("name", ["silent", "trickling"])
def test_a_request_ends_with_its_run(handler: type[Handler], upstream: FakeUpstream, name: str) -> None:
    """A service that is silent, or whose answer trickles in, costs what is left of the run's time at most."""
    upstream.routes["/trickling"] = drips(raw(200, "x" * 100), 0.1, times=100)
    with serve(handler, options={"url": f"{upstream.base}/{name}", "timeout": 2}) as server:
        started = time.monotonic()
        answer = server.ask()
        assert 5.0 > time.monotonic() - started
    # On a busy machine the handler's own deadline may be noticed first.
    assert answer.code == "handler_timeout" or str(answer.message).endswith("calls did not answer in time")


class Impatient(Handler):
    """Gives the service half a second."""

    options = (cfg.StrOpt("url", required=True, help="The service."),)

    async def handle(self, request: VendordataRequest) -> Any:
        """Ask it."""
        await self.http.get(self.settings.url, timeout=0.5)


def test_a_shorter_timeout_of_the_handlers(upstream: FakeUpstream) -> None:
    """A request's own timeout holds where it is shorter than the run's time."""
    with serve(Impatient, options={"url": upstream.url_of("silent")}) as server:
        answer = server.ask()
    assert (503, "the service that handler impatient calls did not answer in time") == (answer.status, answer.message)


class Parsing(Asking):
    """Reads the service's JSON."""

    async def handle(self, request: VendordataRequest) -> Any:
        """Return it."""
        response = await self.http.get(self.settings.url)
        return response.raise_for_status().json()


class ParsingInThread(Asking):
    """Reads it in a thread."""

    def handle(self, request: VendordataRequest) -> Any:
        """Return it."""
        return self.http.get(self.settings.url).raise_for_status().json()


@pytest.mark.parametrize("handler", [Parsing, ParsingInThread], ids=["event loop", "thread"])
@pytest.mark.parametrize(
    ("reply", "status", "answer"),
    [
        (Reply(b'{"rack": "b7"}'), 200, {"rack": "b7"}),
        (Reply(b'{"rack": "b7"}', status=403), 502, "parsing calls answered with status 403"),
        (Reply(b"", {"Location": "/elsewhere"}, 302), 502, "parsing calls answered with status 302"),
        (Reply(b"<html>"), 502, "parsing calls did not send JSON"),
        (Reply(b"[" * 100_000), 502, "parsing calls did not send JSON"),
        (Reply(b"\xff"), 502, "parsing calls did not send JSON"),
    ],
)
def test_an_answer_that_the_handler_cannot_use(
    handler: type[Handler], upstream: FakeUpstream, reply: Reply, status: int, answer: object
) -> None:
    """raise_for_status() and json() of an answer raise UpstreamError, so a handler needs one line for both."""
    upstream.reply = reply
    with serve(handler, options={"url": upstream.url}) as server:
        given = server.ask()
    message = f"the service that handler {answer}".replace("parsing", server.handlers[0])
    assert (status, answer if status == 200 else message) == (
        given.status,
        given.json if status == 200 else given.message,
    )


def test_an_answer_over_the_limit_is_refused(upstream: FakeUpstream) -> None:
    """More than 8 MiB are not read."""
    upstream.reply = Reply(b"x" * (8 * 2**20 + 1))
    with serve(Asking, options={"url": upstream.url}) as server:
        answer = server.ask()
    message = "the service that handler asking calls sent more than 8388608 bytes"
    assert (502, message) == (answer.status, answer.message)


@BOTH
def test_redirects_cookies_and_proxies_are_not_followed(
    handler: type[Handler], upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect is the answer, no cookie comes back, and a proxy of the environment is not used."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    upstream.reply = Reply(b"", {"Location": f"{upstream.base}/elsewhere", "Set-Cookie": "a=b"}, 302)
    with serve(handler, options={"url": upstream.url}) as server:
        assert [302, 302] == [server.ask().json["status"] for _ in range(2)]
    assert [None, None] == [each.headers.get("Cookie") for each in upstream.received]


def test_the_log_has_the_host_and_no_query(upstream: FakeUpstream, caplog: pytest.LogCaptureFixture) -> None:
    """A failure is one line with the service's address and the reason; the query may hold a secret."""
    upstream.reply = Reply(b"", status=500)
    with serve(Asking, options={"url": f"{upstream.base}/x?token=secret"}) as server:
        server.ask()
    address = upstream.base.removeprefix("http://")
    assert f"the service that handler asking calls, {address}: it answered with status 500" in caplog.messages
    assert "secret" not in caplog.text


def test_requests_are_counted(upstream: FakeUpstream) -> None:
    """By handler and outcome, with their durations."""
    with serve(Asking, options={"url": upstream.url}) as server:
        server.ask()
        upstream.reply = Reply(b"", status=500)
        server.ask()
        text = server.get("/-/metrics", admin=True).body.decode()
    for outcome, count in {"ok": 1.0, "failed": 1.0, "unavailable": 0.0}.items():
        assert f'vendorsrv_client_requests_total{{handler="asking",outcome="{outcome}"}} {count}' in text
    assert 'vendorsrv_client_request_duration_seconds_count{handler="asking"} 2.0' in text


class Sending(Handler):
    """Sends what it has in a thread."""

    options = (cfg.StrOpt("url", required=True, help="The service."),)

    def handle(self, request: VendordataRequest) -> Any:
        """Send a generator's bytes."""
        pieces = iter([b"a", b"b"])
        return self.http.post(self.settings.url, content=pieces, headers={"Content-Length": "2"}).json()


def test_a_thread_can_send_a_body(upstream: FakeUpstream) -> None:
    """A body that is made piece by piece is sent whole."""

    def echo(received: Received) -> Reply:
        return Reply(b'"' + received.body + b'"')

    upstream.reply = echo
    with serve(Sending, options={"url": upstream.url}) as server:
        assert "ab" == server.ask().json


class AtStart(Handler):
    """Asks a service when the server starts."""

    options = (cfg.StrOpt("url", required=True, help="The service."),)
    found: ClassVar[str]

    async def open(self) -> None:
        """Ask it."""
        AtStart.found = (await self.http.get(self.settings.url)).text

    async def handle(self, request: VendordataRequest) -> Any:
        """Return what it answered, and whether there is time left."""
        return {"found": self.found, "in time": 4.0 >= request.time_left() > 0.0}


def test_a_service_can_be_asked_at_start(upstream: FakeUpstream) -> None:
    """Outside of a run there is no deadline, and httpx's own timeouts hold."""
    upstream.reply = Reply(b"r1")
    with serve(AtStart, options={"url": upstream.url}) as server:
        assert {"found": "r1", "in time": True} == server.ask().json


def test_there_is_no_client_outside_of_a_server() -> None:
    """The error says where there is one; the time of what is no run does not end."""
    with pytest.raises(RuntimeError, match=r"^self\.http is there in a server only; in tests, in vendorsrv\.testing"):
        _ = Asking().http
    assert float("inf") == VendordataRequest("i-1").time_left()


class Own(Handler):
    """Has a client of its own."""

    async def open(self) -> None:
        """Create it."""
        self.http = "mine"

    async def handle(self, request: VendordataRequest) -> Any:
        """Return it."""
        return {"client": self.http}


def test_a_handler_may_have_its_own_client_of_that_name() -> None:
    """Handlers of 0.1.0 may have an attribute of that name."""
    with serve(Own) as server:
        assert {"client": "mine"} == server.ask().json
