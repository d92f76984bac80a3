"""The server's own routes, the handlers' public ones, and its life from open to close."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import House
from tests.support.handlers import broken
from tests.support.serving import BODY, JSON, error_of, run, running, write_config
from vendorsrv import ConfigError, Settings, create_app

BROKEN = "tests.support.handlers.broken"


def test_live_answers_while_the_process_runs(house: House) -> None:
    """`/-/live` answers 200 without looking at anything else."""
    response = house.server.client.get("/-/live")
    assert (200, {"live": True}) == (response.status_code, response.json())


@pytest.mark.parametrize("path", ["/-/live", "/-/ready", "/healthcheck"])
def test_health_routes_answer_head(house: House, path: str) -> None:
    """The health routes answer HEAD with the status of GET."""
    response = house.server.client.head(path)
    assert (200, b"") == (response.status_code, response.content)


def test_ready_lists_keystone_and_handlers(house: House) -> None:
    """`/-/ready` answers 200 with the state of Keystone and of each handler."""
    response = house.server.client.get("/-/ready")
    assert (200, True, "reachable") == (response.status_code, response.json()["ready"], response.json()["keystone"])
    assert ["echo", "plain", "raising", "away", "odd", "nothing", "slow"] == list(response.json()["handlers"])


def test_healthcheck_answers_what_ready_does(house: House) -> None:
    """`/healthcheck` answers as `/-/ready` does, without a token."""
    client = house.server.client
    assert client.get("/-/ready").json() == client.get("/healthcheck").json()


def test_a_path_that_begins_like_healthcheck_is_a_handler_s(house: House) -> None:
    """A longer name than healthcheck is a handler's."""
    assert (404, "not_found", "no handler of this name is enabled") == error_of(
        house.server.ask("/healthcheck2", house.nova)
    )


@pytest.mark.parametrize("behaviour", ["failing", "refusing us"])
def test_without_keystone_the_server_is_live_and_not_ready(tmp_path: Path, fake: FakeKeystone, behaviour: str) -> None:
    """A server starts without Keystone, answers 503 on `/-/ready`, and is ready as soon as Keystone is."""
    fake.behaviour = behaviour
    with running(write_config(tmp_path, fake)) as server:
        assert 200 == server.client.get("/-/live").status_code
        response = server.client.get("/-/ready")
        assert (
            503,
            "keystone_unavailable",
            "Keystone does not answer, or refuses the account in [keystone_authtoken]",
        ) == error_of(response)
        assert "1" == response.headers["Retry-After"]
        assert (503, b"") == (
            server.client.head("/healthcheck").status_code,
            server.client.head("/healthcheck").content,
        )
        fake.behaviour = "available"
        assert 200 == server.client.get("/-/ready").status_code


def test_the_servers_own_token_is_fetched_at_the_start(tmp_path: Path, fake: FakeKeystone) -> None:
    """The server gets its own token before the first request."""
    with running(write_config(tmp_path, fake)) as server:
        assert 200 == server.client.get("/-/ready").status_code
        logins = fake.logins
        assert 200 == server.ask("/echo", fake.issue("service")).status_code
    assert logins == fake.logins


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/-/live", "/-/ready", "/healthcheck", "/plain/key.json"])
def test_other_methods_on_own_routes_are_405(house: House, method: str, path: str) -> None:
    """Other methods than GET and HEAD on the health and public routes are answered 405 in the shape of all errors."""
    response = house.server.client.request(method, path)
    assert (405, "method_not_allowed", "this path is not served for this method") == error_of(response)


PATHS = ("", "/", "/-", "/-/", "/-/live/", "/echo", "/echo/", "/plain", "//", "/x/y/")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_no_path_is_redirected(house: House, method: str, path: str) -> None:
    """No path is answered with a redirect, which Nova would follow with body and token."""
    assert house.server.client.request(method, path).status_code in {401, 404, 405}


