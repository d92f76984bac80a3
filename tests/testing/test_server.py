"""A server without a socket: it is the real one, and asked as Nova asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from oslo_config import cfg

from tests.support.waiting import wait_until
from vendorsrv import BadRequest, CloudConfig, ConfigError, Handler, VendordataRequest
from vendorsrv.testing import FakeKeystone, ManualClock, Server, nova_body, serve


class Site(Handler):
    """Tells an instance where it is, and counts."""

    options = (cfg.StrOpt("site", required=True, help="The site."), cfg.MultiStrOpt("hosts", help="Its hosts."))
    routes: ClassVar[dict[str, str]] = {"about.json": "about"}

    async def open(self) -> None:
        """Begin to count."""
        self.runs = 0

    async def handle(self, request: VendordataRequest) -> dict[str, object]:
        """Return what was set and what was sent."""
        self.runs += 1
        return {"site": self.settings.site, "hosts": self.settings.hosts, "hostname": request.hostname}

    async def about(self) -> int:
        """Return how often it ran."""
        return self.runs


class Kept(Handler):
    """Counts its runs, of which a minute has one."""

    cache_for = 60.0
    runs = 0

    def handle(self, request: VendordataRequest) -> int:
        """Count."""
        self.runs += 1
        return self.runs


class Pinned(Handler):
    """Gives an instance the roles of its first call for ever."""

    pin = True

    async def handle(self, request: VendordataRequest) -> list[str]:
        """Return the roles."""
        return list(request.boot_roles)

    async def cloud_init(self, request: VendordataRequest) -> list[CloudConfig]:
        """Return a time zone."""
        return [CloudConfig({"timezone": "UTC"})]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of one handler."""
    with serve(Site, options={"site": "a$b", "hosts": ["one\nmore", "two"]}) as running:
        yield running


def test_an_answer(server: Server) -> None:
    """The only handler need not be named; its options have the values that the test set."""
    answer = server.ask(hostname="web-7")
    assert (200, {"site": "a$b", "hosts": ["one\nmore", "two"], "hostname": "web-7"}) == (answer.status, answer.json)
    assert (None, None) == (answer.code, answer.message)
    assert "application/json" == answer.headers["content-type"]
    assert answer.request_id.startswith("req-")


def test_an_error(server: Server) -> None:
    """An error has a code and a message."""
    answer = server.ask(body=b"[]")
    assert (400, "bad_request", "the body must be an object") == (answer.status, answer.code, answer.message)


def test_all_handlers_at_once(server: Server) -> None:
    """The path ``/`` answers with all handlers."""
    assert ["site"] == list(server.ask("/").json)


def test_nova_s_headers_can_be_replaced(server: Server) -> None:
    """A test can replace Nova's headers; the server is as strict as with Nova."""
    assert 415 == server.ask(headers={"Content-Type": "text/plain"}).status


def test_a_call_without_a_token(server: Server) -> None:
    """A request without a token is 401."""
    answer = server.ask(token="")
    assert (401, 'Keystone uri="https://keystone.example.org:5000/v3"') == (
        answer.status,
        answer.headers["www-authenticate"],
    )


def test_a_tenant_s_token(server: Server) -> None:
    """A tenant's token is refused by the real policy."""
    assert 403 == server.ask(token=server.keystone.issue("member", "reader", project="demo")).status


def test_a_public_route(server: Server) -> None:
    """A public route needs no token."""
    assert isinstance(server.get("/site/about.json").json, int)


def test_readiness(server: Server) -> None:
    """The server's own routes exist."""
    assert (200, "reachable") == ((ready := server.get("/-/ready")).status, ready.json["keystone"])


def test_a_config_drive_asks_six_times() -> None:
    """A config drive makes six requests, one after the other, with the same token."""
    with serve(Kept) as server:
        assert [1] * 6 == [answer.json for answer in server.config_drive(hostname="web-1")]


def test_calls_at_once() -> None:
    """Concurrent equal requests share one run, as in any server."""
    with serve(Kept) as server:
        answers = server.ask_at_once([nova_body()] * 5)
        assert [(200, 1)] * 5 == [(answer.status, answer.json) for answer in answers]


def test_the_clock_is_the_test_s() -> None:
    """An answer cached for a minute is made again when the test advances its clock by a minute."""
    clock = ManualClock()
    with serve(Kept, clock=clock) as server:
        assert 1 == server.ask().json
        clock.advance(59)
        assert 1 == server.ask().json
        clock.advance(2)
        assert 2 == server.ask().json


def test_pins_outlive_a_server(tmp_path: Path) -> None:
    """In the same directory the next server finds the pins, as after a restart; elsewhere it does not."""
    with serve(Pinned, directory=tmp_path) as server:
        assert ["member"] == server.ask(boot_roles="member").json
    with serve(Pinned, directory=tmp_path) as server:
        assert ["member"] == server.ask(boot_roles="").json
    with serve(Pinned) as server:
        assert [] == server.ask(boot_roles="").json


