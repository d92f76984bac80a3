"""Every case of the one table, in each way of calling: Nova's own class and `call`, directly and through our proxy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.peers.nova import ROOT
from tests.support.peers.table import TABLE
from tests.support.peers.table_page import HEAD, lines
from tests.support.peers.ways import Way, Ways, proxy_of
from vendorsrv.nova.credentials import one_line
from vendorsrv.testing.upstream import NAMES

WAYS: tuple[Way, ...] = ("directly", "through a proxy")
#: The cases that there is nothing to better in.
GOOD = [name for name, (_, _, case) in TABLE.items() if case.direct == case.proxied and not case.direct.raises]
#: What Nova made of each case: by its name, the way, and whether failure was fatal.
Outcomes = Mapping[tuple[str, Way, bool], Future[dict[str, Any]]]


@pytest.fixture(scope="module")
def outcomes(ways: Ways, request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """What Nova makes of the cases of this run; it asks behind the tests' back, while `call` asks in front."""
    asked = [
        str(each.callspec.params["name"])
        for each in request.session.items
        if isinstance(each, pytest.Function) and each.path == request.path and "outcomes" in each.fixturenames
    ]
    executor = ThreadPoolExecutor(1)
    try:
        yield {
            (name, way, fatal): executor.submit(ways.by_nova, TABLE[name], way, fatal=fatal)
            for name in dict.fromkeys(asked)
            for way in WAYS
            for fatal in (False, True)
        }
    finally:
        executor.shutdown(cancel_futures=True)


EITHER_DEADLINE = re.compile(
    r"upstream dripping-for-long gave no answer in time \(HTTP 504\)"
    r"|handler dripping-for-long gave no answer within \d\.\d seconds \(HTTP 504\)"
)


def same(text: str | None) -> str:
    """Return a message without what differs between two calls."""
    return re.sub(r"req-[0-9a-f-]{36}", "req-", one_line(text or ""))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TABLE)
def test_the_outcome_of_each_case(ways: Ways, outcomes: Outcomes, name: str, way: Way) -> None:
    """Each case has its entry, byte by byte, and its exception, by `call` and by Nova's own class."""
    row, result = TABLE[name], ways.by_call(TABLE[name], way)
    lenient, fatal = (outcomes[name, way, each].result() for each in (False, True))
    made = row.case.direct if way == "directly" else row.case.proxied
    error = fatal.get("error", {"class": None, "message": ""})
    assert (made.raises, made.raises, made.always) == (error["class"], result.raises, result.always_raises)
    assert (made.raises is None) == (result.dropped is None)
    messages = [same(error["message"]), same(result.error)]
    if way == "through a proxy" and name == "misbehaving: dripping for long":
        # A busy machine decides for each call whether the proxy's deadline or its handler's ends it.
        assert [True, True] == [bool(EITHER_DEADLINE.match(each)) for each in messages]
    else:
        assert messages[0] == messages[1]
        assert error["message"].startswith(made.message.replace("\u2026", proxy_of(row)))
    if way == "through a proxy":
        assert "application/json" == result.headers["Content-Type"]
    assert made.raises == lenient.get("error", {"class": made.raises})["class"]
    entries = [json.dumps(each["value"]) if "value" in each else None for each in (lenient, fatal)]
    assert [made.entry, None if made.raises else made.entry, made.entry] == [*entries, result.entry]


@pytest.mark.parametrize("name", GOOD)
def test_nova_sees_no_proxy(outcomes: Outcomes, name: str) -> None:
    """A good server's entry is the same through a proxy, byte by byte, and Nova logs nothing."""
    told = {json.dumps(outcomes[name, way, fatal].result()) for way in WAYS for fatal in (False, True)}
    assert {json.dumps({"value": {"target": TABLE[name].case.direct.value}, "log": []})} == told


def test_every_way_to_misbehave_has_a_row() -> None:
    """The table has a row for each behaviour of the kit's upstream."""
    assert set() == {*NAMES} - {row.name for row in TABLE.values() if row.server == "misbehaving"}


def test_the_page_has_the_table() -> None:
    """docs/proxy.md has this table: ``python -m tests.support.peers.table_page``."""
    page = (ROOT / "docs" / "proxy.md").read_text()
    assert lines() == [*HEAD, *page.partition("\n".join(HEAD))[2].partition("\n\n")[0].strip().splitlines()]
