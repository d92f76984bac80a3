"""Facts are looked up once for all who want them, and kept for some seconds."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.waiting import wait_until
from vendorsrv import Handler, VendordataRequest
from vendorsrv.facts import Image, Project, Server, optional
from vendorsrv.testing import FakeCloud, ManualClock, nova_body, serve


class Placed(Handler):
    """Say where an instance is, what it runs and whose it is."""

    needs = (Server, Image, Project)

    async def handle(self, request: VendordataRequest) -> dict[str, Any]:
        """Return some of each."""
        facts = request.facts
        return {
            "zone": facts.server.availability_zone,
            "flavor": facts.server.flavor.name,
            "distro": facts.image and facts.image.properties["os_distro"],
            "domain": facts.project.domain_id,
        }


class Other(Handler):
    """Another handler that needs the same, in a thread."""

    needs = (Server, Project)

    def handle(self, request: VendordataRequest) -> str:
        """Return the server's name."""
        return request.facts.server.name

    def cloud_init(self, request: VendordataRequest) -> None:
        """Have nothing, but the facts."""
        assert "web-1" == request.facts.server.name


class Lenient(Handler):
    """One that can do without."""

    needs = (optional(Server), optional(Image), optional(Project))

    async def handle(self, request: VendordataRequest) -> list[str]:
        """Return what is not known."""
        return [name for name in ("server", "image", "project") if getattr(request.facts, name) is None]


class Careless(Handler):
    """One that reads what it does not need."""

    needs = (Server,)

    async def handle(self, request: VendordataRequest) -> str:
        """Return the project's name."""
        return request.facts.project.name


def body(number: int, project: str = "0b9d") -> bytes:
    """The body of one of many instances, each with an image of its own."""
    instance = f"7b5a4a34-9e1f-4f0e-9f38-{number:012}"
    return nova_body(instance_id=instance, image_id=f"image-{number}", project_id=project)


def test_a_handler_gets_the_facts_that_it_needs() -> None:
    """What Nova, Glance and Keystone know of the instance is in the request, by openstacksdk's names."""
    with serve(
        Placed, facts={"server": {"availability_zone": "az1"}, "image": {"properties": {"os_distro": "rhel"}}}
    ) as it:
        assert {"zone": "az1", "flavor": "m1.small", "distro": "rhel", "domain": "default"} == it.ask().json


def test_a_config_drive_costs_one_look_up_of_each_kind() -> None:
    """The six requests for a config drive, of all targets, make one look-up of each fact, and need one token."""
    with serve(Placed, Other, facts={}) as server:
        for path in ("placed", "other", "/cloud-init", "/"):
            assert [200] * 6 == [answer.status for answer in server.config_drive(path)]
        assert {"token": 1, "server": 1, "image": 1, "project": 1} == server.cloud.asked


def test_concurrent_requests_share_a_look_up() -> None:
    """Six requests at once, for two handlers, wait for the same look-up."""
    with serve(Placed, Other, facts={}) as server:
        server.cloud.go_on.clear()
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(server.ask, path) for path in ("placed", "other") * 3]
            wait_until(lambda: 3 == server.cloud.busy)
            server.cloud.go_on.set()
            assert [200] * 6 == [each.result().status for each in asked]
        assert {"token": 1, "server": 1, "image": 1, "project": 1} == server.cloud.asked


def test_facts_are_looked_up_side_by_side() -> None:
    """Nova, Glance and Keystone are asked at the same time."""
    with serve(Placed, facts={}) as server:
        server.cloud.go_on.clear()
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(server.ask)
            wait_until(lambda: 3 == server.cloud.busy)
            server.cloud.go_on.set()
            assert 200 == asked.result().status


def test_facts_are_kept_for_some_seconds() -> None:
    """After keep_for seconds a fact is looked up again, and the token is not."""
    clock = ManualClock()
    with serve(Placed, facts={}, clock=clock, sections={"facts": {"keep_for": 20}}) as server:
        server.ask()
        clock.advance(19)
        server.ask()
        assert 1 == server.cloud.asked["server"]
        clock.advance(2)
        server.cloud.facts["server"] = {"availability_zone": "az2"}
        assert "az2" == server.ask().json["zone"]
        assert {"token": 1, "server": 2, "image": 2, "project": 2} == server.cloud.asked


def test_old_facts_are_forgotten() -> None:
    """What was kept for keep_for seconds takes no memory after the next look-up, and at most 16,384 facts are kept."""
    clock = ManualClock()
    with serve(Placed, facts={}, clock=clock) as server:
        lookups = server.app.lookups
        assert lookups
        for number in range(20_000):
            lookups.keep(("project", "0b9d", f"id-{number}"), Project(id="a", name="b", domain_id="c"))
        assert (16_384, "id-3616") == (len(lookups.kept), next(iter(lookups.kept))[2])
        clock.advance(16)
        server.ask()
        assert 3 == len(lookups.kept)


def test_a_storm_makes_one_look_up_for_each_instance() -> None:
    """A thousand instances that ask six times make as many look-ups of each kind, `concurrency` at once."""
    bodies = [body(number) for number in range(1000)]
    limits = {"vendorsrv": {"request_timeout": 60}, "handler:placed": {"timeout": 59, "queue": 6000}}
    with serve(Placed, facts={}, sections={**limits, "facts": {"concurrency": 5, "keep_for": 600}}) as server:
        assert 200 == server.ask_at_once(bodies[:1])[0].status  # from now on the token is known
        for _ in range(6):
            assert {200} == {answer.status for answer in server.ask_at_once(bodies)}
        assert {"token": 1, "server": 1000, "image": 1000, "project": 1} == server.cloud.asked
        assert 5 >= server.cloud.most_at_once


