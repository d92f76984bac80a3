"""The six jobs in one real server of two workers, with stand-ins of the services that the jobs' own tests have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import httpx
import pytest

from examples.jobs.test_attestation import INTERFACES, claims_of, pem
from examples.jobs.test_consul_documents import Consul
from examples.jobs.test_enrolment import FreeIPA
from examples.jobs.test_hardening import INVENTORY, ON_COMPUTE_1, PROJECT
from examples.jobs.test_join_token import headscale
from examples.jobs.test_ssh_keys import KEYS, portal
from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import JSON, free_port, section, serving, write_config
from vendorsrv.testing import FakeCloud, FakeUpstream, Reply, nova_body
from vendorsrv.testing.upstream import Received

INSTANCE: Final = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
HANDLERS: Final = (
    "attestation:Attestation",
    "consul_documents:ConsulDocuments",
    "enrolment:Enrolment",
    "hardening:Hardening",
    "join_token:JoinToken",
    "ssh_keys:SshKeys",
)
DOCUMENT: Final = {f"vendordata/projects/{PROJECT}/hosts/web-1": "timezone: Europe/Paris\n"}


class Site(NamedTuple):
    """The server, and the services that its handlers ask."""

    client: httpx.Client
    token: str
    freeipa: FreeIPA
    minted: FakeUpstream

    def ask(self, path: str) -> Any:
        """Ask for the instance as Nova does."""
        body = nova_body(instance_id=INSTANCE, project_id=PROJECT, hostname="web-1", metadata={"ipa_enroll": "true"})
        response = self.client.post(path, content=body, headers={**JSON, "X-Auth-Token": self.token})
        assert 200 == response.status_code, response.text
        return response.json()


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server in a process of its own, with two workers."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "key.pem").write_bytes(pem())
    (folder / "inventory.yaml").write_text(INVENTORY)
    freeipa = FreeIPA()
    with ExitStack() as stack:
        cloud = stack.enter_context(FakeCloud({"server": ON_COMPUTE_1}))
        cloud.routes[f"GET /compute/v2.1/servers/{INSTANCE}/os-interface"] = Reply(json.dumps(INTERFACES).encode())
        ipa, consul, minted, portals = (
            stack.enter_context(FakeUpstream(reply=each)) for each in (freeipa, Consul(DOCUMENT), headscale, portal)
        )
        options: dict[str, dict[str, object]] = {
            "service_account": cloud.options,
            "handler:attestation": {"issuer": "https://vendordata.example.org", "key_file": folder / "key.pem"},
            "handler:consul-documents": {"url": f"{consul.base}/v1", "token": "secret"},
            "handler:enrolment": {"url": ipa.base, "user": "vendorsrv", "password": "pw", "domain": "example.org"},
            "handler:hardening": {"inventory": folder / "inventory.yaml"},
            "handler:join-token": {"url": minted.base, "api_key": "secret", "user": "1"},
            "handler:ssh-keys": {"url": portals.base, "token": "secret"},
        }
        keystone = stack.enter_context(FakeKeystone())
        port = free_port()
        handlers = ",".join(f"examples.jobs.{each}" for each in HANDLERS)
        sections = "\n".join(section(name, each) for name, each in options.items())
        config = write_config(folder, keystone, handlers=handlers, sections=sections, port=port, workers=2)
        server = stack.enter_context(serving(config, port))
        server.wait_until_answers()
        yield Site(stack.enter_context(server.client()), keystone.issue("service"), freeipa, minted)


def test_an_instance_gets_what_each_job_has_for_it(site: Site) -> None:
    """One target gets the JSON of all jobs, another their cloud-config, and the public key is where it belongs."""
    answers = site.ask("/")
    claims = claims_of(answers.pop("attestation")["statement"], site.client.get("/.well-known/jwks.json").json())
    assert (INSTANCE, PROJECT) == (claims["sub"], claims["project_id"])
    assert {
        "enrolment": {"host": f"{INSTANCE}.example.org", "password": "otp-1"},
        "hardening": {"rack": "b7"},
        "join-token": {"url": site.minted.base, "key": "8f3a"},
        "ssh-keys": KEYS,
    } == {name: answers[name] for name in ("enrolment", "hardening", "join-token", "ssh-keys")}
    cloud_config = site.ask("/cloud-init")
    for text in ("--password otp-1", "--auth-key 8f3a", "MaxAuthTries 3", "timezone: Europe/Paris"):
        assert text in cloud_config


def test_what_is_made_once_is_made_once(site: Site) -> None:
    """Requests of all targets, at once and to both workers, make one password and one key."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(site.ask, ["/", "/cloud-init", "/enrolment", "/join-token"] * 2))
    assert 1 == site.freeipa.issued
    assert 1 == len([each for each in site.minted.received if is_request(each)])


def is_request(received: Received) -> bool:
    """Whether it is for a key."""
    return received.path == "/api/v1/preauthkey"
