"""vendorsrv itself passes every case of the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import running, write_config
from vendorsrv.contract.suite import Report, check

SECTIONS = "[database]\nconnection = sqlite:///{}/pins.db\n[handler:mailserver]\ndomain = example.org\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """The mail-server example, with Nova's token and a tenant's."""
    directory = tmp_path_factory.mktemp("own")
    with FakeKeystone() as keystone:
        tokens = keystone.issue("service"), keystone.issue("member", project="demo")
        config = write_config(directory, keystone, handlers="mailserver", sections=SECTIONS.format(directory))
        with running(config) as server:
            yield f"http://127.0.0.1:{server.port}", *tokens


def held(base: tuple[str, str, str], path: str) -> Report:
    """Hold it to everything, for an instance that becomes a mail server."""
    url, nova, tenant = base
    return check(f"{url}/{path}", caller=nova, tenant=tenant, payload={"boot-roles": "member,mail-admin"})


def test_our_handler_passes(base: tuple[str, str, str]) -> None:
    """A handler of vendorsrv passes every case that is not for cloud-init."""
    report = held(base, "mailserver")
    assert () == report.failures()
    assert 4 == sum(verdict.outcome == "not tested" for verdict in report.verdicts)


def test_our_cloud_init_target_passes(base: tuple[str, str, str]) -> None:
    """Vendorsrv's /cloud-init passes every case."""
    assert {"passed"} == {verdict.outcome for verdict in held(base, "cloud-init").verdicts}


def test_our_target_for_all_handlers_passes(base: tuple[str, str, str]) -> None:
    """Vendorsrv's / passes every case that applies to it."""
    assert () == held(base, "").failures()
