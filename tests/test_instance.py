"""Facts are frozen, have openstacksdk's names, and are checked where a handler says which it needs."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.real_peers import require
from vendorsrv import Handler, HandlerDefinitionError, VendordataRequest
from vendorsrv.facts import Facts, Flavor, Image, Project, Server, optional
from vendorsrv.instance import Fact

#: As Nova 34 shows it to a reader of the project while the config drive is made.
OF_NOVA: dict[str, Any] = {
    "id": "i",
    "name": "web-1",
    "status": "BUILD",
    "tenant_id": "0b9d",
    "user_id": "alice",
    "hostId": hashlib.sha224(b"0b9dcompute-1").hexdigest(),
    "OS-EXT-AZ:availability_zone": "az1",
    "OS-EXT-STS:task_state": "spawning",
    "flavor": {"original_name": "m1.small", "vcpus": 1, "ram": 2048, "disk": 20, "ephemeral": 0, "swap": 0},
    "addresses": {"net": [{"addr": "10.0.0.5", "version": 4}]},
    "metadata": {"tier": "gold"},
    "tags": ["a"],
    "of a newer Nova": 1,
}


def test_a_server_of_nova() -> None:
    """A server is read as Nova shows it, with openstacksdk's names; unknown members are ignored."""
    server = Server.model_validate(OF_NOVA)
    assert ("az1", "spawning", None) == (server.availability_zone, server.task_state, server.compute_host)
    assert ("m1.small", 2048, "10.0.0.5") == (server.flavor.name, server.flavor.ram, server.addresses["net"][0]["addr"])


def test_a_compute_host_can_be_asked_for() -> None:
    """Whether an instance is on a host follows from the host's hash, which every reader sees."""
    server = Server.model_validate(OF_NOVA)
    assert (True, False) == (server.is_on("compute-1"), server.is_on("compute-2"))


def test_is_on_agrees_with_nova() -> None:
    """The hash is the one that Nova computes."""
    require("nova", "no Nova: make test installs it")
    from nova.utils import generate_hostid

    own = {**OF_NOVA, "hostId": generate_hostid("compute-9.example.org", "0b9d")}
    assert Server.model_validate(own).is_on("compute-9.example.org")


def test_an_image_s_own_properties() -> None:
    """What is not a member of Glance's own is a property."""
    image = Image.model_validate({"id": "i", "owner": "o", "os_distro": "debian", "file": "/v2", "os_hidden": False})
    assert ({"os_distro": "debian"}, "o", False) == (dict(image.properties), image.owner_id, image.is_hidden)


def test_facts_can_be_made_by_their_names() -> None:
    """A test of a handler builds what it needs, without a server."""
    server = Server(id="i", name="web-1", status="ACTIVE", project_id="p", user_id="u", flavor=Flavor(name="m1.tiny"))
    request = VendordataRequest("i", facts=Facts(server=server, project=Project(id="p", name="demo", domain_id="d")))
    assert ("m1.tiny", "demo") == (request.facts.server.flavor.name, request.facts.project.name)
    assert {} == server.metadata


def test_what_is_not_needed_is_an_attribute_error() -> None:
    """A fact that `needs` does not name is not there, and the error says what to do."""
    with pytest.raises(AttributeError, match=r"^facts\.image: the handler's `needs` does not name it$"):
        VendordataRequest("i").facts.image  # noqa: B018


def test_facts_are_frozen() -> None:
    """Nothing in a fact can be changed: it is shared by all requests for the instance."""
    server = Server.model_validate(OF_NOVA)
    with pytest.raises(ValidationError):
        server.name = "other"
    with pytest.raises(TypeError):
        server.metadata["tier"] = "lead"  # type: ignore[index]
    with pytest.raises(TypeError):
        server.addresses["net"][0]["addr"] = "10.0.0.6"


def test_a_fact_can_be_dumped() -> None:
    """A dump of a fact is JSON."""
    dumped = Server.model_validate(OF_NOVA).model_dump(mode="json")
    assert ([{"addr": "10.0.0.5", "version": 4}], {"tier": "gold"}) == (dumped["addresses"]["net"], dumped["metadata"])


@pytest.mark.parametrize("metadata", [None, [], "text"])
def test_members_of_another_type(metadata: object) -> None:
    """Null members are none; anything else than an object is refused."""
    read = {**OF_NOVA, "metadata": metadata}
    if metadata is None:
        assert {} == Server.model_validate(read).metadata
    else:
        with pytest.raises(ValidationError):
            Server.model_validate(read)


@pytest.mark.parametrize("value", [5, ["id"]])
def test_an_image_that_is_none(value: object) -> None:
    """What is not an object is no image."""
    with pytest.raises(ValidationError):
        Image.model_validate(value)


@pytest.mark.parametrize(
    ("needs", "problem"),
    [
        (Server, "needs must be a tuple of facts; one alone needs a comma: needs = (Server,)"),
        (("server",), "needs contains 'server'; it may contain Server, Image, Project and optional(…)"),
        ((optional(Fact),), "it may contain Server, Image, Project and optional(…)"),
    ],
)
def test_wrong_needs_are_refused(needs: Any, problem: str) -> None:
    """A class whose needs cannot be met is refused when it is defined."""
    with pytest.raises(HandlerDefinitionError) as caught:
        type("Wrong", (Handler,), {"needs": needs})
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("fact", "module", "name"),
    [
        (Server, "openstack.compute.v2.server", "Server"),
        (Flavor, "openstack.compute.v2.flavor", "Flavor"),
        (Image, "openstack.image.v2.image", "Image"),
        (Project, "openstack.identity.v3.project", "Project"),
    ],
)
def test_the_names_are_openstacksdk_s(fact: type[Fact], module: str, name: str) -> None:
    """Every attribute of a fact is one of openstacksdk's class."""
    theirs = pytest.importorskip(module)
    assert [] == [each for each in fact.model_fields if not hasattr(getattr(theirs, name), each)]
