"""The command `contract` with tokens of the real Keystone, against our real server and the kind that the field runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.keystone import NOVA, TENANT, VENDORSRV, Account, Keystone
from tests.support.peers.certificates import Authorities
from tests.support.peers.nova import section
from tests.support.peers.server import Server
from tests.support.wsgi_server import serving_wsgi
from vendorsrv.cli.contract import contract

#: What the server of the field lacks.
LACKING = {
    "caller-tenant-token",  # any valid token is let in
    "body-boot-roles-missing",  # an older Nova's body is an exception
    "body-not-json",  # as is every other body that it does not expect
    "body-wrong-types",
    "body-get",
    "answer-error-shape",  # of which Nova's log has no word
    "answer-error-text",  # but the exception's text is in it
    "answer-request-id",
    "again-boot-roles",  # nothing is kept
}


@pytest.fixture(autouse=True)
def clouds(keystone: Keystone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two clouds in a clouds.yaml, and no other credentials."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    found = {"clouds": {"nova": cloud(keystone, NOVA), "tenant": cloud(keystone, TENANT)}}
    (tmp_path / "clouds.yaml").write_text(json.dumps(found))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))


def cloud(keystone: Keystone, account: Account) -> dict[str, Any]:
    """An account as clouds.yaml has it."""
    return {
        "auth": {
            "auth_url": keystone.url,
            "username": account.user,
            "password": account.password,
            "project_name": account.project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
    }


@pytest.fixture(scope="module")
def wsgi(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server of the field."""
    with serving_wsgi(tmp_path_factory.mktemp("wsgi"), keystone.url, VENDORSRV) as url:
        yield url


def run(url: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Run the command with both accounts, and return its exit status and what it printed."""
    done = CliRunner().invoke(contract, [url, "--os-cloud", "nova", "--tenant-os-cloud", "tenant", "--json", *options])
    assert NOVA.password not in done.output
    return done.exit_code, json.loads(done.stdout)


def failed(report: dict[str, Any]) -> set[str]:
    """Name the failed cases."""
    return {case["id"] for case in report["cases"] if case["outcome"] == "failed"}


def test_our_own_server_passes(served: Server) -> None:
    """The mail-server example passes every case."""
    status, report = run(f"{served.url}/mailserver", "--strict", "--boot-roles", "member,mail-admin")
    assert (0, set()) == (status, failed(report))
    assert {"cloud-init-string", "cloud-init-parts", "cloud-init-include", "cloud-init-overridden"} == {
        case["id"] for case in report["cases"] if case["outcome"] == "not tested"
    }


def test_the_cloud_init_target_passes(served: Server) -> None:
    """The target cloud-init passes every case, and none is left out."""
    url = f"{served.url}/cloud-init"
    status, report = run(url, "--strict", "--boot-roles", "member,mail-admin")
    assert (0, {"passed"}) == (status, {case["outcome"] for case in report["cases"]})


def test_the_failures_of_a_wsgi_server(wsgi: str) -> None:
    """The cases that a WSGI server behind keystonemiddleware fails are reported by id."""
    status, report = run(f"{wsgi}/mailserver", "--boot-roles", "member,mail-admin")
    assert (1, LACKING) == (status, failed(report))


def test_a_wsgi_server_with_side_effects(keystone: Keystone, tmp_path: Path) -> None:
    """A WSGI server runs once for each of Nova's calls, each time with another password."""
    runs = tmp_path / "runs"
    runs.mkdir()
    with serving_wsgi(tmp_path / "wsgi", keystone.url, VENDORSRV, delay=0.01, runs=runs) as url:
        status, report = run(f"{url}/mailserver")
    assert (1, LACKING - {"again-boot-roles"} | {"again-same"}) == (status, failed(report))


def test_a_proxy_before_a_wsgi_server(wsgi: str, keystone: Keystone, tmp_path: Path) -> None:
    """With our proxy in front, only the case of a body at which the WSGI server itself fails is left."""
    rack = {"url": f"{wsgi}/rack", "auth": "relay", "relay_hosts": "127.0.0.1", "pin": True}
    with Server(tmp_path / "proxy", keystone, {"proxy:rack": rack}) as server:
        status, report = run(f"{server.url}/rack", "--boot-roles", "member,mail-admin")
    assert (0, {"body-boot-roles-missing"}) == (status, failed(report))


def test_cases_without_credentials(served: Server) -> None:
    """Without credentials the other cases are skipped, and the report says which credentials they need."""
    done = CliRunner().invoke(contract, [f"{served.url}/mailserver", "--json"])
    report = json.loads(done.stdout)
    assert {
        "caller-no-token",
        "caller-empty-token",
        "caller-garbage-token",
        "caller-refusal-401",
        "caller-challenge",
        "caller-before-body",
        "answer-redirect",
        "answer-error-shape",
        "answer-error-text",
        "answer-request-id",
    } == {case["id"] for case in report["cases"] if case["outcome"] == "passed"}
    assert (0, set()) == (done.exit_code, failed(report))
    assert "give the credentials of Nova's account" in next(
        case["found"] for case in report["cases"] if case["id"] == "caller-valid-token"
    )


def test_nova_conf_names_an_account(keystone: Keystone, served: Server, tmp_path: Path) -> None:
    """The command takes its account from nova.conf, as `call` does."""
    options = {"auth_type": "password", **cloud(keystone, NOVA)["auth"]}
    (tmp_path / "nova.conf").write_text(section("vendordata_dynamic_auth", options))
    arguments = [f"{served.url}/mailserver", "--nova-conf", str(tmp_path / "nova.conf"), "--only", "caller-valid-token"]
    done = CliRunner().invoke(contract, arguments)
    assert (0, True) == (done.exit_code, "1 passed, 0 failed" in done.stdout)


def test_a_keystone_that_gives_no_token(keystone: Keystone, served: Server, tmp_path: Path) -> None:
    """Without a token nothing is sent, and the exit status is 2."""
    wrong = {"clouds": {"nova": cloud(keystone, NOVA._replace(password="hunter2"))}}
    (tmp_path / "clouds.yaml").write_text(json.dumps(wrong))
    done = CliRunner().invoke(contract, [f"{served.url}/mailserver", "--os-cloud", "nova"])
    assert f"vendorsrv: Keystone at {keystone.url} refused the credentials (HTTP 401)\n" == done.stderr
    assert 2 == done.exit_code


def test_a_server_over_tls(keystone: Keystone, served_by_tls: Server, authorities: Authorities, tmp_path: Path) -> None:
    """With the CA the server is tested over TLS; without it, it cannot be tested."""
    url = f"{served_by_tls.url}/mailserver"
    status, report = run(url, "--only", "answer", "--ssl-certfile", str(authorities.ours))
    assert (0, set()) == (status, failed(report))
    done = CliRunner().invoke(contract, [url, "--os-cloud", "nova"])
    assert (2, f"vendorsrv: {url} cannot be called: no answer: the TLS connection failed, ") == (
        done.exit_code,
        done.stderr.rpartition(", ")[0] + ", ",
    )
