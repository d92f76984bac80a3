"""The whole thing for real, on loopback: a Keystone, the mail-server example, and two boots as Nova asks for them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

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

#: Each boot's name, and the roles that its user has.
BOOTS: Final = {"mail-admin": "member,mail-admin", "member": "member"}

CONFIGURATION: Final = """
[DEFAULT]
use_stderr = true
default_log_levels = alembic=WARN,uvicorn=WARN,keystonemiddleware=ERROR,keystoneauth=WARN,urllib3=WARN,vendorsrv={level}

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

Say = Callable[[str], None]
Booted = Callable[[dict[str, Any]], None]


def run_demo(say: Say, booted: Booted, *, once: bool) -> None:
    """Start everything, play the two boots, and serve until SIGINT or SIGTERM unless ``once``.

    :param say: takes what a person wants to read, a line or more at a time.
    :param booted: takes, for each of :data:`BOOTS`, what the instance would see in ``vendor_data2.json``.
    :raises ConfigError: the keystone package or the example is missing, or Nova would not have kept an answer.
    """
    with ended_by_sigterm(), LocalKeystone() as keystone:
        say(f"A real Keystone answers at {keystone.url}.")
        passwords = add_accounts(keystone)
        settings = Settings.from_file(in_memory(configuration(keystone.url, passwords["vendorsrv"], quiet=once)))
        set_up_logging(settings.conf)
        server = uvicorn.Server(uvicorn_config(settings, create_app(settings), workers=1))
        nova = keystone.session("nova", passwords["nova"], "service")
        invitation = try_next(keystone.url, passwords["nova"])
        end = asyncio.run(serve_and_boot(server, nova, say, booted, None if once else invitation))
        if end:
            raise end


def add_accounts(keystone: LocalKeystone) -> dict[str, str]:
    """Make the project ``service`` with its two accounts, as a cloud has them; give their passwords."""
    keystone.create_project("service")
    passwords = {name: secrets.token_urlsafe(12) for name in ("nova", "vendorsrv")}
    for name, password in passwords.items():
        keystone.create_user(name, password, "service", ["service"])
    return passwords


async def serve_and_boot(
    server: uvicorn.Server, nova: Session, say: Say, booted: Booted, invitation: Callable[[str], str] | None
) -> SystemExit | None:
    serving = asyncio.create_task(serve(server))
    try:
        while not server.started:
            if serving.done():
                raise ConfigError("the server did not start; the lines above say why")
            await asyncio.sleep(0.02)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        say(f"vendorsrv serves the example at {url}/mailserver.")
        booted({name: await asyncio.to_thread(boot, nova, url, roles, say) for name, roles in BOOTS.items()})
        if invitation:
            say(f"Now it is your turn, in another terminal (Ctrl-C here stops everything):\n  {invitation(url)}")
            await serving
    finally:
        server.should_exit = True
        end = await serving
    return end


async def serve(server: uvicorn.Server) -> SystemExit | None:
    """Serve until told to stop, and give what the signal's handler raised, if it did.

    uvicorn raises each signal again when it has stopped. An exit in the middle of the loop would leave threads behind
    that keep the process alive.
    """
    try:
        await server.serve()
    except SystemExit as end:
        return end
    return None


def boot(nova: Session, url: str, roles: str, say: Say) -> dict[str, Any]:
    """Ask as Nova does when a user with these roles boots an instance; give the entry that the instance sees."""
    result = ask(nova, Target("mailserver", f"{url}/mailserver"), build_payload(hostname="mx1", boot_roles=roles))
    if result.dropped:
        raise ConfigError(f"Nova would not keep the answer: {result.dropped}")
    seen = {"mailserver": result.value}
    say(f"A user with the roles {roles} boots an instance; its vendor_data2.json has\n{json.dumps(seen, indent=2)}")
    return seen


def try_next(keystone_url: str, password: str) -> Callable[[str], str]:
    """Give what makes the command line that asks the demo's server, once its URL is known."""
    variables = {
        "OS_AUTH_URL": keystone_url,
        "OS_USERNAME": "nova",
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": "service",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }
    environment = " ".join(f"{name}={value}" for name, value in variables.items())
    return lambda url: f"{environment} vendorsrv call --boot-roles member,mail-admin --hostname mx2 {url}/mailserver"


def configuration(url: str, password: str, *, quiet: bool) -> str:
    return CONFIGURATION.format(url=url, password=password, level="WARN" if quiet else "INFO")


def in_memory(text: str) -> str:
    """Give the path of a file that goes with this process, however it ends."""
    descriptor = os.memfd_create("vendorsrv.conf")
    os.write(descriptor, text.encode())
    return f"/proc/self/fd/{descriptor}"


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind what is open, as Ctrl-C does."""

    def leave(*_: object) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