@pytest.mark.parametrize(("path", "key"), [("key.json", "public"), ("async-key.json", "async")])
def test_a_public_route_needs_no_token(house: House, path: str, key: str) -> None:
    """A handler's public route is answered without a token."""
    response = house.server.client.get(f"/plain/{path}")
    assert (200, "application/json", {"key": key}) == (
        response.status_code,
        response.headers["Content-Type"],
        response.json(),
    )


def test_a_failing_public_route_has_the_shape_of_all_errors(house: House) -> None:
    """An error of a public route has the shape of all errors."""
    assert (500, "bad_answer", "the answer of handler plain is of type object, which is not JSON") == error_of(
        house.server.client.get("/plain/broken.json")
    )


def test_post_to_the_root_calls_all_handlers(tmp_path: Path, fake: FakeKeystone) -> None:
    """`POST /` is answered with each handler's answer by its name, in the configured order."""
    handlers = "tests.support.handlers.good:Plain, tests.support.handlers.good:Nothing"
    with running(write_config(tmp_path, fake, handlers=handlers)) as server:
        response = server.ask("/", fake.issue("service"))
    assert b'{"plain":{"greeting":"hello","hostname":"web-1"},"nothing":{}}' == response.content


def test_all_handlers_run_concurrently(tmp_path: Path, fake: FakeKeystone) -> None:
    """`POST /` runs the handlers concurrently."""
    handlers = "tests.support.handlers.meeting:Left, tests.support.handlers.meeting:Right"
    with running(write_config(tmp_path, fake, handlers=handlers)) as server:
        response = server.ask("/", fake.issue("service"))
    assert {"left": "met", "right": "met"} == response.json()


@pytest.mark.parametrize("failing", ["Raising", "Odd", "Away"])
def test_one_failing_handler_fails_the_whole_answer(tmp_path: Path, fake: FakeKeystone, failing: str) -> None:
    """`POST /` is answered with the error of the handler that failed, and the message names it."""
    handlers = f"tests.support.handlers.good:Plain, tests.support.handlers.good:{failing}"
    with running(write_config(tmp_path, fake, handlers=handlers)) as server:
        response = server.ask("/", fake.issue("service"))
    assert 500 <= response.status_code
    assert f"handler {failing.lower()}" in error_of(response)[2]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/particular", "the address service was silent for 2.5 seconds"),
        ("/", "handler particular: the address service was silent for 2.5 seconds"),
    ],
)
def test_a_vendors_own_error_class_is_answered(tmp_path: Path, fake: FakeKeystone, path: str, message: str) -> None:
    """An error class of a vendor's own is answered with its message, which names the handler on `POST /`."""
    with running(write_config(tmp_path, fake, handlers="tests.support.handlers.particular:Particular")) as server:
        assert (502, "upstream_failed", message) == error_of(server.ask(path, fake.issue("service")))


def test_a_server_without_handlers_answers_an_empty_object(tmp_path: Path, fake: FakeKeystone) -> None:
    """`POST /` of a server without handlers is answered `{}`."""
    with running(write_config(tmp_path, fake, handlers="")) as server:
        assert b"{}" == server.ask("/", fake.issue("service")).content


