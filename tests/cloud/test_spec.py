"""The specification of dynamic vendordata, told by a whole OpenStack: what an instance is at its boot, it stays.

Each step is compared with docs/failures.md, "After the first boot": how often Nova asks, about which image, and with
which roles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.cloud.story import MAIL_ADMIN, MEMBER, NOTHING, Instance, mail_server
from tests.support.cloud.cloud import Cloud
from tests.support.cloud.service import PATIENCE
from tests.support.waiting import wait_until

#: What the user gives, as Nova takes it and as the guest reads it.
USER_DATA: Final = ("I2Nsb3VkLWNvbmZpZwp0aW1lem9uZTogRXVyb3BlL1ZpZW5uYQo=", b"#cloud-config\ntimezone: Europe/Vienna\n")


@contextmanager
def without_role(cloud: Cloud, user: str, role: str) -> Iterator[None]:
    """Take a role from a user in the project ``demo``, and give it back afterwards."""
    named = {"projects": "demo", "users": user, "roles": role}
    path = "".join(f"/{kind}/{cloud.keystone.id_of(kind, name)}" for kind, name in named.items())
    cloud.keystone.request("DELETE", path)
    try:
        yield
    finally:
        cloud.keystone.request("PUT", path)


def test_a_mail_server_stays_one(cloud: Cloud) -> None:
    """The instance of a mail administrator becomes a mail server and stays one, whoever does what to it."""
    bob, admin = cloud.connect("bob").compute, cloud.admin.compute
    mx = Instance(cloud, "alice", "mx1", user_data=USER_DATA[0], metadata={"purpose": "mail"})
    server, image = mx.server, mx.server.image.id
    first = cloud.drive(server)
    assert (6, {image}) == mx.asked()
    assert mail_server("mx1") == mx.drive()["mailserver"]
    assert "#cloud-config\nfqdn: mx1.example.org\n" in mx.drive()["cloud-init"]
    assert USER_DATA[1] == cloud.drive(server, "user_data")
    assert mx.drive() == mx.metadata()
    assert (1, {image}) == mx.asked()

    with without_role(cloud, "alice", "mail-admin"):
        web = Instance(cloud, "alice", "web1")
    assert (NOTHING, NOTHING) == (web.drive(), web.metadata())
    assert (7, {image}) == web.asked(MEMBER)

    bob.rebuild_server(server, name="mx1", image=image)
    mx.wait("ACTIVE")
    assert ((6, {image}), first) == (mx.asked(), cloud.drive(server))

    admin.resize_server(server, admin.find_flavor("small", ignore_missing=False).id)
    mx.wait("VERIFY_RESIZE")
    assert ((6, {image}), first) == (mx.asked(), cloud.drive(server))
    admin.confirm_server_resize(server)
    mx.wait("ACTIVE")
    admin.migrate_server(server)
    mx.wait("VERIFY_RESIZE")
    assert ((6, {image}), first) == (mx.asked(), cloud.drive(server))
    admin.revert_server_resize(server)
    mx.wait("ACTIVE")

    bob.shelve_server(server)
    mx.wait("SHELVED_OFFLOADED")
    assert mail_server("mx1") == mx.metadata()["mailserver"]
    assert (1, {image}) == mx.asked()
    bob.unshelve_server(server)
    mx.wait("ACTIVE")
    count, images = mx.asked()
    assert ((6, 1, False), first) == ((count, len(images), image in images), cloud.drive(server))


def test_what_builds_no_drive_asks_nothing(cloud: Cloud) -> None:
    """A reboot, a stop, a new name or new metadata leave the drive alone."""
    alice, bob = (cloud.connect(user).compute for user in ("alice", "bob"))
    mx = Instance(cloud, "alice", "mx13")
    server, first = mx.server, cloud.drive(mx.server)
    mx.asked()
    bob.reboot_server(server, "SOFT")
    mx.wait("ACTIVE")
    bob.reboot_server(server, "HARD")
    mx.wait("ACTIVE")
    alice.update_server(server, name="renamed")
    alice.set_server_metadata(server, purpose="other")
    alice.suspend_server(server)
    mx.wait("SUSPENDED")
    alice.resume_server(server)
    mx.wait("ACTIVE")
    alice.stop_server(server)
    mx.wait("SHUTOFF")
    assert mail_server("mx13") == mx.metadata()["mailserver"]
    alice.start_server(server)
    mx.wait("ACTIVE")
    assert ((1, {server.image.id}), first) == (mx.asked(), cloud.drive(server))


def test_a_server_of_a_snapshot_is_another(cloud: Cloud) -> None:
    """What boots from a mail server's snapshot is what its own user may have."""
    mx = Instance(cloud, "alice", "mx2")
    compute = cloud.connect("bob").compute
    snapshot = compute.create_server_image(mx.server, "of-mx2", wait=True, timeout=int(PATIENCE)).id
    copy = Instance(cloud, "bob", "mx2", image_id=snapshot)
    assert (NOTHING, (6, {snapshot})) == (copy.drive(), copy.asked(MEMBER))


def test_a_guest_without_a_config_drive_asks_by_itself(cloud: Cloud) -> None:
    """Nova asks nothing before the guest reads, then once for each time."""
    mx = Instance(cloud, "alice", "mx3", config_drive=False)
    assert (0, set()) == mx.asked()
    assert mail_server("mx3") == mx.metadata()["mailserver"]
    assert mail_server("mx3") == mx.metadata()["mailserver"]
    assert (2, {mx.server.image.id}) == mx.asked(MAIL_ADMIN)


def test_a_live_migration_asks_nothing(cloud: Cloud) -> None:
    """The drive goes with the guest to the other host."""
    mx = Instance(cloud, "alice", "mx4")
    before, first = mx.host, cloud.drive(mx.server)
    mx.asked()
    cloud.admin.compute.live_migrate_server(mx.server, block_migration="auto")
    wait_until(lambda: mx.host != before, PATIENCE)
    mx.wait("ACTIVE")
    assert ((0, set()), first) == (mx.asked(), cloud.drive(mx.server))
    assert mail_server("mx4") == mx.metadata()["mailserver"]


def test_an_evacuated_instance_is_what_it_was(cloud: Cloud) -> None:
    """Its host is lost, and the drive that is built on the other one is the same."""
    mx = Instance(cloud, "alice", "mx5")
    lost, first, image = mx.host, cloud.drive(mx.server), mx.server.image.id
    mx.asked()
    compute = cloud.admin.compute
    (service,) = compute.services(binary="nova-compute", host=lost)
    cloud.stop(lost)
    try:
        compute.update_service_forced_down(service, lost, "nova-compute")
        compute.evacuate_server(mx.server)
        wait_until(lambda: mx.host != lost, PATIENCE)
        mx.wait(mx.get().status)
    finally:
        cloud.start(lost)
        compute.update_service_forced_down(service, lost, "nova-compute", forced=False)
    assert ((6, {image}), first) == (mx.asked(), cloud.drive(mx.server))
    assert mail_server("mx5") == mx.metadata()["mailserver"]
