"""The check that asks Keystone, the database and the shared cache for real."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import section, write_config
from vendorsrv.cli.main import main
from vendorsrv.testing import FakeCloud, Reply

PINNING = "[handler:echo]\npin = true\n"
#: Nobody listens on this port.
NO_CACHE = "[cache]\nenabled = true\nbackend = dogpile.cache.pymemcache\nmemcache_servers = 127.0.0.1:9\n"


def errors(config: Path, *options: str) -> list[str]:
    """The errors of `vendorsrv check`, without the file's name and the line."""
    result = CliRunner().invoke(main, ["check", *options, "--config-file", str(config)])
    return [line.split(": error: ")[1] for line in result.stdout.splitlines() if ": error: " in line]


def test_nothing_is_asked_without_the_option(tmp_path: Path) -> None:
    """Without --online a Keystone and a cache that do not answer are no errors."""
    assert [] == errors(write_config(tmp_path, sections=NO_CACHE))


def test_a_keystone_and_a_cache_that_do_not_answer(tmp_path: Path) -> None:
    """With --online each peer that does not answer is an error."""
    assert [
        "[keystone_authtoken] Keystone does not answer, or refuses the account in [keystone_authtoken]",
        "[cache] the cache does not answer (MemcacheError)",
    ] == errors(write_config(tmp_path, sections=NO_CACHE), "--online")


def test_an_account_and_a_new_database_that_work(tmp_path: Path, fake: FakeKeystone) -> None:
    """With --online a Keystone that accepts the account, and a database that the server will create, are right."""
    assert [] == errors(write_config(tmp_path, fake, sections=PINNING), "--online")
    assert not (tmp_path / "pins.db").exists()


def test_a_database_with_other_tables(tmp_path: Path, fake: FakeKeystone) -> None:
    """With --online a database without vendorsrv's tables is an error."""
    with sqlite3.connect(tmp_path / "pins.db") as other:
        other.execute("CREATE TABLE pins (other TEXT)")
    assert [
        "[database] connection: the database has no tables of vendorsrv; run: vendorsrv db upgrade --config-file FILE"
    ] == errors(write_config(tmp_path, fake, sections=PINNING), "--online")


def test_a_database_that_does_not_answer(tmp_path: Path, fake: FakeKeystone) -> None:
    """With --online a file that is no database is an error, whose text has no more than the kind of it."""
    (tmp_path / "pins.db").write_text("no database, and longer than the header of one has to be" * 20)
    assert ["[database] connection: the database does not answer (DatabaseError)"] == errors(
        write_config(tmp_path, fake, sections=PINNING), "--online"
    )


ROLE = "openstack role add --user USER --domain default --inherited reader"
REACH = "note: [service_account] it has roles in 2 projects of the domains default: {others}"
OTHERS = "instances of all other projects are answered 503"
PROJECT = "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e"
OF_NOVA = "os_compute_api:servers:index and os_compute_api:servers:show"
ADMIN = "[facts]\nscope = admin\n"
#: What is no answer to the question for projects.
NONSENSE = Reply(b'{"projects": [{"name": "demo"}]}')


def found(folder: Path, keystone: FakeKeystone, cloud: FakeCloud, scope: str = "") -> list[str]:
    """The findings of `vendorsrv check --online` about the account for facts."""
    options = {**cloud.options, **({"project_name": "ops", "project_domain_name": "Default"} if scope else {})}
    config = write_config(folder, keystone, sections=section("service_account", options) + scope)
    config.chmod(0o600)
    result = CliRunner().invoke(main, ["check", "--online", "--config-file", str(config)])
    lines = [line.partition(": ")[2] for line in result.stdout.splitlines()]
    return [line for line in lines if "[service_account]" in line or "[facts]" in line]


def refuse(*paths: str) -> Callable[[FakeCloud], object]:
    """Let a service refuse what others allow."""
    return lambda cloud: cloud.routes.update(dict.fromkeys((f"GET /{path}" for path in paths), Reply(b"{}", {}, 403)))


