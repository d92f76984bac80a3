"""A proxy passes on what Nova sent, and the answer; it goes where the operator says, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.serving import BODY, INSTANCE
from tests.support.upstreams import Endpoint, Other, proxy, proxying
from tests.support.waiting import wait_until
from vendorsrv.testing.upstream import Reply


@pytest.fixture
def other() -> Iterator[Other]:
    """Another vendordata server."""
    with Other() as other:
        yield other


@pytest.fixture
def second() -> Iterator[Other]:
    """One more."""
    with Other() as second:
        second.reply = Reply(b'{"rack": "r2"}')
        yield second


@pytest.fixture
def front(tmp_path: Path, other: Other) -> Iterator[Endpoint]:
    """Our server with the proxy ``rack``."""
    with proxying(tmp_path, proxy(url=other.url)) as front:
        yield front


def test_the_upstream_s_answer_is_returned_unchanged(front: Endpoint) -> None:
    """The answer is returned byte for byte."""
    assert (200, b'{"rack": "r1"}') == (front.ask().status_code, front.ask().content)


def test_the_body_is_sent_on_unchanged(front: Endpoint, other: Other) -> None:
    """The upstream gets the body that Nova sent byte for byte, with unknown members and spacing."""
    body = b'{ "instance-id":"%s",\n "new-in-nova": {"a": [1.0, 1e2]} }' % INSTANCE.encode()
    front.ask(body=body)
    assert body == other.received[0].body


def test_the_upstream_gets_nova_s_headers_and_our_request_id(front: Endpoint, other: Other) -> None:
    """No other header of the caller is sent on."""
    sent = {"Content-Type": "application/json", "X-Secret": "1", "Host": "evil.example", "Cookie": "a=b"}
    response = front.ask(headers=sent)
    assert {
        "host": f"127.0.0.1:{other.port}",
        "user-agent": "openstack-nova-vendordata",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "connection": "keep-alive",
        "x-openstack-request-id": response.headers["X-Openstack-Request-Id"],
    } == {name.lower(): value for name, value in other.received[0].headers.items()}


def test_the_path_and_query_are_the_configured_ones(front: Endpoint, other: Other) -> None:
    """Nothing in a request changes the path or the query of the upstream's URL."""
    front.server.ask("/rack?site=elsewhere", front.token)
    assert ["/rack?site=ams1"] == [request.path for request in other.received]


def test_connections_are_reused(front: Endpoint, other: Other) -> None:
    """A request takes the connection of an earlier one, once that has been silent for a moment."""

    def reused() -> bool:
        front.ask()
        return len(other.received) > other.connections

    wait_until(reused)


def test_an_answer_never_reaches_another_instance(front: Endpoint, other: Other) -> None:
    """An answer with another one behind it is answered 502, and the next instance gets its own."""
    surplus = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"evil"'
    another = BODY.replace(INSTANCE.encode(), b"11111111-2222-4333-8444-555555555555")
    for _ in range(3):
        other.reply = Reply(b'{"rack": "r1"}' + surplus, {"Content-Length": "14"})
        assert (502, "upstream rack sent an incomplete or broken response") == front.outcome()
        other.reply = Reply(b'{"rack": "r2"}')
        assert (200, {"rack": "r2"}) == front.outcome(body=another)


def test_a_closed_idle_connection_is_replaced(front: Endpoint, other: Other) -> None:
    """A request on an idle connection that the upstream closed is sent again on a new one."""
    front.ask()
    assert other.server is not None
    other.server.hang_up()
    assert (200, {"rack": "r1"}) == front.outcome()
    assert 2 == other.connections


