"""Each pitfall of an answer is one sentence among the warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.misbehaviour import asked
from vendorsrv.nova.client import Limits
from vendorsrv.nova.pitfalls import Hop, Observed, find_pitfalls
from vendorsrv.testing.misbehaviour import body, raw
from vendorsrv.testing.upstream import FakeUpstream


@pytest.fixture(scope="module")
def peer() -> Iterator[FakeUpstream]:
    """A server with every behaviour of the table."""
    with FakeUpstream() as running:
        yield running


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        (
            "no content",
            "Nova takes an empty answer for {} without logging it, even with vendordata_dynamic_failure_fatal on",
        ),
        (
            "not modified",
            "Nova takes an empty answer for {} without logging it, even with vendordata_dynamic_failure_fatal on",
        ),
        ("300", "a 300 is not an error to Nova, which takes its body for the answer"),
        ("latin-1", "the body is UTF-8, but Nova decodes it differently: send Content-Type application/json"),
        ("no utf-8", "the body is not UTF-8: Nova replaces what it cannot decode with U+FFFD"),
        ("5 MB", "5 MiB: Nova sets no limit, and needs several times that in memory"),
        (
            "infinity",
            "Nova passes NaN or Infinity on: the instance's whole vendor_data2.json is then invalid JSON",
        ),
        (
            "duplicate names",
            "the answer has the member a more than once: Nova accepts it, other parsers may not",
        ),
        (
            "lone surrogate",
            "the answer has a lone surrogate, which is not Unicode text: Nova accepts it, other parsers may not",
        ),
        ("relative location", "Nova cannot follow a 307 whose Location is not an absolute URL"),
        ("broken location", "Nova cannot follow a 307 whose Location is not an absolute URL"),
    ],
)
def test_pitfalls_are_warnings(peer: FakeUpstream, name: str, warning: str) -> None:
    """Each pitfall of an answer is among the warnings, once."""
    assert (warning,) == asked(peer.url_of(name)).warnings


@pytest.mark.parametrize(
    "name", ["object", "list", "null", "utf-8 text", "true latin-1", "gzip", "chunked", "404", "html"]
)
def test_an_ordinary_answer_has_no_warning(peer: FakeUpstream, name: str) -> None:
    """An answer without a pitfall has no warning."""
    assert () == asked(peer.url_of(name)).warnings


def test_an_answer_as_deep_as_nova_can_parse_is_a_pitfall() -> None:
    """An answer that is as deep as Nova can parse has a warning, because other parsers may fail."""
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    hops = [Hop("http://rack.example", 200)]
    seen = Observed("rack", "http://rack.example", hops, False, 0, 5, b"[]", "[]", value)
    assert ("the answer is nested as deeply as Nova can parse: other parsers may fail",) == (
        find_pitfalls(seen, kept=True)
    )


def test_a_slow_answer_is_kept(peer: FakeUpstream) -> None:
    """An answer that takes longer than the read timeout in total is kept, with a warning."""

    def drip(send: Callable[[bytes], object], wait: Callable[[float], object]) -> None:
        for byte in raw(200, '{"role": "mail-server"}'):
            wait(0.02)
            send(bytes([byte]))

    peer.routes["/dripping-for-long"] = drip
    result = asked(f"{peer.url}/dripping-for-long", limits=Limits(read_timeout=2.0))
    assert 2.0 < result.elapsed
    assert ["2 s is for each read" in warning for warning in result.warnings] == [True]


@pytest.mark.parametrize("status", [301, 302, 303, 305, 307, 308])
def test_redirects_are_followed(peer: FakeUpstream, status: int) -> None:
    """Nova follows a redirect as a POST with the same body, and a warning says so."""
    peer.received.clear()
    result = asked(f"{peer.url}/{status}")
    assert {"role": "mail-server"} == result.value
    assert [f"/{status}", "/object"] == [request.path for request in peer.received]
    assert peer.received[0].body == peer.received[1].body
    assert (f"Nova follows a {status} as a POST with the instance's data",) == result.warnings


def test_a_redirect_to_another_server_is_named(peer: FakeUpstream) -> None:
    """The warning of a redirect to another server says that it is another one."""
    with FakeUpstream() as other:
        other.routes["/"] = body("", 307, Location=f"{peer.url}/object")
        result = asked(f"{other.url}/")
    assert ("Nova follows a 307 as a POST with the instance's data, here to another server",) == result.warnings


def test_after_30_redirects_the_next_body_is_the_answer(peer: FakeUpstream) -> None:
    """After 30 redirects Nova takes the body of the next one for the answer."""
    peer.received.clear()
    result = asked(f"{peer.url}/circle")
    assert "dizzy" == result.value
    assert 31 == len(peer.received)
    assert (
        "Nova follows a 307 as a POST with the instance's data",
        "a 307 is not an error to Nova, which takes its body for the answer",
    ) == result.warnings


@pytest.mark.parametrize("value", ["{}", "null", '""', '"#cloud-config"'])
def test_a_string_or_nothing_is_a_good_answer_for_cloud_init(value: str) -> None:
    """A target named cloud-init may answer with a string or with nothing."""
    with FakeUpstream() as peer:
        peer.routes["/"] = body(value)
        assert () == asked(f"{peer.url}/", "cloud-init").warnings


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("object", "cloud-init ignores a value that is not a string"),
        ("list", "cloud-init does not accept a list: newer versions crash, and the user's own user-data is lost"),
    ],
)
def test_other_answers_for_cloud_init_are_pitfalls(peer: FakeUpstream, name: str, warning: str) -> None:
    """Other values of a target named cloud-init have a warning."""
    assert (warning,) == asked(peer.url_of(name), "cloud-init").warnings


def test_a_target_named_static_is_a_pitfall(peer: FakeUpstream) -> None:
    """A target named static has a warning, because StaticJSON has that name."""
    warning = "Nova drops a target named static: vendordata_providers must include StaticJSON, which has that name"
    assert (warning,) == asked(f"{peer.url}/object", "static").warnings


def test_a_comma_in_a_url_is_a_pitfall() -> None:
    """A URL with a comma has a warning, because Nova splits targets at commas."""
    with FakeUpstream() as peer:
        peer.routes["/a,b"] = body("1")
        warnings = asked(f"{peer.url}/a,b").warnings
    assert ("Nova splits vendordata_dynamic_targets at every comma, and this URL contains one",) == warnings
