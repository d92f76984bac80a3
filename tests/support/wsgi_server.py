"""The vendordata server that the field runs today: WSGI behind keystonemiddleware, like the sample of Nova's author.

It is honest about its kind: any valid token is let in, each of Nova's six calls is a run of its own, a wrong body is
an error with the exception's text, and nothing limits what comes in. That nothing else slows it down is for fairness.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import webob
from keystonemiddleware.auth_token import filter_factory
from webob.dec import wsgify

from tests.support.keystone import Account
from tests.support.processes import listening
from tests.support.serving import section

Application = Callable[..., Any]
Kind = Literal["gunicorn", "waitress"]

FACTORY: Final = "tests.support.wsgi_server:from_environment"
#: Where each of the two says that it listens.
LISTENING: Final = re.compile(r"(?:Listening at:|Serving on) (http://127\.0\.0\.1:\d+)\s")


def answer_to(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the mail-server example gives for this body of Nova's."""
    if "mail-admin" not in payload["boot-roles"].split(","):
        return {}
    return {
        "role": "mail-server",
        "domain": "example.org",
        "hostname": f"{payload['hostname']}.example.org",
        "relayhost": "relay.example.org",
    }


def note_run(runs: str, payload: Mapping[str, Any]) -> dict[str, str]:
    """Leave a file for this run, as tests/support/handlers/keeping.py does, and return the secret that it made."""
    secret = secrets.token_hex(16)
    os.close(os.open(f"{runs}/{payload['instance-id']}.{secret}", os.O_CREAT | os.O_EXCL))
    return {"made": secret}


def application(config_file: str, delay: float = 0.0, runs: str = "") -> Application:
    """Build the server as paste would: the application behind the filter ``auth_token``.

    :param config_file: has ``[keystone_authtoken]``; tokens are kept in the process for its ``token_cache_time``.
    :param delay: seconds that the answer's source takes for each call, in the request's thread.
    :param runs: a directory for a file from each run; each answer has a secret of its run's own then.
    """

    def vendordata(request: webob.Request) -> webob.Response:
        try:
            payload = json.loads(request.body)
            made = note_run(runs, payload) if runs else {}
            if delay:
                time.sleep(delay)
            return webob.Response(json_body={**answer_to(payload), **made}, content_type="application/json")
        except Exception as error:  # noqa: BLE001  as the sample has it
            return webob.Response(f"Server error while processing request: {error}", status=500)

    guard = filter_factory({}, oslo_config_project="vendordata", oslo_config_file=config_file)
    guarded: Application = guard(wsgify(vendordata))
    return guarded


def from_environment() -> Application:
    """Build it from ``WSGI_CONFIG``, ``WSGI_DELAY`` and ``WSGI_RUNS``, for the servers' command lines."""
    return application(os.environ["WSGI_CONFIG"], float(os.environ["WSGI_DELAY"]), os.environ["WSGI_RUNS"])


def command(server: Kind, workers: int, threads: int) -> list[str]:
    """Return the command line; both keep connections open."""
    if server == "waitress":
        options = ["--listen=127.0.0.1:0", f"--threads={threads}", "--call", FACTORY]
    else:
        kind = ["--worker-class=gthread", f"--workers={workers}", f"--threads={threads}"]
        options = ["--bind=127.0.0.1:0", "--no-control-socket", *kind, f"{FACTORY}()"]
    return [sys.executable, "-m", server, *options]


def refuses_strangers(url: str) -> bool:
    """Whether the application answers; gunicorn listens seconds before it has loaded it."""
    try:
        return httpx.post(url, timeout=60).status_code == 401
    except httpx.TransportError:
        return False


@contextmanager
def serving_wsgi(
    directory: Path,
    keystone_url: str,
    account: Account,
    *,
    server: Kind = "waitress",
    delay: float = 0.0,
    workers: int = 1,
    threads: int = 4,
    runs: Path | None = None,
) -> Iterator[str]:
    """Run it in a process of its own, on a free loopback port, and return its URL; any path will do.

    :param directory: gets its configuration and ``wsgi.log``.
    :param account: its own, with which it validates tokens.
    :param delay: see :func:`application`.
    :param workers: processes of gunicorn; waitress has one.
    :param threads: of each process; 4 is what waitress has by itself.
    :param runs: see :func:`application`.
    """
    directory.mkdir(exist_ok=True)
    config, log = directory / "wsgi.conf", directory / "wsgi.log"
    config.touch(0o600)
    config.write_text(section("keystone_authtoken", account.options(keystone_url)))
    environment = {"WSGI_CONFIG": str(config), "WSGI_DELAY": str(delay), "WSGI_RUNS": str(runs or "")}
    with listening(command(server, workers, threads), log, LISTENING, environment, refuses_strangers) as url:
        yield url
