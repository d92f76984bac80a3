"""The process that :mod:`vendorsrv.demo.keystone` starts: it prepares a Keystone and serves it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Nothing here has to survive a crash or a burglar, so SQLite does without fsync and bcrypt with few rounds; a
# validation takes 10 ms then. The absolute policy file keeps out what this machine has for another Keystone.
CONFIGURATION = """\
[database]
connection = sqlite:///{directory}/keystone.db
sqlite_synchronous = false
[fernet_tokens]
key_repository = {directory}/fernet
[fernet_receipts]
key_repository = {directory}/fernet
[credential]
key_repository = {directory}/credential
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory
[oslo_policy]
policy_file = {directory}/policy.yaml
"""


def main() -> None:
    """Serve as ordered on standard input, until that input ends or SIGTERM comes.

    One JSON line is read, ``{"directory", "port", "password"}``. One, ``{"port", "url"}``, is written when
    connections are accepted. The log goes to standard error.
    """
    # What Keystone prints must not mix with the ready line.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, leave)
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=leave_at_end_of_input, daemon=True).start()
    with data_directory(order["directory"]) as directory, socket.socket() as listener:
        # Bound before the slow part, as the catalogue needs the port; nobody can connect until it is served.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", order["port"]))
        port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}/v3"
        application = build(directory, url, order["password"])
        import waitress

        # One request at a time: of two that read and then write, as first log-ins do, SQLite refuses one.
        server = waitress.create_server(application, sockets=[listener], threads=1)
        print(json.dumps({"port": port, "url": url}), file=answers, flush=True)
        server.run()


def leave(*_: object) -> None:
    """Unwind the main thread, which removes the directory; a second SIGTERM must not interrupt that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def leave_at_end_of_input() -> None:
    """Wait until the parent closes its end of the pipe, or is gone, then end this process."""
    # Not sys.stdin: a daemon thread that holds its lock makes the interpreter's exit fatal.
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def data_directory(kept: str | None) -> Iterator[Path]:
    """Yield the directory to keep, or a temporary one that is removed at the end."""
    if kept:
        Path(kept).mkdir(mode=0o700, parents=True, exist_ok=True)
        yield Path(kept)
    else:
        with tempfile.TemporaryDirectory(prefix="vendorsrv-keystone-") as directory:
            yield Path(directory)


def build(directory: Path, url: str, password: str) -> Callable[..., Any]:
    """Make the directory that of a Keystone answering under this URL, and return its WSGI application.

    Each step leaves alone what is done already, so a directory can be used again, on another port too.
    """
    warnings.simplefilter("ignore")  # of libraries that are not ours, about each other
    import keystone.server
    from keystone.common.sql import upgrades
    from keystone.server.flask import application, core

    configuration = directory / "keystone.conf"
    configuration.write_text(CONFIGURATION.format(directory=directory))
    # Keystone reads its command line, and without this option also what /etc/keystone holds.
    sys.argv[1:] = ["--config-dir", str(directory)]
    keystone.server.configure(config_files=[str(configuration)])
    upgrades.offline_sync_database_to_version()
    create_keys()
    bootstrap(url, password)
    return log_requests(core.setup_app_middleware(application.application_factory("public")))


def create_keys() -> None:
    """Create the keys of tokens and credentials: ``keystone-manage fernet_setup``, ``credential_setup``."""
    from keystone.common import fernet_utils
    from keystone.conf import CONF

    for group in ("fernet_tokens", "credential"):
        keys = fernet_utils.FernetUtils(CONF[group].key_repository, 3, group)
        keys.create_key_directory()
        keys.initialize_key_repository()


def bootstrap(url: str, password: str) -> None:
    """Create the administrator, the roles and the catalogue: ``keystone-manage bootstrap``."""
    from keystone.cmd.bootstrap import Bootstrapper

    bootstrapper = Bootstrapper()
    bootstrapper.admin_username = bootstrapper.project_name = bootstrapper.admin_role_name = "admin"
    bootstrapper.admin_password = password
    bootstrapper.service_name = "keystone"
    bootstrapper.region_id = "RegionOne"
    bootstrapper.immutable_roles = True
    bootstrapper.public_url = bootstrapper.internal_url = bootstrapper.admin_url = url
    bootstrapper.bootstrap()


def log_requests(application: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a WSGI application so that each request logs ``METHOD path status``: no header, so no token."""
    log = logging.getLogger(__name__)

    def logged(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, *arguments: Any) -> Any:
            log.info("%s %s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"], status[:3])
            return start_response(status, *arguments)

        return application(environ, start)

    return logged


if __name__ == "__main__":
    main()
