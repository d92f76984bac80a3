"""The job against a stand-in of Consul, which Debian and PyPI do not have, after its API.

https://developer.hashicorp.com/consul/api-docs/kv
"""

from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from vendorsrv.testing import FakeUpstream, Reply, Server, serve
from vendorsrv.testing.upstream import Received

from examples.jobs.consul_documents import ConsulDocuments


class Consul:
    """An agent with keys and values."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def __call__(self, received: Received) -> Reply:
        """Answer one request."""
        url = urlsplit(received.path)
        if url.path == "/v1/status/leader":
            return Reply(b'"10.1.10.12:8300"')
        assert {"raw": ["true"]} == parse_qs(url.query)
        if received.headers.get("X-Consul-Token") != "secret":
            return Reply(b"Permission denied", status=403)
        value = self.values.get(unquote(url.path).removeprefix("/v1/kv/"))
        return Reply(status=404) if value is None else Reply(value.encode(), {"Content-Type": "text/plain"})


DOCUMENTS = {
    "vendordata/projects/shop/hosts/web-1": "#cloud-config\ntimezone: Europe/Paris\npackages: [nginx]\n",
    "vendordata/projects/shop/all": "timezone: UTC\npackages: [chrony]\nlocale: C.UTF-8\n",
    "vendordata/projects/other/all": "timezone: Asia/Tokyo\n",
    "vendordata/roles/mail-admin": "packages: [postfix]\n",
}


@pytest.fixture
def consul() -> Iterator[FakeUpstream]:
    """An agent."""
    with FakeUpstream(reply=Consul(DOCUMENTS)) as running:
        yield running


@pytest.fixture
def server(consul: FakeUpstream) -> Iterator[Server]:
    """A server that asks it."""
    with serve(ConsulDocuments, options={"url": f"{consul.base}/v1", "token": "secret"}) as server:
        yield server


def test_the_documents_are_merged(server: Server) -> None:
    """The host's document comes before the project's and the role's; cloud-init adds their lists up."""
    answer = server.ask("/cloud-init", project_id="shop", hostname="web-1", boot_roles="member,Mail-Admin").json
    positions = [answer.index(package) for package in ("nginx", "chrony", "postfix")]
    assert sorted(positions) == positions
    assert 3 == answer.count("list(append)+dict(no_replace,recurse_list)+str()")
    assert answer.index("Europe/Paris") < answer.index("timezone: UTC")


def test_a_hostname_counts_in_its_project_only(server: Server) -> None:
    """An instance of another project with the same hostname gets nothing of that host's."""
    answer = server.ask("/cloud-init", project_id="other", hostname="web-1").json
    assert "nginx" not in answer
    assert "Asia/Tokyo" in answer


def test_a_hostname_cannot_leave_its_project(server: Server, consul: FakeUpstream) -> None:
    """Whatever a hostname has in it stays one part of the key."""
    server.ask("/cloud-init", project_id="other", hostname="x/../../../shop/all")
    paths = [each.path for each in consul.received if "hosts" in each.path]
    assert ["/v1/kv/vendordata/projects/other/hosts/x%2F..%2F..%2F..%2Fshop%2Fall?raw=true"] == paths


def test_an_instance_without_documents_gets_nothing(server: Server) -> None:
    """No key is no document, and no error."""
    answer = server.ask("/cloud-init", project_id="unknown")
    assert (200, {}) == (answer.status, answer.json)


def test_a_refused_token_is_an_error(consul: FakeUpstream) -> None:
    """An instance does not boot without its documents because a token has expired."""
    with serve(ConsulDocuments, options={"url": f"{consul.base}/v1"}) as server:
        assert 502 == server.ask("/cloud-init").status


def test_the_servers_state_shows_consul(server: Server, consul: FakeUpstream) -> None:
    """/-/ready says whether the agent answers."""
    assert {"consul-documents": {"find_leader": "ok"}} == server.run_jobs()
    consul.reply = Reply(status=500)
    assert {"consul-documents": {"find_leader": "failing"}} == server.run_jobs()
