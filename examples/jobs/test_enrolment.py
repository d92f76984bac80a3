"""The job against a stand-in of FreeIPA, whose server Debian and PyPI do not have, after its JSON-RPC API.

https://freeipa.readthedocs.io/en/latest/api/jsonrpc_usage.html
"""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from vendorsrv.testing import FakeUpstream, Reply, Server, serve
from vendorsrv.testing.upstream import Received

from examples.jobs.enrolment import Enrolment

INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
HOST = f"{INSTANCE}.example.org"
ASKED_FOR = {"ipa_enroll": "True"}


class FreeIPA:
    """The hosts of a directory, each with its last one-time password; an empty one has been used."""

    def __init__(self) -> None:
        self.hosts: dict[str, str] = {}
        self.issued = 0
        self.refusal: dict[str, object] | None = None

    def __call__(self, received: Received) -> Reply:
        """Answer one request."""
        if "/ipa" not in received.headers.get("Referer", ""):
            return Reply(status=400)
        if received.path == "/ipa/session/login_password":
            is_known = parse_qs(received.body.decode()) == {"user": ["vendorsrv"], "password": ["pw"]}
            cookie = "ipa_session=MagBearerToken=abc; path=/ipa; httponly; secure;"
            return Reply(b"", {"Set-Cookie": cookie}) if is_known else Reply(status=401)
        if received.headers.get("Cookie") != "ipa_session=MagBearerToken=abc":
            return Reply(status=401)
        asked = json.loads(received.body)
        (host,), options = asked["params"]
        assert (asked["method"] == "host_del") != options.get("random", False)
        return Reply(
            json.dumps({"id": asked["id"], "principal": "vendorsrv", **self.run(asked["method"], host)}).encode()
        )

    def run(self, method: str, host: str) -> dict[str, object]:
        """Run a command, and return its result and its error."""
        if method == "host_add" and host in self.hosts:
            return {"result": None, "error": {"code": 4002, "name": "DuplicateEntry", "message": "already exists"}}
        if method == "host_mod" and not self.hosts[host]:
            return {"result": None, "error": {"code": 3009, "name": "ValidationError", "message": "enrolled host"}}
        if method == "host_del":
            gone = self.hosts.pop(host, None)
            missing = {"code": 4001, "name": "NotFound", "message": f"{host}: host not found"}
            return {"result": None, "error": missing if gone is None else self.refusal}
        self.issued += 1
        self.hosts[host] = f"otp-{self.issued}"
        return {
            "result": {"result": {"fqdn": [host], "randompassword": self.hosts[host]}, "value": host},
            "error": None,
        }


def options_for(ipa: FakeUpstream, user: str = "vendorsrv") -> dict[str, str]:
    """Return the job's options for a directory."""
    return {"url": ipa.base, "user": user, "password": "pw", "domain": "example.org"}


@pytest.fixture
def freeipa() -> FreeIPA:
    """A directory."""
    return FreeIPA()


@pytest.fixture
def server(freeipa: FreeIPA) -> Iterator[Server]:
    """A server that enrols instances in it."""
    with FakeUpstream(reply=freeipa) as ipa, serve(Enrolment, options=options_for(ipa), facts={}) as server:
        yield server


def test_json_and_cloud_config_have_one_password(server: Server, freeipa: FreeIPA) -> None:
    """All requests for an instance get the one password that works, whichever target asks."""
    answers = server.config_drive(metadata=ASKED_FOR)
    cloud_init = server.ask("/cloud-init", metadata=ASKED_FOR)
    assert [{"host": HOST, "password": "otp-1"}] * 6 == [answer.json for answer in answers]
    assert f"fqdn: {HOST}" in cloud_init.json
    assert f"ipa-client-install --unattended --hostname {HOST} --password otp-1" in cloud_init.json
    assert (1, {HOST: "otp-1"}) == (freeipa.issued, freeipa.hosts)


def test_an_image_can_ask_for_it(server: Server) -> None:
    """The image's properties count when the metadata says nothing."""
    server.cloud.facts["image"] = {"properties": {"ipa_enroll": "true"}}
    assert "otp-1" == server.ask().json["password"]


@pytest.mark.parametrize("metadata", [{}, {"ipa_enroll": "false"}])
@pytest.mark.parametrize("image_id", ["5e2f3b6c-6b0a-4c39-9f4e-8c8f5a1d7e21", ""], ids=["image", "volume"])
def test_other_instances_are_not_enrolled(
    server: Server, freeipa: FreeIPA, metadata: dict[str, str], image_id: str
) -> None:
    """Nothing is made for an instance that does not ask for it."""
    assert {} == server.ask(metadata=metadata, image_id=image_id).json
    assert {} == freeipa.hosts


def test_a_lost_password_is_replaced(server: Server, freeipa: FreeIPA) -> None:
    """A host that an earlier run added gets another password."""
    freeipa.hosts[HOST] = "lost"
    assert "otp-1" == server.ask(metadata=ASKED_FOR).json["password"]


def test_an_enrolled_host_gets_no_second_password(server: Server, freeipa: FreeIPA) -> None:
    """A host that has used its password gets no other one."""
    freeipa.hosts[HOST] = ""
    answer = server.ask(metadata=ASKED_FOR)
    assert (502, "the directory refuses to enrol the instance") == (answer.status, answer.message)


def test_a_wrong_account_is_an_error(freeipa: FreeIPA) -> None:
    """Without a session nothing is made."""
    with FakeUpstream(reply=freeipa) as ipa, serve(Enrolment, options=options_for(ipa, "eve"), facts={}) as server:
        assert 502 == server.ask(metadata=ASKED_FOR).status
    assert 0 == freeipa.issued


def test_a_host_goes_with_its_instance(server: Server, freeipa: FreeIPA) -> None:
    """The host of a deleted instance is removed, also when its password was never stored, and is no error when gone."""
    server.ask(metadata=ASKED_FOR)
    assert {"enrolment": "ok"} == server.delete()
    lost, unknown = "0f0f4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d", "1f0f4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
    freeipa.hosts[f"{lost}.example.org"] = "lost"
    assert {"enrolment": "ok"} == server.delete(lost)
    assert {"enrolment": "ok"} == server.delete(unknown)
    assert {} == freeipa.hosts
    assert 410 == server.ask(metadata=ASKED_FOR).status


def test_a_directory_that_refuses_to_remove_a_host_is_asked_again(server: Server, freeipa: FreeIPA) -> None:
    """A refusal is a failure, which is tried again."""
    server.ask(metadata=ASKED_FOR)
    freeipa.refusal = {"code": 2100, "name": "ACIError", "message": "Insufficient access"}
    assert {"enrolment": "failed"} == server.delete()
    freeipa.refusal = None
    assert {"enrolment": "ok"} == server.delete()
