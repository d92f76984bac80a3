"""Each way in which Nova, Glance and Keystone can fail is a clear error, within the request's time."""

from __future__ import annotations

import time

import pytest

from tests.facts.test_lookups import Placed
from vendorsrv.testing import FakeCloud, Reply, serve

NO_TOKEN = "Keystone gives vendorsrv's account no token for the instance's project"


@pytest.mark.parametrize(
    ("service", "behaviour", "message"),
    [
        ("nova", "unavailable", "Nova does not answer"),
        ("nova", "hanging", "Nova did not answer in time"),
        ("nova", "failing", "Nova answered with status 500"),
        ("nova", "forbidding", "Nova refuses vendorsrv's account"),
        ("nova", "babbling", "the answer of Nova cannot be read"),
        ("glance", "unavailable", "Glance does not answer"),
        ("glance", "hanging", "Glance did not answer in time"),
        ("glance", "failing", "Glance answered with status 500"),
        ("glance", "forbidding", "Glance refuses vendorsrv's account"),
        ("glance", "babbling", "the answer of Glance cannot be read"),
        ("keystone", "unavailable", "Keystone does not answer"),
        ("keystone", "hanging", " did not answer in time"),
        ("keystone", "failing", "Keystone does not answer"),
        ("keystone", "forbidding", "Keystone does not answer"),
        ("keystone", "babbling", "Keystone does not answer"),
    ],
)
def test_a_service_that_fails(service: str, behaviour: str, message: str) -> None:
    """The error names the service, is 503, comes before Nova gives up, and ends with the service's failure."""
    timeout = 1.5 if behaviour == "hanging" else 4.5
    with serve(Placed, facts={}, sections={"vendorsrv": {"request_timeout": timeout}}) as server:
        server.cloud.behaviours[service] = behaviour
        started = time.monotonic()
        answer = server.ask()
        assert 5.0 > time.monotonic() - started
        assert (503, True) == (answer.status, str(answer.message).endswith(message))


@pytest.mark.parametrize("service", ["nova", "glance", "keystone"])
def test_a_service_that_works_again(service: str) -> None:
    """The next request is answered once the service works: no failure is kept."""
    with serve(Placed, facts={}) as server:
        server.cloud.behaviours[service] = "failing"
        assert "facts_unavailable" == server.ask().code
        server.cloud.behaviours[service] = "available"
        assert 200 == server.ask().status


def test_the_account_has_no_role_in_the_project() -> None:
    """Keystone gives no token for the project: 503, since it is the operator's mistake and not the tenant's."""
    with serve(Placed, facts={}) as server:
        server.cloud.no_role = {"0b9d"}
        answer = server.ask(project_id="0b9d")
        assert (503, "facts_refused", NO_TOKEN) == (answer.status, answer.code, answer.message)


def test_a_revoked_token_is_renewed() -> None:
    """A token that Nova no longer accepts is renewed, once for all who want it."""
    with serve(Placed, facts={}, sections={"facts": {"keep_for": 0}}) as server:
        assert 200 == server.ask().status
        server.cloud.tokens.clear()
        assert 200 == server.ask().status
        assert 2 == server.cloud.asked["token"]


def test_a_token_that_expires_soon_is_renewed() -> None:
    """A token of less than two minutes is not used again."""
    with serve(Placed, facts={}, sections={"facts": {"keep_for": 0}}) as server:
        server.cloud.token_life = 60.0
        server.ask()
        server.cloud.token_life = 3600.0
        server.ask()
        server.ask()
        assert 2 == server.cloud.asked["token"]


def test_an_older_nova() -> None:
    """A Nova that lacks the wanted microversion is asked for its last one from then on, which lacks no name."""
    with serve(Placed, facts={}, sections={"facts": {"keep_for": 0}}) as server:
        server.cloud.microversion = 53
        assert ["m1.small"] * 2 == [server.ask().json["flavor"] for _ in range(2)]
        server.cloud.microversion = 42
        assert server.ask().json["flavor"] is None


@pytest.mark.parametrize(
    ("route", "content", "message"),
    [
        ("GET /compute/v2.1/servers/i", b"<html>", "the answer of Nova cannot be read"),
        ("GET /compute/v2.1/servers/i", b'{"server": {"id": "other"}}', "the answer of Nova cannot be read"),
        ("GET /compute/v2.1/servers/i", b'{"server": {"id": "i", "name": 5}}', "the answer of Nova cannot be read"),
        ("GET /compute/v2.1/servers/i", b"[" * 100_000, "the answer of Nova cannot be read"),
        ("GET /image/v2/images/i", b'{"id": "i", "min_ram": "planted"}', "the answer of Glance cannot be read"),
        ("GET /identity/v3/projects/i", b'{"project": {"id": "i"}}', "the answer of Keystone cannot be read"),
    ],
)
def test_answers_that_cannot_be_read(
    route: str, content: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer of another shape is an error, and its values stay out of the log."""
    instance = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
    with serve(Placed, facts={}) as server:
        server.cloud.routes[route.replace("servers/i", f"servers/{instance}")] = Reply(
            content.replace(b'"id": "i"', f'"id": "{instance if "servers" in route else "i"}"'.encode())
        )
        assert message == server.ask(image_id="i", project_id="i").message
    assert "planted" not in caplog.text


def test_a_name_of_the_request_cannot_lead_elsewhere() -> None:
    """An image id is one segment of the URL, whatever it has in it."""
    with serve(Placed, facts={}) as server:
        assert 200 == server.ask(image_id="../../compute/v2.1/servers/1?x#y").status
        assert (1, 1) == (server.cloud.asked["image"], server.cloud.asked["server"])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:nine/v2.1", "Nova does not answer"),
        ("http://127.0.0.1:9/v2.1", "Nova does not answer"),
        ("{base}/compute/v2.1/", None),
        ("{base}/compute", None),
    ],
)
def test_urls_of_the_catalogue(url: str, message: str | None) -> None:
    """A URL of the catalogue may have a version or not; one where nobody listens, or that is none, is an error."""
    with serve(Placed, facts={}) as server:
        server.cloud.urls["nova"] = url.format(base=server.cloud.base)
        assert message == server.ask().message


@pytest.mark.parametrize("hidden", [None, "internal"])
def test_a_catalogue_without_nova(hidden: str | None) -> None:
    """A catalogue that does not have the service, or not for the interfaces wanted, is an error that says so."""
    account: dict[str, object] = {"valid_interfaces": "internal"} if hidden else {"region_name": "Elsewhere"}
    with FakeCloud() as cloud, serve(Placed, facts=cloud, sections={"service_account": account}) as server:
        answer = server.ask()
        assert ("facts_unavailable", True) == (
            answer.code,
            str(answer.message).startswith("Keystone's catalogue has no "),
        )