@pytest.mark.parametrize("known", [{}, {"server": None, "image": None}])
def test_an_account_that_can_look_up_facts(tmp_path: Path, fake: FakeKeystone, known: Mapping[str, None]) -> None:
    """Each look-up is tried, with an instance and without one; a note says for which projects that holds."""
    with FakeCloud(known) as cloud:
        assert [REACH.format(others=OTHERS)] == found(tmp_path, fake, cloud)
        assert {"token": 2, "server": 1, "image": 1, "project": 1} == cloud.asked


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda cloud: setattr(cloud, "roles", ("service", "member")), "{0} refuses it {1}; {2}"),
        (
            refuse("compute/v2.1/servers"),
            f"Nova refuses the role reader in the project {{project}}: its policy must allow {OF_NOVA}",
        ),
        (
            refuse("image/v2/images/7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"),
            "Glance refuses the role reader in the project {project}: its policy must allow get_images and get_image",
        ),
        (
            refuse(f"identity/v3/projects/{PROJECT}"),
            "Keystone refuses the role reader in the project {project}: its policy must allow identity:get_project",
        ),
        (lambda cloud: setattr(cloud, "no_role", {PROJECT}), "Keystone gives it no token for the project {project}"),
        (lambda cloud: cloud.behaviours.update(nova="failing"), "Nova answered with status 500"),
        (lambda cloud: cloud.behaviours.update(glance="babbling"), "the answer of Glance cannot be read"),
    ],
)
def test_a_look_up_that_fails(
    tmp_path: Path, fake: FakeKeystone, change: Callable[[FakeCloud], None], expected: str
) -> None:
    """The finding names the role that the account lacks, or the policy that refuses its role, or the service."""
    with FakeCloud() as cloud:
        change(cloud)
        _, *errors = found(tmp_path, fake, cloud)
    where = f"in the project {PROJECT}, where it has the roles member, service"
    services = ("Nova", "Glance") if "{0}" in expected else ("",)
    texts = [expected.format(service, where, ROLE, project=PROJECT) for service in services]
    assert [f"error: [service_account] {text}" for text in texts] == errors


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda cloud: setattr(cloud, "projects", ()),
            f"error: [service_account] it has no role in any project; {ROLE.replace('default', 'DOMAIN')}",
        ),
        (
            lambda cloud: setattr(cloud, "projects", ("ops",)),
            f"warning: [service_account] it has a role in the project ops only: {OTHERS}; "
            + ROLE.replace("default", "DOMAIN"),
        ),
        (
            lambda cloud: setattr(cloud, "no_role", {"id-of-None"}),
            "error: [service_account] Keystone refuses the account: its name or password is wrong",
        ),
        (
            lambda cloud: cloud.behaviours.update(keystone="failing"),
            "error: [service_account] Keystone does not answer",
        ),
        (
            lambda cloud: cloud.routes.update({"GET /identity/v3/auth/projects": NONSENSE}),
            "error: [service_account] Keystone does not answer",
        ),
    ],
)
def test_an_account_without_projects(
    tmp_path: Path, fake: FakeKeystone, change: Callable[[FakeCloud], None], expected: str
) -> None:
    """An account that Keystone refuses, or with a role in one project at most, is a finding that says what to do."""
    with FakeCloud() as cloud:
        change(cloud)
        assert [expected] == found(tmp_path, fake, cloud)


def test_an_account_with_its_own_scope(tmp_path: Path, fake: FakeKeystone) -> None:
    """With scope = admin the account needs the role admin in its own project, and is tried there."""
    with FakeCloud() as cloud:
        assert [
            "error: [facts] scope: admin needs the role admin in the project demo; the account has the roles reader"
        ] == found(tmp_path, fake, cloud, ADMIN)
        cloud.roles = ("admin", "reader")
        assert [] == found(tmp_path, fake, cloud, ADMIN)
        cloud.no_role = {"id-of-ops"}
        refused = "Keystone refuses the account: its name or password is wrong, or has no role in its project"
        assert [f"error: [service_account] {refused}"] == found(tmp_path, fake, cloud, ADMIN)


@pytest.mark.parametrize("listed", [b'{"servers": 1}', b'{"servers": [{}]}', b"[]", b"{"])
def test_a_list_that_cannot_be_read(tmp_path: Path, fake: FakeKeystone, listed: bytes) -> None:
    """What is no list of servers is a finding, and no traceback."""
    with FakeCloud() as cloud:
        cloud.routes["GET /compute/v2.1/servers"] = Reply(listed)
        assert "error: [service_account] the answer of Nova cannot be read" == found(tmp_path, fake, cloud)[1]


def test_a_service_that_hangs(tmp_path: Path, fake: FakeKeystone) -> None:
    """A service that does not answer is waited for some seconds."""
    with FakeCloud() as cloud:
        cloud.behaviours["nova"] = "hanging"
        assert "error: [service_account] Nova did not answer within 5 s" == found(tmp_path, fake, cloud)[1]
        cloud.over.set()


def test_peers_are_not_asked_with_errors(tmp_path: Path) -> None:
    """A configuration with errors is not tried."""
    assert ["[vendorsrv] prot: there is no such option; did you mean port?"] == errors(
        write_config(tmp_path, prot=1), "--online"
    )
