"""``self.openstack``: keystoneauth's session of the account, for the project of the handler's instance."""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar

import pytest
from keystoneauth1.exceptions import NotFound
from keystoneauth1.session import Session

from tests.support.waiting import wait_until
from vendorsrv import Handler, VendordataRequest
from vendorsrv.facts import Project
from vendorsrv.testing import FakeCloud, Reply, serve

NOVA = {"service_type": "compute"}
FLAVORS = "GET /compute/v2.1/flavors"


class Asking(Handler):
    """Asks Nova in a coroutine."""

    needs = (Project,)

    async def handle(self, request: VendordataRequest) -> Any:
        """Return Nova's flavors."""
        return (await self.openstack.get("/flavors", endpoint_filter=NOVA)).json()


class AskingInThread(Handler):
    """Asks Nova in a thread."""

    name = "asking"
    needs = (Project,)

    def handle(self, request: VendordataRequest) -> Any:
        """Return Nova's flavors."""
        assert isinstance(self.openstack, Session)
        return self.openstack.get("/flavors", endpoint_filter=NOVA).json()


BOTH = pytest.mark.parametrize("handler", [Asking, AskingInThread], ids=["coroutine", "thread"])


@BOTH
def test_a_request_has_the_token_of_the_instances_project(handler: type[Handler]) -> None:
    """One token for each project, the same as for facts."""
    with FakeCloud() as cloud, serve(handler, facts=cloud) as server:

        def projects(received: Any) -> Reply:
            token = cloud.tokens[received.headers["X-Auth-Token"]]
            return Reply(json.dumps({"of": token["project"]["id"]}).encode())

        cloud.routes[FLAVORS] = projects
        found = [server.ask(project_id=project).json for project in ("a", "b", "a")]
    assert ([{"of": "a"}, {"of": "b"}, {"of": "a"}], 2) == (found, cloud.asked["token"])


@BOTH
@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("unavailable", "OpenStack's compute service does not answer"),
        ("failing", "OpenStack's compute service does not answer"),
        ("forbidding", "OpenStack's compute service refuses vendorsrv's account"),
        ("hanging", "OpenStack's compute service does not answer"),
    ],
)
def test_a_service_that_fails(handler: type[Handler], behaviour: str, message: str) -> None:
    """It is 503, as for facts; the account's timeout is that of each step."""
    with serve(handler, facts={}, sections={"service_account": {"timeout": 1}}) as server:
        server.cloud.behaviours["nova"] = behaviour
        answer = server.ask()
    assert (503, message) == (answer.status, answer.message)


def test_an_account_without_a_role_in_the_project_is_refused() -> None:
    """Keystone gives no token for the project."""
    with serve(Methods, facts={}) as server:
        server.cloud.no_role = {"0b9d"}
        answer = server.ask(project_id="0b9d")
    assert (503, "OpenStack's compute service refuses vendorsrv's account") == (answer.status, answer.message)


def test_a_catalogue_without_the_service() -> None:
    """The message names what the catalogue lacks."""
    with serve(Elsewhere, facts={}) as server:
        answer = server.ask()
    assert (503, "Keystone's catalogue has no OpenStack's dns service") == (answer.status, answer.message)


class Elsewhere(Handler):
    """Asks a service that is not there."""

    async def handle(self, request: VendordataRequest) -> Any:
        """Ask it."""
        await self.openstack.get("/zones", endpoint_filter={"service_type": "dns"})


class Methods(Handler):
    """Uses each method."""

    async def handle(self, request: VendordataRequest) -> Any:
        """Return the methods that Nova was sent."""
        sends = (self.openstack.get, self.openstack.post, self.openstack.put, self.openstack.delete)
        return [(await send("/flavors", endpoint_filter=NOVA)).json() for send in sends]


def test_every_method_is_sent() -> None:
    """GET, POST, PUT and DELETE."""
    with serve(Methods, facts={}) as server:
        for method in ("GET", "POST", "PUT", "DELETE"):
            server.cloud.routes[f"{method} /compute/v2.1/flavors"] = lambda got: Reply(f'"{got.method}"'.encode())
        assert ["GET", "POST", "PUT", "DELETE"] == server.ask().json


class Missing(Handler):
    """Asks for what does not exist."""

    def handle(self, request: VendordataRequest) -> Any:
        """Say so."""
        try:
            self.openstack.get("/flavors/none", endpoint_filter=NOVA)
        except NotFound:
            return {"found": False}


def test_what_does_not_exist_is_keystoneauths_error() -> None:
    """Other answers than 401, 403 and 5xx are the handler's to read."""
    with serve(Missing, facts={}) as server:
        assert {"found": False} == server.ask().json


def test_without_an_account_the_log_says_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    """The handler fails, and the operator reads why."""
    with serve(Missing) as server:
        assert "handler_failed" == server.ask().code
    assert "handler missing: self.openstack needs [service_account]" in caplog.messages


class Late(Handler):
    """Goes on after its deadline."""

    timeout = 0.2
    errors: ClassVar[list[str]] = []

    def handle(self, request: VendordataRequest) -> Any:
        """Wait for it, and note what the session says then."""
        while request.time_left():
            time.sleep(0.05)
        try:
            self.openstack.get("/flavors", endpoint_filter=NOVA)
        except Exception as error:
            self.errors.append(str(error))
            raise


def test_a_run_without_time_sends_nothing() -> None:
    """After its deadline a run asks nobody."""
    with serve(Late, facts={}) as server:
        assert 504 == server.ask().status
        wait_until(lambda: bool(Late.errors))
    assert ["OpenStack's compute service did not answer in time"] == Late.errors
