"""What a proxy makes of each way in which a server can answer, beside what Nova would have made of it directly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.misbehaviour import CASES, serving
from tests.proxied import PASSED, REFUSED, name_of, sections
from tests.upstreams import Front, proxying


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Our server with a proxy for every behaviour of the table."""
    with serving() as peer, proxying(tmp_path_factory.mktemp("front"), *sections(peer)) as front:
        yield front


def test_the_table_has_every_case() -> None:
    """And none twice."""
    assert sorted(CASES) == sorted([*PASSED, *REFUSED])


@pytest.mark.parametrize("case", PASSED)
def test_passed_on(front: Front, case: str) -> None:
    """Nova gets what it would have got, and always UTF-8 JSON."""
    response = front.ask(f"/{name_of(case)}")
    assert (200, PASSED[case]) == (response.status_code, response.json())
    assert PASSED[case] == CASES[case].value
    assert "application/json" == response.headers["Content-Type"]


@pytest.mark.parametrize("case", REFUSED)
def test_refused(front: Front, case: str) -> None:
    """Nova gets an error that names the proxy, whatever it would have made of the answer."""
    status, message = REFUSED[case]
    assert (status, message.replace("…", name_of(case))) == front.outcome(f"/{name_of(case)}")
