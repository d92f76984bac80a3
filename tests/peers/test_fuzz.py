"""Whatever is sent, there is an answer of ours: no 500, no lost connection, always JSON with a request id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import House
from tests.support.serving import BODY, Server, running, write_config

#: The same examples in every run; `HYPOTHESIS_PROFILE` is nobody's business here.
steady = settings(
    derandomize=True,
    database=None,
    deadline=None,  # neither this nor the check below: a busy machine would fail them
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=150,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(sorted(json.loads(BODY)))
PATHS = st.sampled_from(["/echo", "/plain", "/nothing", "/"])


def answered(response: httpx.Response, *statuses: int) -> None:
    """Ask that a response is one of ours, with one of these statuses."""
    assert response.status_code in statuses, response.text
    assert response.headers["X-Openstack-Request-Id"].startswith("req-")
    if response.status_code != 200:
        assert response.headers["X-Openstack-Request-Id"] == response.json()["error"]["request_id"]


@steady
@given(path=PATHS, body=st.binary(max_size=300))
def test_any_bytes(house: House, path: str, body: bytes) -> None:
    """Any bytes, hardly ever JSON, get an answer in our form."""
    answered(house.server.ask(path, house.nova, body), 400)


@steady
@given(path=PATHS, body=VALUES)
def test_any_json(house: House, path: str, body: Any) -> None:
    """Any JSON in Python's sense, with NaN and lone surrogates, gets an answer in our form."""
    answered(house.server.ask(path, house.nova, json.dumps(body).encode()), 400)


@steady
@given(path=st.sampled_from(["/echo", "/plain", "/nothing"]), name=NAMES | st.text(max_size=8), value=VALUES)
def test_any_value_for_a_member(house: House, path: str, name: str, value: Any) -> None:
    """Nova's body with any value for one member gets an answer in our form."""
    body = {**json.loads(BODY), name: value}
    answered(house.server.ask(path, house.nova, json.dumps(body).encode()), 200, 400)


@steady
@given(start=st.integers(0, len(BODY)), end=st.integers(0, len(BODY)), piece=st.binary(max_size=8))
def test_any_piece_in_the_middle(house: House, start: int, end: int, piece: bytes) -> None:
    """Nova's body with any bytes put into it gets an answer in our form."""
    answered(house.server.ask("/echo", house.nova, BODY[:start] + piece + BODY[end:]), 200, 400)


@steady
@given(name=st.text(max_size=30))
def test_any_path(house: House, name: str) -> None:
    """Any path gets an answer in our form, and never a redirect."""
    # Without a name it is the path of all handlers, several of which fail, each with its own status.
    answered(house.server.ask(f"/{quote(name, safe='')}", house.nova), *([404] if name else [500, 503]))


@steady
@given(token=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40))
def test_any_token(house: House, token: str) -> None:
    """Any token gets an answer in our form."""
    headers = [(b"Content-Type", b"application/json"), (b"X-Auth-Token", token.strip().encode("latin-1"))]
    answered(house.server.client.post("/echo", content=BODY, headers=headers), 401)


@steady
@given(content_type=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_any_content_type(house: House, content_type: str) -> None:
    """Any content type gets an answer in our form."""
    answered(house.server.ask("/echo", house.nova, headers={"Content-Type": content_type.strip()}), 200, 415)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose handlers all work."""
    handlers = ", ".join(f"tests.support.handlers.good:{name}" for name in ("Echo", "Nothing"))
    with FakeKeystone() as keystone:
        keystone.issue("service", token="gAAAAAfuzz")
        with running(write_config(tmp_path_factory.mktemp("fuzz"), keystone, handlers=handlers)) as server:
            yield server


@pytest.fixture(scope="module")
def api(serving: Server) -> Any:
    """What the running server says of itself."""
    document = serving.admin.get("/-/openapi.json").json()
    api = schemathesis.openapi.from_dict(document)
    api.config.update(base_url=f"http://127.0.0.1:{serving.port}")
    return api


def test_what_openapi_promises(api: Any) -> None:
    """Every operation keeps its description for any input: status, content type, schema and methods."""
    for found in api.get_all_operations():

        @steady
        @given(case=found.ok().as_strategy())
        def kept(case: Any) -> None:
            case.call_and_validate(headers={"X-Auth-Token": "gAAAAAfuzz"})

        kept()