def test_two_servers_on_one_store(tmp_path: Path) -> None:
    """Of two servers on one store, one runs the handler and the other waits for its answer."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Handler):
        pin = True

        def handle(self, request: VendordataRequest) -> str:
            begun.set()
            return "made" if go_on.wait(60) else "never"

    with serve(Slow, directory=tmp_path) as one, serve(Slow, directory=tmp_path) as other:
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(one.ask)]
            wait_until(begun.is_set)
            asked.append(pool.submit(other.ask))
            wait_until(lambda: b"\nvendorsrv_pin_waits_total 1.0\n" in other.get("/-/metrics", admin=True).body)
            go_on.set()
        assert ["made", "made"] == [each.result().json for each in asked]


def test_cloud_init() -> None:
    """The target cloud-init joins the handlers' parts."""
    with serve(Pinned) as server:
        assert "timezone: UTC" in server.ask("/cloud-init").json


def test_a_url_for_http_clients(server: Server) -> None:
    """The server is also served at a URL, for clients that use HTTP."""
    headers = {"X-Auth-Token": server.token, "Content-Type": "application/json"}
    response = httpx.post(f"{server.url}/site", content=nova_body(hostname="web-9"), headers=headers)
    assert (200, "web-9") == (response.status_code, response.json()["hostname"])
    assert server.ask(hostname="web-9").body == response.content


def test_a_url_ends_with_its_server() -> None:
    """A URL that no client has used is closed with its server, however early that ends."""
    with serve(Kept) as server:
        server.portal.start_task_soon(time.sleep, 0.2)  # uvicorn begins when it has to stop already
        url = server.url
    with pytest.raises(httpx.ConnectError):
        httpx.post(url)


def test_several_handlers() -> None:
    """Several handlers are called by name, and each has its section."""
    site = {"site": "ams1", "timeout": None}
    with serve(Site, Kept, sections={"handler:site": site, "vendorsrv": {"max_body_bytes": 2000}}) as server:
        assert ["site", "kept"] == server.handlers
        assert ("ams1", 1) == (server.ask("site").json["site"], server.ask("/kept").json)
        assert 413 == server.ask("kept", body=nova_body("largest")).status
        with pytest.raises(ValueError, match=r"^which handler\? there are: site, kept$"):
            server.ask()


def test_options_are_for_one_handler() -> None:
    """``options`` with several handlers is a ValueError."""
    with (
        pytest.raises(ValueError, match=r"^options are for one handler; with several, give sections="),
        serve(Site, Kept, options={"site": "ams1"}),
    ):
        pass


def test_a_handler_by_its_name() -> None:
    """A handler may be given by the name of its entry point, or as ``module:Class``."""
    with serve("mailserver", options={"domain": "example.org"}) as server:
        assert "web-1.example.org" == server.ask(boot_roles="mail-admin").json["hostname"]


def test_a_class_of_a_function() -> None:
    """Classes may be defined in a function, and two may have the same name."""

    def define(word: str) -> type[Handler]:
        class Word(Handler):
            """Says a word."""

            name = word

            async def handle(self, request: VendordataRequest) -> str:
                if request.hostname == "bad":
                    raise BadRequest("no such host")
                return word

        return Word

    with serve(define("one"), define("two")) as server:
        assert ("one", "two") == (server.ask("one").json, server.ask("two").json)
        assert "no such host" == server.ask("one", hostname="bad").message


class Closed(Handler):
    """Cannot be opened."""

    async def open(self) -> None:
        """Fail."""
        raise ConfigError("the licence has expired")

    async def handle(self, request: VendordataRequest) -> None:
        """Return nothing."""


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (lambda: serve(Site), r"^\[handler:site\] site: required"),
        (lambda: serve("nosuch", options={"a": 1}), r"^handler nosuch: no installed package provides it"),
        (lambda: serve(Closed), r"^handler closed: open\(\): the licence has expired$"),
    ],
)
def test_what_stops_a_start_stops_this_one(start: Callable[[], AbstractContextManager[Server]], message: str) -> None:
    """What stops a real start raises ConfigError with the same message, and leaves nothing behind."""
    with FakeKeystone() as keystone:
        before = threading.active_count()
        with pytest.raises(ConfigError, match=message), start():
            pass
        wait_until(lambda: threading.active_count() <= before)
        assert [keystone] == FakeKeystone.active[-1:]


def test_a_test_s_own_failure_is_raised() -> None:
    """A failure of the test itself is raised after the server has stopped."""
    with pytest.raises(AssertionError, match=r"^the test's own$"), serve(Kept):
        raise AssertionError("the test's own")


@pytest.mark.parametrize("peer", ["192.0.2.7", ""])
def test_a_handler_sees_the_peer(peer: str) -> None:
    """A handler sees the address that a test gives to a request, also an unknown one."""

    class Telling(Handler):
        def handle(self, request: VendordataRequest) -> str:
            """Return where the request came from."""
            return request.peer

    with serve(Telling) as server:
        assert peer == server.ask(peer=peer).json
