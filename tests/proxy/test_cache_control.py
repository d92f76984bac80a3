"""The directives of Cache-Control that a proxy obeys."""

from __future__ import annotations

import pytest

from vendorsrv.proxy.handler import read_cache_control


@pytest.mark.parametrize(
    ("value", "may_store", "max_age"),
    [
        ("", True, None),
        ("max-age=60", True, 60.0),
        ("Max-Age = 60 ,private", True, 60.0),
        ('max-age="60"', True, 60.0),
        ("max-age=60, max-age=5", True, 60.0),
        ("max-age=x", True, 0.0),
        ("max-age", True, 0.0),
        ("max-age=-1", True, 0.0),
        ("max-age=1.5", True, 0.0),
        ("max-age=\u0661", True, 0.0),
        ("max-age=99999999999999999999", True, 2147483648.0),
        ("s-maxage=60", True, None),
        ("no-store", False, None),
        ("NO-STORE, max-age=60", False, 60.0),
        ("no-cache, max-age=60", False, 60.0),
        ('no-cache="set-cookie"', False, None),
        ("max-age=60, must-revalidate, stale-if-error=9", True, 60.0),
        ('ext="no-store, max-age=5"', True, None),
        (", ,;max-age=60", True, 60.0),
    ],
)
def test_cache_control(value: str, *, may_store: bool, max_age: float | None) -> None:
    """Directives are read in any case, quoted or not, the first of each; an unreadable max-age counts as 0."""
    assert (may_store, max_age) == read_cache_control(value)
