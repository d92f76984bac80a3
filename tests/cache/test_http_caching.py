"""The headers of an answer, and what they say of using it again."""

from __future__ import annotations

import pytest

from vendorsrv.cache.http_caching import lifetime_of, same_tag, speaks
from vendorsrv.cache.lifetime import Lifetime, pack, unpack

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("", {}),
        ("max-age=60", {"fresh_for": 60.0}),
        ("Max-Age = 60 ,private", {"fresh_for": 60.0}),
        ('max-age="60"', {"fresh_for": 60.0}),
        ("max-age=60, max-age=5", {"fresh_for": 60.0}),
        ("max-age=x", {"fresh_for": 0.0}),
        ("max-age", {"fresh_for": 0.0}),
        ("max-age=-1", {"fresh_for": 0.0}),
        ("max-age=1.5", {"fresh_for": 0.0}),
        ("max-age=\u0661", {"fresh_for": 0.0}),
        ("max-age=99999999999999999999", {"fresh_for": 2147483648.0}),
        ("s-maxage=60", {}),
        ("no-store", {"storable": False}),
        ("NO-STORE, max-age=60", {"fresh_for": 60.0, "storable": False}),
        ("no-cache, max-age=60", {"fresh_for": 0.0, "must_revalidate": True}),
        ('no-cache="set-cookie"', {"fresh_for": 0.0, "must_revalidate": True}),
        ("max-age=60, must-revalidate", {"fresh_for": 60.0, "must_revalidate": True}),
        ("max-age=60, must-revalidate, stale-if-error=9", {"fresh_for": 60.0, "must_revalidate": True}),
        ("max-age=60, stale-if-error=9", {"fresh_for": 60.0, "stale_if_error": 9.0}),
        ("stale-while-revalidate=9", {"stale_while_revalidate": 9.0}),
        ('ext="no-store, max-age=5"', {}),
        (", ,;max-age=60", {"fresh_for": 60.0}),
    ],
)
def test_cache_control(control: str, expected: dict[str, object]) -> None:
    """Its directives in any case, quoted or not; what cannot be read is stale."""
    assert Lifetime(**expected) == lifetime_of({"cache-control": control}, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "fresh_for"),
    [
        ({"expires": "Sun, 06 Nov 1994 08:50:37 GMT", "date": DATE}, 60.0),
        ({"expires": "Sun, 06 Nov 1994 08:50:37 -0000", "date": DATE}, 60.0),
        ({"expires": DATE, "date": DATE}, 0.0),
        ({"expires": "Sun, 06 Nov 1994 08:00:00 GMT", "date": DATE}, 0.0),
        ({"expires": "0"}, 0.0),
        ({"expires": DATE}, 0.0),
        ({"expires": DATE, "cache-control": "max-age=5"}, 5.0),
        ({"date": DATE}, None),
    ],
)
def test_expires(headers: dict[str, str], fresh_for: float | None) -> None:
    """It counts from the answer's own date, and only without ``max-age``."""
    assert fresh_for == lifetime_of(headers, 0.0).fresh_for


@pytest.mark.parametrize(("age", "seconds"), [("20", 20.5), ("x", 0.5), ("-1", 0.5), ("20, 30", 0.5)])
def test_age(age: str, seconds: float) -> None:
    """What it says, and the time that the answer took."""
    assert seconds == lifetime_of({"age": age}, 0.5).age


@pytest.mark.parametrize(
    ("vary", "storable"),
    [("Accept, X-Auth-Token", True), ("*", False), ("Accept, *", False), ("x-openstack-Request-ID", False)],
)
def test_vary(vary: str, *, storable: bool) -> None:
    """What differs in each request is no other answer's."""
    assert storable is lifetime_of({"vary": vary}, 0.0).storable


@pytest.mark.parametrize(
    ("tag", "kept"),
    [('"a"', '"a"'), ('W/"a"', 'W/"a"'), ('""', '""'), ("a", ""), ('"a b"', ""), ('"a", "b"', ""), ('"\u00fc"', "")],
)
def test_entity_tags(tag: str, kept: str) -> None:
    """Only one that can be sent back as it is, and is short."""
    assert kept == lifetime_of({"etag": tag}, 0.0).validator
    assert "" == lifetime_of({"etag": f'"{"x" * 257}"'}, 0.0).validator


def test_tags_are_compared_weakly() -> None:
    """As ``If-None-Match`` does."""
    assert same_tag('W/"a"', '"a"')
    assert not same_tag('"a"', '"b"')


def test_headers_that_speak_of_the_cache() -> None:
    """Those of a 304 replace what was said before."""
    assert (True, True, False) == (speaks({"cache-control": ""}), speaks({"expires": "0"}), speaks({"etag": '"a"'}))


@pytest.mark.parametrize(
    "lifetime", [Lifetime(), Lifetime(60.0, 1.5, 2.0, 3.0, must_revalidate=True, validator='0 W/"a"')]
)
def test_a_lifetime_is_kept_beside_its_answer(lifetime: Lifetime) -> None:
    """It comes back as it was."""
    assert (lifetime, b'{"a": 1}') == unpack(pack(lifetime) + b'{"a": 1}')


@pytest.mark.parametrize("kept", [b"", b'{"a": 1}', pack(Lifetime())[:-1]])
def test_something_else_is_no_lifetime(kept: bytes) -> None:
    """An answer that a handler of this name kept, say."""
    assert None is unpack(kept)
