"""How many calls Keystone gets for one new token in many concurrent requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx

from bench.contenders import bodies, keystone_and_token, vendorsrv
from bench.goals import NO_GOAL, exactly
from bench.wrk import HEADERS
from tests.support.keystone import NOVA, VENDORSRV, Keystone
from tests.support.waiting import wait_until
from tests.support.wsgi_server import serving_wsgi

#: Concurrent requests.
AT_ONCE: Final = 100


def calls(keystone: Keystone, url: str) -> tuple[int, str]:
    """Send concurrent requests with one new token, each for another instance.

    :returns: Keystone's validations, and the statuses: ``100 x 200``.
    """
    token = keystone.token(NOVA)
    before = keystone.requests("GET", "/v3/auth/tokens")
    with httpx.Client(timeout=30, limits=httpx.Limits(max_connections=AT_ONCE)) as client:
        client.get(url)  # refused; lazy imports are done now

        def post(body: bytes) -> int:
            return client.post(url, content=body, headers={**HEADERS, "X-Auth-Token": token}).status_code

        with ThreadPoolExecutor(AT_ONCE) as pool:
            statuses = Counter(pool.map(post, bodies(AT_ONCE)))
    ended = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    return keystone.requests("GET", "/v3/auth/tokens") - before, ended


def row(
    name: str, found: tuple[int, str], goal: Callable[[int], dict[str, str]] = lambda _: NO_GOAL
) -> dict[str, object]:
    """Return the row of a contender."""
    count, ended = found
    what = f"Keystone's calls for {AT_ONCE} requests at once with one new token, {name}"
    return {"what": what, "calls": count, **goal(count), "answers": ended}


def report() -> list[dict[str, object]]:
    """Return a row for vendorsrv and one for the WSGI contender."""
    with TemporaryDirectory() as folder, keystone_and_token() as (keystone, _):
        with vendorsrv(Path(folder, "vendorsrv"), keystone, ["Trivial"], {}) as server:
            wait_until(server.ready)
            ours = calls(keystone, f"{server.url}/trivial")
        with serving_wsgi(Path(folder, "wsgi"), keystone.url, VENDORSRV, server="gunicorn") as url:
            theirs = calls(keystone, f"{url}/mail")
    return [row("vendorsrv", ours, lambda count: exactly(count, 1)), row("wsgi-gunicorn", theirs)]
