"""What a new cloud gets once: databases, accounts, the catalogue, an image and flavors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from openstack.connection import Connection

from tests.support.cloud.service import Service
from tests.support.cloud.stores import Stores
from vendorsrv.demo.keystone import LocalKeystone

BIN: Final = Path(sys.executable).parent
#: What has a port: the path of its endpoint, and the module of a WSGI application.
ENDPOINTS: Final = {
    "keystone": ("/v3", ""),
    "placement": ("", "placement.wsgi.api"),
    "glance": ("", "glance.wsgi.api"),
    "neutron": ("", ""),
    "nova-api": ("/v2.1", "nova.wsgi.osapi_compute"),
    "nova-metadata": ("", "nova.wsgi.metadata"),
    "vendorsrv": ("", ""),
}
PORTS: Final = (*ENDPOINTS, "vendorsrv-admin")
#: Services of the catalogue: their type, their name, and which program has them.
CATALOGUE: Final = (
    ("placement", "placement", "placement"),
    ("image", "glance", "glance"),
    ("network", "neutron", "neutron"),
    ("compute", "nova", "nova-api"),
)
#: Users beside ``admin``: their project and their roles. A service needs no more than the role ``service``.
USERS: Final = {
    **dict.fromkeys(("nova", "placement", "glance", "neutron", "vendorsrv"), ("service", ("service",))),
    "lookup": ("service", ()),
    "alice": ("demo", ("member", "mail-admin")),
    "bob": ("demo", ("member",)),
}
#: Memory of the flavors, in MiB. An image's server needs a disk.
FLAVORS: Final = {"tiny": 64, "small": 128}


def program(name: str) -> list[str]:
    """Return how one of the lab's own programs is run, in the checkout."""
    return [sys.executable, "-m", f"tests.support.cloud.programs.{name}"]


def database_steps(stores: Stores, configuration: Path, logs: Path) -> list[Service]:
    """Return the running steps that make the tables of Placement, Glance and Nova, side by side."""
    nova = [configuration / "nova.conf", configuration / "nova-database.conf"]
    urls = [stores.url("nova_cell0"), stores.url("nova_cell1"), stores.bus]
    commands = {
        "placement-manage": [BIN / "placement-manage", "--config-file", configuration / "placement.conf", "db", "sync"],
        "glance-manage": [BIN / "glance-manage", "--config-file", configuration / "glance-api.conf", "db_sync"],
        "nova-manage": [*program("setup_nova"), *nova, *urls],
    }
    steps = [Service(name=name, command=list(map(str, command)), logs=logs) for name, command in commands.items()]
    for step in steps:
        step.start()
    return steps


def create_accounts(keystone: LocalKeystone, password: str, url: Callable[[str], str]) -> None:
    """Make the projects, the users and their roles, and the catalogue.

    :param url: returns where a program answers.
    """
    keystone.request("POST", "/roles", {"role": {"name": "mail-admin"}})
    for project in ("service", "demo"):
        keystone.create_project(project)
    for user, (project, roles) in USERS.items():
        keystone.create_user(user, password, project, roles)
    # What looks up facts may read in every project of the domain, and no more.
    who, what = keystone.id_of("users", "lookup"), keystone.id_of("roles", "reader")
    keystone.request("PUT", f"/OS-INHERIT/domains/default/users/{who}/roles/{what}/inherited_to_projects")
    for kind, name, program in CATALOGUE:
        service = keystone.request("POST", "/services", {"service": {"type": kind, "name": name}})["service"]["id"]
        for interface in ("public", "internal"):
            at = {"service_id": service, "interface": interface, "url": url(program), "region_id": "RegionOne"}
            keystone.request("POST", "/endpoints", {"endpoint": at})


def create_image(admin: Connection) -> None:
    """Upload the image ``tiny``, which nothing ever boots."""
    admin.image.create_image("tiny", data=bytes(512), disk_format="raw", container_format="bare", visibility="public")


def create_flavors(admin: Connection) -> None:
    """Make the :data:`FLAVORS`."""
    for name, memory in FLAVORS.items():
        admin.compute.create_flavor(name=name, ram=memory, vcpus=1, disk=1)


def project_of(user: str) -> str:
    """Return the name of a user's project."""
    return USERS[user][0] if user in USERS else "admin"
