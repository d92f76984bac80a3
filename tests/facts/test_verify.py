"""With `verify`, a handler runs only for an instance that exists at Nova, in the project that the request names."""

from __future__ import annotations

from typing import Any

import pytest

from vendorsrv import Handler, OnError, VendordataRequest
from vendorsrv.facts import Image
from vendorsrv.testing import FakeCloud, serve

ELSEWHERE = "Nova knows no such instance in the project that the request names"


class Attested(Handler):
    """Attest an instance; each run is counted."""

    verify = True
    on_error = OnError.EMPTY
    needs = (Image,)
    runs: int = 0

    async def handle(self, request: VendordataRequest) -> int:
        """Count the run."""
        Attested.runs += 1
        return Attested.runs


class Kept(Attested):
    """The same for life."""

    pin = True


class Shared(Attested):
    """The same for a project."""

    cache_for = 300.0

    def cache_key(self, request: VendordataRequest) -> Any:
        """Make it once for the project."""
        return request.project_id


class Open(Handler):
    """One that does not care."""

    def handle(self, request: VendordataRequest) -> str:
        """Return anything."""
        return "open"


@pytest.mark.parametrize(
    "status", ["BUILD", "ACTIVE", "ERROR", "SHUTOFF", "SHELVED_OFFLOADED", "SOFT_DELETED", "RESCUE"]
)
def test_an_instance_that_exists(status: str) -> None:
    """Nova asks for instances of any status."""
    with serve(Attested, facts={"server": {"status": status}}) as server:
        assert 200 == server.ask().status


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (None, ELSEWHERE),
        ({"project_id": "another"}, ELSEWHERE),
        ({"status": "DELETED"}, "the instance is deleted"),
    ],
)
def test_an_instance_that_does_not_exist(facts: dict[str, Any] | None, message: str) -> None:
    """No run, no fallback and no pin for an instance that is unknown, of another project or deleted; it is counted."""
    with serve(Kept, facts={"server": facts, "image": None}) as server:
        before = Attested.runs
        answer = server.ask()
        assert (403, "forbidden", message) == (answer.status, answer.code, answer.message)
        assert b"vendorsrv_instances_refused_total 1.0" in server.get("/-/metrics", admin=True).body
        server.cloud.facts |= {"server": {}, "image": {}}
        if facts != {"status": "DELETED"}:  # that is kept for some seconds
            assert before + 1 == server.ask().json


def test_the_refused_instance_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A warning names the instance and the reason."""
    with serve(Attested, facts={"server": None}) as server:
        server.ask()
    assert f"instance 7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d is refused: {ELSEWHERE}" in caplog.messages


def test_an_admin_sees_the_other_project() -> None:
    """With scope = admin Nova shows the instance of another project, and it is refused all the same."""
    with FakeCloud({"server": {"project_id": "another"}, "image": None}) as cloud:
        cloud.roles = ("admin",)
        sections = {"facts": {"scope": "admin"}, "service_account": {"project_name": "service"}}
        sections["service_account"]["project_domain_name"] = "Default"
        with serve(Attested, facts=cloud, sections=sections) as server:
            assert [ELSEWHERE] * 2 == [server.ask(project_id=project).message for project in ("0b9d", None)]


def test_an_instance_without_a_project_is_refused() -> None:
    """A request that names no project is about no instance that Nova knows."""
    with serve(Attested, facts={}) as server:
        assert ELSEWHERE == server.ask(project_id=None).message


def test_what_is_pinned_is_served_without_nova() -> None:
    """A pinned answer needs no look-up, so an outage of Nova's API does not touch it."""
    with serve(Kept, facts={}) as server:
        first = server.ask().body
        server.cloud.stop()
        assert [first] * 6 == [answer.body for answer in server.config_drive()]


def test_a_new_instance_waits_for_nova() -> None:
    """While Nova's API is down nothing is pinned: 503, and the fallback if there is one."""
    with serve(Kept, facts={}, sections={"handler:kept": {"on_error": "fail"}}) as server:
        server.cloud.behaviours["nova"] = "failing"
        assert "facts_unavailable" == server.ask().code
        server.cloud.behaviours["nova"] = "available"
        assert 200 == server.ask().status


def test_all_handlers_can_be_made_to_verify() -> None:
    """[vendorsrv] verify is for all handlers that do not say otherwise in their section."""
    with serve(Open, facts={"server": None}, sections={"vendorsrv": {"verify": True}}) as server:
        assert 403 == server.ask().status
    sections = {"vendorsrv": {"verify": True}, "handler:open": {"verify": False}}
    with serve(Open, facts={"server": None}, sections=sections) as server:
        assert "open" == server.ask().json


def test_an_operator_makes_one_handler_verify() -> None:
    """The option of the handler's own section is enough."""
    with serve(Open, Attested, facts={"server": None}, sections={"handler:open": {"verify": True}}) as server:
        assert 403 == server.ask("open").status


def test_an_answer_for_a_project_is_for_its_instances_only() -> None:
    """What is cached under a `cache_key` was made for another instance: the one that asks is verified all the same."""
    with serve(Shared, facts={}) as server:
        before = server.ask().json
        server.cloud.facts["server"] = None
        other = server.ask(instance_id="0f0f4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d")
        assert (403, ELSEWHERE) == (other.status, other.message)
        server.cloud.facts["server"] = {}
        assert before == server.ask(instance_id="0f0f4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d").json
