"""The real peers, started once for a test run, and the accounts and tokens that tests need of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.keystone import NOVA, NOVA_ADMIN, TENANT, VENDORSRV, Keystone
from tests.support.peers.certificates import Authorities
from tests.support.peers.nova import Nova
from tests.support.peers.server import Server
from tests.support.peers.table import SERVERS
from tests.support.peers.ways import Ways, leading
from tests.support.real_peers import require
from tests.support.serving import free_port
from tests.support.waiting import wait_until
from tests.support.wsgi_server import serving_wsgi

NO_NOVA = "no real Nova: pip install nova"
NO_KEYSTONE = "no real Keystone: pip install 'vendorsrv[demo]'"


def start(directory: Path) -> Iterator[Keystone]:
    """Serve a Keystone with the accounts of tests/support/keystone.py, and stop it at the end."""
    require("keystone", NO_KEYSTONE)
    port = free_port()  # it is kept for Keystone while that is stopped
    with Keystone(directory=directory / "data", log_file=directory / "keystone.log", port=port) as keystone:
        keystone.create_accounts()
        yield keystone


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C ends what tests start; a run in the background would hand down that it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """The real Keystone of this run. It is everybody's: leave it as it was."""
    yield from start(tmp_path_factory.mktemp("keystone"))


@pytest.fixture(scope="session")
def second_keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """The process behind ``fragile_keystone``, for all tests that use it."""
    yield from start(tmp_path_factory.mktemp("fragile-keystone"))


@pytest.fixture
def fragile_keystone(second_keystone: Keystone) -> Iterator[Keystone]:
    """A second real Keystone, to be stopped, hung and restarted; it runs again for the next test."""
    yield second_keystone
    second_keystone.revive()


@pytest.fixture
def nova_token(keystone: Keystone) -> str:
    """A new token of Nova's user, with the role ``service``."""
    return keystone.token(NOVA)


@pytest.fixture
def admin_token(keystone: Keystone) -> str:
    """A new token of a user with the role ``admin`` in the project ``service``."""
    return keystone.token(NOVA_ADMIN)


@pytest.fixture
def tenant_token(keystone: Keystone) -> str:
    """A new token of somebody who boots instances, with the role ``member``."""
    return keystone.token(TENANT)


@pytest.fixture
def revoked_token(keystone: Keystone) -> str:
    """A token of Nova's user that Keystone no longer accepts."""
    token = keystone.token(NOVA)
    keystone.revoke(token)
    return token


@pytest.fixture(scope="session")
def expired_token(keystone: Keystone) -> str:
    """A token of Nova's user whose time is over."""
    token = keystone.short_token(NOVA)
    wait_until(lambda: not keystone.accepts(token))
    return token


@pytest.fixture(scope="session")
def nova(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nova]:
    """Nova's own vendordata client, which has its tokens from the run's Keystone."""
    require("nova", NO_NOVA)
    with Nova(tmp_path_factory.mktemp("nova"), keystone) as nova:
        yield nova


@pytest.fixture(scope="session")
def served(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our own server with the handlers ``mailserver``, ``received`` and ``echo``, validating at the run's Keystone."""
    handlers = "mailserver, tests.support.peers.handlers:Received, tests.support.peers.handlers:Echo"
    options = {"vendorsrv": {"handlers": handlers}}
    with Server(tmp_path_factory.mktemp("served"), keystone, options) as server:
        yield server


@pytest.fixture(scope="session")
def served_by_fragile(second_keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our own server, validating at the Keystone of ``fragile_keystone``."""
    with Server(tmp_path_factory.mktemp("served-by-fragile"), second_keystone) as server:
        yield server


@pytest.fixture(scope="session")
def wsgi_on_waitress(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server as the field runs it, on waitress."""
    with serving_wsgi(tmp_path_factory.mktemp("waitress"), keystone.url, VENDORSRV, server="waitress") as url:
        yield url


@pytest.fixture(scope="session")
def wsgi_on_gunicorn(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server as the field runs it, on gunicorn."""
    with serving_wsgi(tmp_path_factory.mktemp("gunicorn"), keystone.url, VENDORSRV, server="gunicorn") as url:
        yield url


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    """The certificates of this run."""
    return Authorities(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def served_by_tls(
    keystone: Keystone, authorities: Authorities, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Our server over HTTPS."""
    options = {"vendorsrv": {"cert_file": authorities.certificate, "key_file": authorities.key}}
    with Server(tmp_path_factory.mktemp("tls"), keystone, options, trust=authorities.context()) as server:
        yield server


@pytest.fixture(scope="session")
def asking_for_certificates(
    keystone: Keystone, authorities: Authorities, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Our server over HTTPS, which lets in only clients that show a certificate."""
    options = {
        "vendorsrv": {
            "cert_file": authorities.certificate,
            "key_file": authorities.key,
            "ca_file": authorities.ours,
        }
    }
    with Server(tmp_path_factory.mktemp("mtls"), keystone, options, trust=authorities.context()) as server:
        yield server


@pytest.fixture(scope="session")
def urls(served: Server, wsgi_on_waitress: str, wsgi_on_gunicorn: str) -> dict[str, str]:
    """Where the servers are that behave, by their names in the table."""
    bases = {"ours": served.url, "echo": served.url, "waitress": wsgi_on_waitress, "gunicorn": wsgi_on_gunicorn}
    return {name: base + SERVERS[name] for name, base in bases.items()}


@pytest.fixture(scope="session")
def ways(
    nova: Nova, keystone: Keystone, urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ways]:
    """Each way to each server of the table."""
    with leading(tmp_path_factory.mktemp("ways"), nova, keystone, urls) as ways:
        yield ways
