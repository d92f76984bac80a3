"""The fake upstream; what Nova and a proxy make of each of its ways is tested in tests/peers/test_table.py."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import httpx
import pytest

from tests.support.waiting import wait_until
from vendorsrv import Proxy
from vendorsrv.testing import NAMES, FakeUpstream, Received, Reply, serve


def test_the_names_are_listed() -> None:
    """NAMES has good and bad answers, redirects, and a port where nobody listens."""
    assert {"object", "cut short", "slow", "307", "circle", "refused"} <= {*NAMES}
    assert len(NAMES) == len({*NAMES})


def test_every_name_has_a_url() -> None:
    """Every name has a URL; an unknown name is a KeyError."""
    with FakeUpstream() as upstream:
        assert len(NAMES) == len({upstream.url_of(name) for name in NAMES})
        with pytest.raises(KeyError, match=r"'cut-short' is not one of object, created, "):
            upstream.url_of("cut-short")


def test_a_proxy_in_front_of_it() -> None:
    """A proxy reaches the fake upstream over a real socket; a reply may depend on the request."""

    def reply(received: Received) -> Reply:
        return Reply(b'{"length": %d}' % len(received.body), {"Cache-Control": "no-store"})

    with FakeUpstream() as upstream:
        sections = {name: {"url": upstream.url_of(name)} for name in ("refused", "html")}
        proxies = {f"proxy:{name}": options for name, options in sections.items()}
        with serve(sections={"proxy:rack": {"url": [upstream.url]}, **proxies}) as server:
            assert {"rack": "r1"} == server.ask("rack").json
            upstream.reply = reply
            assert {"length": 276} == server.ask("rack").json
            assert [502, 502] == [server.ask(name).status for name in ("refused", "html")]
            upstream.stop()
            assert 502 == server.ask("rack").status


def test_a_proxy_of_a_vendor_s_own() -> None:
    """A subclass of the proxy has its options in a handler's section."""

    class Rack(Proxy):
        """The rack's server."""

    with FakeUpstream() as upstream, serve(Rack, options={"url": upstream.url}) as server:
        assert {"rack": "r1"} == server.ask().json


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods(method: str) -> None:
    """The fake upstream also answers other methods than POST, for handlers' own clients."""
    with FakeUpstream() as upstream:
        assert {"rack": "r1"} == httpx.request(method, upstream.url).json()
        assert [method] == [request.method for request in upstream.received]


def test_a_slow_answer_comes_in_the_end() -> None:
    """A slow answer comes after Nova has given up; the end of the test ends the wait."""
    with FakeUpstream() as upstream:
        threading.Timer(0.1, upstream.over.set).start()
        assert {"a": "late"} == httpx.post(upstream.url_of("slow"), timeout=60).json()


def test_silence_ends_with_the_test() -> None:
    """The end of the test ends a silent request: no thread and no client is left waiting."""
    failures = []
    with FakeUpstream() as upstream:
        url = upstream.url_of("silent")

        def ask() -> None:
            with pytest.raises(httpx.TransportError) as failed:
                httpx.post(url, timeout=60)
            failures.append(failed.value)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: upstream.received)
    asking.join(60)
    assert 1 == len(failures)


def test_mistakes_of_a_test_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception in a test's behaviour is printed on standard error; a client that gave up is not."""

    def mistaken(_: Callable[[bytes], object], __: Callable[[float], object]) -> None:
        raise LookupError("the test's own")

    with FakeUpstream() as upstream:
        upstream.routes["/mistaken"] = mistaken
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{upstream.base}/mistaken")
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(upstream.url_of("stuck in the body"), timeout=httpx.Timeout(60, read=0.1))
    shown = capfd.readouterr().err
    assert ["LookupError: the test's own"] == re.findall(r"^\w+Error: .*", shown, re.MULTILINE)