def test_each_project_has_its_own_token() -> None:
    """Servers are looked up with a token for the project that Nova names."""
    with serve(Placed, facts={}) as server:
        assert {200} == {each.status for each in server.ask_at_once([body(1, "a"), body(2, "a"), body(3, "b")])}
        assert {"token": 2, "server": 3, "image": 3, "project": 2} == server.cloud.asked


def test_an_instance_from_a_volume_has_no_image() -> None:
    """Without an image in Nova's request the fact is None, and Glance is not asked."""
    with serve(Placed, facts={}) as server:
        assert server.ask(image_id="").json["distro"] is None
        assert server.ask(image_id=None).json["distro"] is None
        assert 0 == server.cloud.asked["image"]


@pytest.mark.parametrize(("missing", "name"), [("nova", "server"), ("glance", "image")])
def test_an_optional_fact_is_none_when_it_cannot_be_had(missing: str, name: str) -> None:
    """A handler that can do without a fact gets None while its service fails."""
    with serve(Lenient, facts={}) as server:
        server.cloud.behaviours[missing] = "failing"
        assert [name] == server.ask().json


def test_without_keystone_all_optional_facts_are_none() -> None:
    """A handler with optional facts only works without Keystone."""
    with serve(Lenient, facts={}) as server:
        server.cloud.behaviours["keystone"] = "failing"
        assert ["server", "image", "project"] == server.ask().json


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"server": None}, "Nova does not know the instance's server"),
        ({"image": None}, "Glance does not know the instance's image"),
        ({"project": None}, "Keystone does not know the instance's project"),
    ],
)
def test_what_does_not_exist_is_an_error(facts: Mapping[str, None], message: str) -> None:
    """A required fact about something that does not exist, or no longer, is 503 with the service's name."""
    with serve(Placed, facts=facts) as server:
        answer = server.ask()
        assert (503, "facts_refused", message) == (answer.status, answer.code, answer.message)


def test_a_server_of_another_project_is_not_shown() -> None:
    """An instance that is in another project than Nova says is unknown to Nova."""
    with serve(Placed, facts={"server": {"project_id": "another"}}) as server:
        assert "Nova does not know the instance's server" == server.ask().message


def test_an_instance_without_a_project_has_no_facts() -> None:
    """Nova's objects allow no project; there is no token for it then."""
    with serve(Placed, facts={}) as server:
        assert "Nova does not say of which project the instance is" == server.ask(project_id=None).message


def test_what_is_not_needed_is_not_known() -> None:
    """A fact that the handler's `needs` does not name is an AttributeError: 500."""
    with serve(Careless, facts={}) as server:
        assert "handler_failed" == server.ask().code


def test_missing_facts_of_some_instances_do_not_open_the_circuit() -> None:
    """Instances of a project without a role fail for ever, and the others go on."""
    with serve(Placed, facts={}) as server:
        server.cloud.no_role = {"0b9d"}
        assert {"facts_refused"} == {server.ask(body=body(number)).code for number in range(10)}
        assert 200 == server.ask(body=body(11, "another")).status


def test_an_outage_opens_the_circuit() -> None:
    """While Nova fails, the handler's circuit opens, so Nova is not asked by each request."""
    with serve(Placed, facts={}) as server:
        server.cloud.behaviours["nova"] = "failing"
        codes = [server.ask(body=body(number)).code for number in range(6)]
        assert ["facts_unavailable"] * 5 + ["circuit_open"] == codes


def test_look_ups_are_counted() -> None:
    """Look-ups are counted by fact and outcome, and their durations by fact; what is kept is not one."""
    with serve(Lenient, facts={"image": None}) as server:
        server.cloud.behaviours["nova"] = "forbidding"
        server.config_drive()
        server.cloud.behaviours["nova"] = "failing"
        server.ask()
        lines = server.get("/-/metrics", admin=True).body.decode().splitlines()
    counted = {line for line in lines if line.startswith("vendorsrv_fact_lookup") and not line.endswith(" 0.0")}
    assert {
        'vendorsrv_fact_lookups_total{fact="project",outcome="ok"} 1.0',
        'vendorsrv_fact_lookups_total{fact="image",outcome="missing"} 7.0',
        'vendorsrv_fact_lookups_total{fact="server",outcome="refused"} 6.0',
        'vendorsrv_fact_lookups_total{fact="server",outcome="failed"} 1.0',
    } == {line for line in counted if "_total" in line}
    assert 'vendorsrv_fact_lookup_duration_seconds_count{fact="image"} 7.0' in counted


def test_a_handler_that_needs_no_facts_needs_no_account() -> None:
    """A cloud that is configured and not needed is not asked."""
    with serve("mailserver", facts={}, options={"domain": "example.org"}) as server:
        assert 200 == server.ask().status
        assert {} == server.cloud.asked


def test_one_cloud_may_serve_several_servers() -> None:
    """A cloud of the test's own is used as it is."""
    with FakeCloud({"server": {"name": "db-1"}}) as cloud, serve(Other, facts=cloud) as server:
        assert "db-1" == server.ask().json
        assert cloud is server.cloud