def test_a_proxy_is_part_of_the_fan_out_and_of_ready(front: Endpoint) -> None:
    """``POST /`` has its answer, and ``/-/ready`` its state, without a host name."""
    assert (200, {"rack": {"rack": "r1"}}) == front.outcome("/")
    ready = front.server.client.get("/-/ready").json()
    assert {"state": "ok", "urls": ["ok"]} == ready["handlers"]["rack"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error(front: Endpoint, other: Other, caplog: pytest.LogCaptureFixture, status: int) -> None:
    """A 3xx is answered 502, the upstream gets no second request, and the log has its URL without the query."""
    other.reply = Reply(b"", {"Location": other.url}, status)
    assert (502, f"upstream rack answered with status {status}") == front.outcome()
    assert 1 == len(other.received)
    assert (True, False) == (f"/rack?***: status {status}" in caplog.text, "ams1" in caplog.text)


@pytest.mark.parametrize("reply", [Reply(status=204), Reply(b"")], ids=["204", "empty"])
def test_an_empty_response_is_an_empty_object(front: Endpoint, other: Other, reply: Reply) -> None:
    """204 and an empty body are answered ``{}``."""
    other.reply = reply
    assert (200, {}) == front.outcome()


def test_an_answer_over_the_limit_is_an_error(tmp_path: Path, other: Other) -> None:
    """An answer over ``max_answer_bytes`` is answered 502."""
    other.reply = Reply(b'"' + b"x" * 2000 + b'"')
    with proxying(tmp_path, proxy(url=other.url), max_answer_bytes=1024) as front:
        assert (502, "upstream rack answered with more than 1024 bytes") == front.outcome()


@pytest.mark.parametrize("failure", [500, 503, 429, "down"])
def test_the_next_url_is_tried_after_a_failure(tmp_path: Path, other: Other, second: Other, failure: Any) -> None:
    """A URL that fails is tried last for some seconds, and ``/-/ready`` shows it as unavailable."""
    with proxying(tmp_path, proxy(url=[other.url, second.url])) as front:
        if failure == "down":
            other.stop()
        else:
            other.reply = Reply(b"{}", status=failure)
        assert [(200, {"rack": "r2"})] * 3 == [front.outcome() for _ in range(3)]
        ready = front.server.client.get("/-/ready").json()
    assert len(other.received) <= 1
    assert {"state": "ok", "urls": ["unavailable", "ok"]} == ready["handlers"]["rack"]


def test_each_url_gets_an_equal_share_of_the_time(tmp_path: Path, other: Other, second: Other) -> None:
    """A first URL that hangs leaves half of ``timeout`` to the second."""
    other.delay = 60.0
    with proxying(tmp_path, proxy(url=[other.url, second.url], timeout=2.0)) as front:
        assert (200, {"rack": "r2"}) == front.outcome()


def test_a_4xx_is_an_answer(tmp_path: Path, other: Other, second: Other) -> None:
    """After a 4xx no other URL is tried, and the circuit stays closed, however often."""
    other.reply = Reply(b"{}", status=404)
    with proxying(tmp_path, proxy(url=[other.url, second.url])) as front:
        outcomes = [front.outcome() for _ in range(7)]
    assert [(502, "upstream rack answered with status 404")] * 7 == outcomes
    assert (7, 0) == (len(other.received), len(second.received))


@pytest.mark.parametrize(
    "reply", [Reply(b"<html>"), Reply(b"{}" + b" " * 2**21), Reply(b"{}", {"Content-Type": "a/b; charset=x"})]
)
def test_unusable_answers_for_one_project_leave_the_circuit_closed(tmp_path: Path, other: Other, reply: Reply) -> None:
    """After unusable answers for six instances of one project, an instance of another gets its answer."""
    other.reply = reply
    with proxying(tmp_path, proxy(url=other.url)) as front:
        bodies = [BODY.replace(INSTANCE.encode(), b"%08d-2222-4333-8444-555555555555" % number) for number in range(7)]
        assert [502] * 6 == [front.ask(body=body).status_code for body in bodies[:6]]
        other.reply = Reply(b'{"rack": "r1"}')
        assert (200, {"rack": "r1"}) == front.outcome(body=bodies[6].replace(b'"1f2e"', b'"2a3b"'))


def test_the_last_url_s_failure_is_the_error(tmp_path: Path, other: Other, second: Other) -> None:
    """When all URLs fail, the last failure is the answer, and the next request tries all of them again."""
    other.reply, second.reply = Reply(status=500), Reply(status=503)
    with proxying(tmp_path, proxy(url=[other.url, second.url])) as front:
        assert [(502, "upstream rack answered with status 503")] * 2 == [front.outcome(), front.outcome()]
    assert (2, 2) == (len(other.received), len(second.received))


def test_a_pinning_proxy_ignores_cache_control(tmp_path: Path, other: Other) -> None:
    """The first answer is pinned, whatever its Cache-Control says."""
    other.reply = Reply(b'{"first": true}', {"Cache-Control": "no-store"})
    with proxying(tmp_path, proxy(url=other.url, pin="true"), state_path=tmp_path) as front:
        assert (200, {"first": True}) == front.outcome()
        other.reply = Reply(b'{"first": false}')
        assert (200, {"first": True}) == front.outcome()


def test_on_error_applies_to_a_proxy(tmp_path: Path, other: Other) -> None:
    """With ``on_error = empty`` a failing upstream is answered ``{}``."""
    other.reply = Reply(status=500)
    with proxying(tmp_path, proxy(url=other.url, on_error="empty")) as front:
        assert (200, {}) == front.outcome()


def test_a_slow_upstream_is_504(tmp_path: Path, other: Other) -> None:
    """An upstream that overruns ``timeout`` is answered 504, with the proxy's name."""
    other.delay = 60.0
    with proxying(tmp_path, proxy(url=other.url, timeout=0.3)) as front:
        assert (504, "upstream rack gave no answer in time") == front.outcome()


def test_a_subclass_is_enabled_as_a_handler(tmp_path: Path, other: Other) -> None:
    """A subclass of Proxy has the same options in its ``[handler:<name>]``."""
    text = proxy(url=other.url).replace("[proxy:rack]", "[handler:declared]")
    with proxying(tmp_path, text, handlers="tests.support.handlers.proxies:Declared") as front:
        assert (200, {"rack": "r1"}) == front.outcome("/declared")
        assert (200, {"rack": "r1"}) == front.outcome("/declared")
    assert 1 == len(other.received)


@pytest.mark.parametrize(
    ("content_type", "body", "outcome"),
    [
        ("application/json; charset=iso-8859-1", b'"M\xfcller"', (200, "M\u00fcller")),
        ('text/plain; Charset="UTF-8"', b'"M\xc3\xbcller"', (200, "M\u00fcller")),
        ("application/json; charset=utf-16", '"M\u00fcller"'.encode("utf-16"), (200, "M\u00fcller")),
        (
            "application/json; charset=ascii",
            b'"M\xfcller"',
            (502, "upstream rack answered with text that cannot be decoded"),
        ),
        ("application/json; charset=nosuch", b"{}", (502, "upstream rack answered with text that cannot be decoded")),
        ("application/json; charset=punycode", b"{}", (502, "upstream rack answered with text that cannot be decoded")),
        ("application/octet-stream", b"{}", (200, {})),
    ],
)
def test_known_charsets_become_utf_8(
    front: Endpoint, other: Other, content_type: str, body: bytes, outcome: tuple[int, Any]
) -> None:
    """Text in a known charset is returned as UTF-8; other text is answered 502."""
    other.reply = Reply(body, {"Content-Type": content_type})
    assert outcome == front.outcome()


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'"#cloud-config\\nruncmd: [reboot]\\n"', (200, "#cloud-config\nruncmd: [reboot]\n")),
        (b'" "', (200, {})),
        (b'{"a": 1}', (500, "the answer for cloud-init must be a string, not a mapping")),
    ],
)
def test_an_upstream_s_answer_for_cloud_init_is_checked(
    tmp_path: Path, other: Other, body: bytes, outcome: tuple[int, Any]
) -> None:
    """With ``for_cloud_init``, an upstream's answer is one string for cloud-init, cached or not, or an error."""
    other.reply = Reply(body, {"Cache-Control": "max-age=60"})
    with proxying(tmp_path, proxy(url=other.url, for_cloud_init="true")) as front:
        assert [outcome] * 2 == [front.outcome() for _ in range(2)]
    assert (1 if outcome[0] == 200 else 2) == len(other.received)