@pytest.mark.parametrize(("method", "path"), [("POST", "/unreadable"), ("POST", "/"), ("GET", "/unreadable/key.json")])
def test_an_unexpected_exception_is_500(
    tmp_path: Path, fake: FakeKeystone, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    """An unexpected exception is answered 500; the log has its place, and neither log nor answer its text."""
    headers = {**JSON, "X-Auth-Token": fake.issue("service")}
    with running(write_config(tmp_path, fake, handlers="tests.support.handlers.unreadable:Unreadable")) as server:
        response = server.client.request(method, path, content=BODY, headers=headers)
    assert (500, "internal_error", "the server failed; its log has more") == error_of(response)
    lines = [record.getMessage() for record in caplog.records if record.name == "vendorsrv.server.endpoint"]
    assert [True] == [line.startswith("LookupError ") and "unreadable.py:15 in items" in line for line in lines]
    assert "planted-secret" not in "".join(lines)


POLICY = "'vendordata:handler:echo': 'boot_role:storage-admin'\n"


def test_a_handler_that_the_policy_denies_is_403(tmp_path: Path, fake: FakeKeystone) -> None:
    """A request that a handler's rule denies is answered 403."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    with running(write_config(tmp_path, fake)) as server:
        response = server.ask("/echo", fake.issue("service"))
    assert (403, "forbidden", "the policy does not allow handler echo for this instance") == error_of(response)


def test_a_denied_handler_is_left_out_of_all_answers(tmp_path: Path, fake: FakeKeystone) -> None:
    """`POST /` leaves out handlers whose rule denies the request."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    handlers = "tests.support.handlers.good:Echo, tests.support.handlers.good:Nothing"
    with running(write_config(tmp_path, fake, handlers=handlers)) as server:
        assert b'{"nothing":{}}' == server.ask("/", fake.issue("service")).content


def test_handlers_are_opened_and_closed_with_the_server(tmp_path: Path, fake: FakeKeystone) -> None:
    """Handlers are opened before the first request and closed after the last."""
    broken.EVENTS.clear()
    with running(write_config(tmp_path, fake, handlers=f"{BROKEN}:First, {BROKEN}:Second")):
        assert ["first opened", "second opened"] == broken.EVENTS
    assert ["second closed", "first closed"] == broken.EVENTS[2:]


async def lifespan(settings: Settings, *events: str) -> list[str]:
    """Give an application the events of its life, and what it says to each."""
    said: list[str] = []
    given = iter(events)

    async def receive() -> dict[str, Any]:
        return {"type": f"lifespan.{next(given)}"}

    async def send(message: Any) -> None:
        said.append(message["type"])
        assert ["type"] == list(message)  # a traceback would stand beside it

    await create_app(settings)({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    return said


@pytest.mark.parametrize(
    ("handler", "said", "logged"),
    [
        ("First", ["lifespan.startup.complete", "lifespan.shutdown.complete"], ""),
        ("Unopenable", ["lifespan.startup.failed"], "handler unopenable: open() raised OSError: no route to the "),
        (
            "Unclosable",
            ["lifespan.startup.complete", "lifespan.shutdown.failed"],
            "handler unclosable: close() raised OSError: the pool is in use (",
        ),
    ],
)
def test_a_handler_that_cannot_be_opened_ends_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, handler: str, said: list[str], logged: str
) -> None:
    """A handler that cannot be opened ends the start with one log line and no traceback."""
    settings = Settings.from_file(write_config(tmp_path, handlers=f"{BROKEN}:{handler}"))
    assert said == run(lifespan(settings, "startup", "shutdown"))
    assert (logged in caplog.text, False) == (True, "Traceback" in caplog.text)


def test_a_worker_that_is_opening_its_handlers_is_not_ready(tmp_path: Path, fake: FakeKeystone) -> None:
    """`/-/ready` is 503 until the handlers are open."""
    application = create_app(Settings.from_file(write_config(tmp_path, fake)))
    with pytest.raises(Exception, match=r"^the handlers are not open$"):
        run(application.ready())


def test_websockets_are_refused(house: House) -> None:
    """A WebSocket connection is refused."""
    sent: list[Any] = []

    async def connect() -> None:
        async def receive() -> dict[str, str]:
            await asyncio.sleep(0)
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        scope = {"type": "websocket", "path": "/echo", "headers": [], "query_string": b"", "subprotocols": []}
        await house.server.app(scope, receive, send)

    run(connect())
    assert ["websocket.close"] == sent


def test_an_unknown_handler_builds_no_application(tmp_path: Path) -> None:
    """To build the application with a handler that no package provides is a ConfigError."""
    with pytest.raises(ConfigError, match=r"^handler nosuch: no installed package provides it"):
        create_app(Settings.from_file(write_config(tmp_path, handlers="nosuch")))
