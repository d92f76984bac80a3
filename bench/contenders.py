"""The contenders of the benchmarks: each is a real server process, and all of them share one core."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import httpx
import pytest

from bench.bare import serving_bare
from bench.cores import CONTENDER, on_core
from bench.growth_footprint import children_of
from bench.handlers import ANSWER
from bench.wrk import HEADERS
from tests.support.databases import NAMES, database
from tests.support.keystone import NOVA, VENDORSRV, Keystone
from tests.support.peers.server import BODY, Options, Server
from tests.support.pin_stores import make_table
from tests.support.wsgi_server import serving_wsgi

#: Instances that the requests are for, in turn. Concurrent requests for a single instance would share one run.
INSTANCES: Final = 200

#: Each contender and its description; docs/performance.md has the same table.
CONTENDERS: Final = {
    "floor": "a bare ASGI function that reads the body and sends the same bytes; uvicorn's own protocol (two writes)",
    "fastapi": "a plain FastAPI route with a pydantic model of Nova's body and no authentication; the same protocol",
    "wsgi-gunicorn": "keystonemiddleware, its cache of tokens warm, around webob; gunicorn with four threads",
    "wsgi-waitress": "the same application; waitress with four threads",
    "vendorsrv": "vendorsrv with everything on, and a trivial handler: nothing is kept",
    "vendorsrv-cached": "the same answer from the cache in the process (`cache_for`)",
    "vendorsrv-pinned-sqlite": "the same answer pinned, read from SQLite each time",
    "vendorsrv-pinned-postgresql": "the same from PostgreSQL, which has no core of its own",
    "vendorsrv-pinned-mariadb": "the same from MariaDB, which has no core of its own",
    "vendorsrv-proxy": "the floor behind a proxy (`[proxy:<name>]`), from its cache",
    "vendorsrv-cloud-init": "a cloud-config and a script for `/cloud-init`, from the cache",
}


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that answers Nova's requests.

    :ivar name: one of :data:`CONTENDERS`.
    :ivar url: the complete URL for POST.
    :ivar pid: of its main process; the CPU of its children counts too, a database's does not.
    :ivar is_right: whether an answer, parsed as JSON, is the expected one.
    """

    name: str
    url: str
    pid: int
    is_right: Callable[[Any], bool] = ANSWER.__eq__

    def check(self, token: str) -> None:
        """Send one request for each instance, check the answers, and so fill caches and pins.

        :raises AssertionError: an answer is wrong.
        """
        headers = {**HEADERS, "X-Auth-Token": token}
        with httpx.Client(headers=headers, timeout=20) as client:
            for body in bodies(INSTANCES):
                response = client.post(self.url, content=body)
                found = response.status_code, response.headers["Content-Type"]
                assert found == (200, "application/json"), f"{self.name}: {found} {response.text[:200]}"
                assert self.is_right(response.json()), f"{self.name}: {response.text[:200]}"


def bodies(count: int) -> list[bytes]:
    """Return Nova's bodies for this many instances, always the same ones, booted by a mail administrator."""
    payload = {**json.loads(BODY), "boot-roles": "member,reader,mail-admin"}
    ids = (str(uuid.UUID(int=number + 2**64)) for number in range(count))
    return [json.dumps({**payload, "instance-id": each}).encode() for each in ids]


@contextmanager
def keystone_and_token() -> Iterator[tuple[Keystone, str]]:
    """Run a real Keystone with the accounts of tests/support/keystone.py; yield it and a token of Nova's."""
    with TemporaryDirectory() as folder, Keystone(log_file=Path(folder, "keystone.log")) as keystone:
        keystone.create_accounts()
        yield keystone, keystone.token(NOVA)


@contextmanager
def vendorsrv(directory: Path, keystone: Keystone, handlers: Sequence[str], options: Options) -> Iterator[Server]:
    """Run ``vendorsrv serve`` on the contenders' core, and wait until it is ready.

    :param handlers: classes of bench/handlers.py.
    :param options: more options, by section.
    """
    names = ", ".join(f"bench.handlers:{name}" for name in handlers)
    own = {"handlers": names, **options.get("vendorsrv", {})}
    with on_core(CONTENDER), Server(directory, keystone, {**options, "vendorsrv": own}) as server:
        yield server


@contextmanager
def pinned(directory: Path, keystone: Keystone, kind: str) -> Iterator[Server]:
    """Run ``vendorsrv serve`` with pins on ``postgresql`` or ``mariadb``, in a new database.

    :raises pytest.skip.Exception: the database server does not run.
    """
    with database(kind) as created:
        make_table(created.url)
        with vendorsrv(directory, keystone, ["Pinned"], {"database": {"connection": created.url}}) as server:
            yield server


@contextmanager
def running(directory: Path, keystone: Keystone) -> Iterator[list[Contender]]:
    """Run all contenders, except those whose database does not run."""
    with ExitStack() as stack:
        found = []
        with on_core(CONTENDER):
            for name in ("floor", "fastapi"):
                url = stack.enter_context(serving_bare(directory / name, name))
                found.append(Contender(name, f"{url}/mail", newest_child()))
            for kind in ("gunicorn", "waitress"):
                url = stack.enter_context(serving_wsgi(directory / kind, keystone.url, VENDORSRV, server=kind))
                found.append(Contender(f"wsgi-{kind}", f"{url}/mail", newest_child()))
        upstream = {"proxy:upstream": {"url": found[0].url, "cache_for": 3600}}
        own = ["Trivial", "Cached", "Pinned", "Parts"]
        server = stack.enter_context(vendorsrv(directory / "vendorsrv", keystone, own, upstream))
        found += contenders_of(server)
        for kind in NAMES:
            try:
                server = stack.enter_context(pinned(directory / kind, keystone, kind))
            except (pytest.skip.Exception, pytest.fail.Exception) as missing:
                click.echo(f"{NAMES[kind]} is skipped: {missing}", err=True)
            else:
                found.append(Contender(f"vendorsrv-pinned-{kind}", f"{server.url}/pinned", server.process.pid))
        yield sorted(found, key=lambda each: list(CONTENDERS).index(each.name))


def newest_child() -> int:
    """Return the id of the process that this one started last."""
    return children_of(os.getpid())[-1]


def contenders_of(server: Server) -> list[Contender]:
    """Return the contenders that one server answers on different paths."""
    url, pid = server.url, server.process.pid
    return [
        Contender("vendorsrv", f"{url}/trivial", pid),
        Contender("vendorsrv-cached", f"{url}/cached", pid),
        Contender("vendorsrv-pinned-sqlite", f"{url}/pinned", pid),
        Contender("vendorsrv-proxy", f"{url}/upstream", pid),
        Contender("vendorsrv-cloud-init", f"{url}/cloud-init", pid, lambda given: "mail-1.example.org" in given),
    ]
