"""Run a real Keystone and the mail-server example on loopback, and boot two instances as Nova does."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any, Final

import uvicorn
from keystoneauth1.session import Session

from vendorsrv.demo.keystone import LocalKeystone
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import Target, ask
from vendorsrv.nova.payload import build_payload
from vendorsrv.server.app import create_app
from vendorsrv.server.serve import uvicorn_config
from vendorsrv.settings import Settings
from vendorsrv.telemetry.logs import set_up_logging

#: The name of each boot, and the roles of the user who boots the instance.
BOOTS: Final = {"mail-admin": "member,mail-admin", "member": "member"}

CONFIGURATION: Final = """
[DEFAULT]
use_stderr = true
default_log_levels = alembic=WARN,uvicorn=WARN,keystonemiddleware=ERROR,keystoneauth=WARN,urllib3=WARN,vendorsrv=WARN

[vendorsrv]
port = 0
handlers = mailserver

[keystone_authtoken]
auth_type = password
auth_url = {url}
www_authenticate_uri = {url}
username = vendorsrv
password = {password}
user_domain_id = default
project_name = service
project_domain_id = default

[database]
connection = sqlite://

[handler:mailserver]
domain = example.org
relayhost = relay.example.org
"""

#: The cloud of the command line that the demo suggests; quoted, as a password may look like a number.
CLOUDS: Final = """
clouds:
  demo:
    auth:
      auth_url: {url}
      username: nova
      password: "{password}"
      user_domain_id: default
      project_name: service
      project_domain_id: default
"""

Say = Callable[[str], None]
Booted = Callable[[dict[str, Any]], None]


class DemoServer(uvicorn.Server):
    """uvicorn's server, which tells the user when the demo stops: Keystone needs some seconds to end."""

    def __init__(self, config: uvicorn.Config, say: Say) -> None:
        super().__init__(config)
        self.say = say

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Print that the demo stops, and stop."""
        self.say("Stopping the server and Keystone.")
        await super().shutdown(sockets)


def run_demo(say: Say, booted: Booted, *, once: bool) -> None:
    """Start everything, boot two instances, and serve until SIGINT or SIGTERM unless ``once``.

    :param say: prints one step of the demo, a line or more.
    :param booted: receives what each instance of :data:`BOOTS` finds in its ``vendor_data2.json``.
    :raises ConfigError: the keystone package or the example is not installed, or Nova would drop an answer.
    """
    with ended_by_sigterm(), LocalKeystone() as keystone:
        say(f"A real Keystone answers at {keystone.url}.")
        keystone.create_project("service")
        passwords = {name: secrets.token_urlsafe(12) for name in ("nova", "vendorsrv")}
        for name, password in passwords.items():
            keystone.create_user(name, password, "service", ["service"])
        config = in_memory("vendorsrv.conf", CONFIGURATION.format(url=keystone.url, password=passwords["vendorsrv"]))
        clouds = in_memory("clouds.yaml", CLOUDS.format(url=keystone.url, password=passwords["nova"]))
        settings = Settings.from_file(config)
        set_up_logging(settings.conf)
        server = DemoServer(uvicorn_config(settings, create_app(settings), workers=1), say)
        nova = keystone.session("nova", passwords["nova"], "service")
        end = asyncio.run(serve_and_boot(server, nova, say, booted, None if once else clouds))
        if end:
            raise end


async def serve_and_boot(
    server: uvicorn.Server, nova: Session, say: Say, booted: Booted, clouds: str | None
) -> SystemExit | None:
    """Serve, boot the instances, and go on serving if there is a file for the user; return what :func:`serve` does."""
    serving = asyncio.create_task(serve(server))
    try:
        while not server.started:
            if serving.done():
                raise ConfigError("the server did not start; the lines above say why")
            await asyncio.sleep(0.02)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mailserver"
        say(f"vendorsrv serves the example at {url}.")
        booted({name: await asyncio.to_thread(boot, nova, url, roles, say) for name, roles in BOOTS.items()})
        if clouds:
            say("Now it is your turn. Boot another instance from a second terminal, in this folder:")
            options = "--os-cloud demo --boot-roles member,mail-admin --hostname mx2"
            say(f"  OS_CLIENT_CONFIG_FILE={clouds} {this_command(sys.argv[0])} call {options} {url}")
            say("Ctrl-C here stops everything. The server's log:")
            # Until now its lines would have stood between those of the demo.
            logging.getLogger("vendorsrv").setLevel(logging.INFO)
            await serving
    finally:
        server.should_exit = True
        end = await serving
    return end


async def serve(server: uvicorn.Server) -> SystemExit | None:
    """Serve until told to stop; return the exception that the signal's handler raised, if it did.

    uvicorn raises each signal again when it has stopped. An exit in the middle of the loop would leave threads behind
    that keep the process alive.
    """
    try:
        await server.serve()
    except SystemExit as end:
        return end
    return None


def boot(nova: Session, url: str, roles: str, say: Say) -> dict[str, Any]:
    """Call the server as Nova does when a user with these roles boots an instance; return what the instance sees."""
    result = ask(nova, Target("mailserver", url), build_payload(hostname="mx1", boot_roles=roles))
    if result.dropped:
        raise ConfigError(f"Nova would drop the answer: {result.dropped}")
    seen = {"mailserver": result.value}
    say(f"A user with the roles {roles} boots an instance; its vendor_data2.json has\n{json.dumps(seen, indent=2)}")
    return seen


def this_command(program: str) -> str:
    """Return how a fresh shell in the current folder runs the ``vendorsrv`` command that was started as ``program``.

    The path is given in full or from the folder: the command is on no fresh shell's PATH when it is in a ``.venv``.
    """
    if Path(program).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m vendorsrv"
    path, folder = Path(program).absolute(), Path.cwd()
    inside = folder in path.parents and folder != path.parent
    return shlex.quote(str(path.relative_to(folder) if inside else path))


def in_memory(name: str, text: str) -> str:
    """Return the path of a new file, readable by this user's processes, that vanishes when this process ends."""
    descriptor = os.memfd_create(name)
    os.write(descriptor, text.encode())
    return f"/proc/{os.getpid()}/fd/{descriptor}"


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise an exception, as Ctrl-C does, so that all context managers end."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
