"""The account that asks for facts: what it needs, and which tokens it gets."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.facts.test_lookups import Placed
from tests.support.peers.certificates import Authorities
from vendorsrv import ConfigError, Handler, VendordataRequest
from vendorsrv.facts import Server
from vendorsrv.testing import FakeCloud, serve

ACCOUNT: Mapping[str, object] = {
    "auth_type": "password",
    "auth_url": "https://keystone.example.org:5000/v3",
    "username": "vendorsrv",
    "password": "planted",
    "user_domain_id": "default",
}


class Host(Handler):
    """Say on which host an instance is."""

    needs = (Server,)

    async def handle(self, request: VendordataRequest) -> str | None:
        """Return the host."""
        return request.facts.server.compute_host


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"auth_type": None}, "[service_account] auth_type: required; vendorsrv"),
        ({"auth_type": "pasword"}, "[service_account] auth_type: unknown plugin 'pasword'; most clouds use password"),
        ({"auth_url": None}, "[service_account] auth_url: required"),
        ({"auth_url": ""}, "[service_account] auth_url: required"),
        ({"password": None}, "[service_account] password: required"),
        ({"user_domain_id": None}, "[service_account] user_domain_name: required (or user_domain_id, "),
        ({"timeout": "soon"}, "[service_account] timeout: "),
        ({"auth_type": "admin_token", "token": "t"}, "admin_token has no catalogue of services; use password"),
        (
            {
                "auth_type": "v3applicationcredential",
                "application_credential_secret": "s",
                "application_credential_id": "i",
            },
            "v3applicationcredential is bound to one project; use password, or [facts] scope = admin",
        ),
    ],
)
def test_an_account_that_cannot_work(changes: Mapping[str, object], problem: str) -> None:
    """A server with a handler that needs facts starts with a usable account only; the error names the option."""
    account = {**ACCOUNT, "endpoint": None, **changes}
    with pytest.raises(ConfigError) as caught, serve(Placed, sections={"service_account": account}):
        pass
    assert problem in str(caught.value)
    assert "planted" not in str(caught.value)


def test_a_wrong_value_of_facts() -> None:
    """A wrong value in [facts] stops the start."""
    sections = {"service_account": ACCOUNT, "facts": {"concurrency": 0, "scope": "system"}}
    with pytest.raises(ConfigError) as caught, serve(Placed, sections=sections):
        pass
    assert {"[facts] concurrency", "[facts] scope"} <= {
        line.partition(":")[0] for line in str(caught.value).splitlines()
    }


def test_an_account_of_another_section() -> None:
    """auth_section names the section that has the account, as everywhere in OpenStack."""
    with FakeCloud() as cloud:
        sections = {
            "service_account": {"auth_section": "lookups", **dict.fromkeys(cloud.options)},
            "lookups": cloud.options,
        }
        with serve(Placed, facts=cloud, sections=sections) as server:
            assert 200 == server.ask().status


def test_the_compute_host_needs_an_admin() -> None:
    """A reader does not see the host's name; with scope = admin, one token shows it for every project."""
    with serve(Host, facts={}) as server:
        assert server.ask().json == {}
    admin = {"project_name": "service", "project_domain_name": "Default"}
    with FakeCloud() as cloud:
        cloud.roles = ("admin",)
        sections = {"facts": {"scope": "admin"}, "service_account": admin}
        with serve(Host, facts=cloud, sections=sections) as server:
            bodies = [server.ask(project_id=project).json for project in ("0b9d", "1f2e", None)]
            assert ["compute-1"] * 3 == bodies
            assert 1 == cloud.asked["token"]


def test_an_admin_without_a_project() -> None:
    """With scope = admin the account's own scope must be set."""
    sections = {"service_account": ACCOUNT, "facts": {"scope": "admin"}}
    with (
        pytest.raises(ConfigError, match=r"\[service_account\] project_name: required"),
        serve(Host, sections=sections),
    ):
        pass


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize(
    ("trust", "status"),
    [({"cafile": "ca"}, 200), ({"insecure": True}, 200), ({}, 503)],
    ids=["cafile", "insecure", "none"],
)
def test_certificates_are_verified(trust: Mapping[str, object], status: int, tmp_path: Path) -> None:
    """The services' certificates are verified with cafile, as far as `insecure` is not set."""
    authorities = Authorities(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authorities.certificate, authorities.key)
    given = {"cafile": authorities.ours} if "cafile" in trust else trust
    with FakeCloud(context=context) as cloud, serve(Host, facts=cloud, sections={"service_account": given}) as server:
        assert status == server.ask().status
