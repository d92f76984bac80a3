"""``make cloud``: a whole OpenStack with the mail-server example, two servers booted in it, and a line to try."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from openstack.compute.v2.server import Server
from openstack.exceptions import SDKException

from tests.support.cloud.cloud import Cloud
from tests.support.cloud.service import ROOT, CloudError
from tests.support.cloud.setup import USERS

STARTED = time.monotonic()


def say(line: str) -> None:
    """Print a line with the seconds since the start."""
    click.echo(f"{time.monotonic() - STARTED:6.1f} s  {line}")


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=ROOT / ".cache/cloud/demo", help="Where it is kept.")
@click.option("--once", is_flag=True, help="Stop when both servers were shown.")
@click.option("--remove", is_flag=True, help="Remove the cloud that is kept in the folder, with its databases.")
def main(folder: Path, *, once: bool, remove: bool) -> None:
    """Run a whole OpenStack on this machine, with vendorsrv and the mail server as its vendordata."""
    try:
        if remove:
            Cloud(folder).remove()
        else:
            run(Cloud(folder, say=say), once=once)
    except (CloudError, SDKException) as error:
        sys.exit(f"The cloud failed: {error}")


def run(cloud: Cloud, *, once: bool) -> None:
    """Start the cloud, boot a server of each user, and show what each new server sees until Ctrl-C."""
    with cloud:
        say(f"The cloud is ready, and uses {cloud.memory()} MiB")
        shown: set[str] = set()
        for user in ("alice", "bob"):
            say(f"{user} ({', '.join(USERS[user][1])}) boots the server {user}-1")
            show(cloud, boot(cloud, user, f"{user}-1"))
        if once:
            return
        shown.update(server.id for server in cloud.admin.compute.servers(all_projects=True))
        clouds = cloud.configuration / "clouds.yaml"
        say("Now it is your turn. Boot another server from a second terminal, in this folder, as alice or as bob:")
        order = "server create --flavor tiny --image tiny --no-network mx2"
        click.echo(f"  OS_CLIENT_CONFIG_FILE={shortest(clouds)} .venv/bin/openstack --os-cloud alice {order}")
        say("What it sees is shown here. Ctrl-C stops the cloud.")
        while True:
            time.sleep(2)
            cloud.check()
            for server in cloud.admin.compute.servers(all_projects=True, status="ACTIVE"):
                if server.id not in shown:
                    shown.add(server.id)
                    show(cloud, server)


def boot(cloud: Cloud, user: str, name: str) -> Server:
    """Return the user's server of this name; it is booted if there is none from an earlier run."""
    compute = cloud.connect(user).compute
    if found := compute.find_server(name):
        return compute.get_server(found)
    return cloud.boot(user, name)


def show(cloud: Cloud, server: Server) -> None:
    """Print what a server reads at Nova's metadata API."""
    answer = cloud.metadata(server)
    data: dict[str, Any] = answer.json() if answer.status_code == 200 else {"status": answer.status_code}
    if document := data.get("cloud-init"):
        data["cloud-init"] = f"{document[:60]}… ({len(document)} characters)"
    text = json.dumps(data, indent=2, ensure_ascii=False)
    say(f"{server.name} sees in vendor_data2.json:\n{text}")


def shortest(path: Path) -> Path:
    """Return a path from the current folder where it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
