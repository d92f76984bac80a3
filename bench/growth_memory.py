"""A worker's memory at rest, after half a million requests, and after a million."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.contenders import bodies
from bench.growth_footprint import Memory, children_of, memory_of
from bench.growth_start import started
from bench.wrk import HEADERS, TIMEOUT, quoted
from tests.support.keystone import Keystone

#: Where requests go, in turn; most are for an instance that was never asked for.
PATHS: Final = ("/trivial", "/cached", "/trivial", "/cached", "/pinned")
#: Instances that are pinned, over and over again: new pins are written, and a million would take hours on some disks.
PINNED: Final = 10_000
#: Bytes of the cache, so that it is full long before half of the requests; it would grow for as long as it may.
CACHE: Final = 2**22
#: Seconds that wrk drives the server at a time.
SLICE: Final = 5

SCRIPT: Final = """\
wrk.method = "POST"
%(headers)s
local turn, paths = %(first)d, {%(paths)s}
local before, after = %(before)s, %(after)s
function request()
  turn = turn + 1
  local path = paths[turn %% #paths + 1]
  local number = path == "/pinned" and turn %% %(pinned)d or turn
  return wrk.format(nil, path, nil, before .. string.format("00000000-0000-4000-8000-%%012x", number) .. after)
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\n{"requests": %%d, "errors": %%d}\\n', summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Grown:
    """A worker's memory along the way.

    :ivar requests: that were answered in all.
    """

    rest: Memory
    half: Memory
    whole: Memory
    requests: int

    @property
    def growth(self) -> float:
        """Percent that the second half has added."""
        return round((self.whole.resident / self.half.resident - 1) * 100, 2)


def grown(keystone: Keystone, token: str, requests: int) -> Grown:
    """Drive a server with three handlers, which keep nothing, for some time, and for ever."""
    handlers = ", ".join(f"bench.handlers:{name}" for name in ("Trivial", "Cached", "Pinned"))
    own = {"handlers": handlers, "cache_max_bytes": CACHE}
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(started(folder, keystone, vendorsrv=own))
        rest = memory_of(server.worker)
        sent = drive(folder, server.url, token, 0, requests // 2)
        half = memory_of(server.worker)
        sent = drive(folder, server.url, token, sent, requests)
        assert children_of(server.pid) == [server.worker], "the worker has been replaced"
        return Grown(rest, half, memory_of(server.worker), sent)


def drive(folder: Path, url: str, token: str, sent: int, wanted: int) -> int:
    """Post until so many requests have been answered in all, and give how many it were."""
    path = folder / "grow.lua"
    path.touch(0o600)  # it holds the token
    command = ["wrk", "--threads=1", "--connections=16", f"--duration={SLICE}s", f"--timeout={TIMEOUT}s"]
    while sent < wanted:
        path.write_text(script(token, sent))
        done = subprocess.run([*command, f"--script={path}", url], check=True, capture_output=True, text=True)
        assert not done.stderr, done.stderr[:2000]
        found = json.loads(done.stdout.strip().splitlines()[-1])
        assert found["errors"] == 0, found
        sent += found["requests"]
    return sent


def script(token: str, first: int) -> str:
    """Give the Lua that asks for one instance after the other, the first of them after this number."""
    body = bodies(1)[0].decode("ascii")
    known = json.loads(body)["instance-id"]
    before, after = body.split(known)
    headers = {**HEADERS, "X-Auth-Token": token}
    return SCRIPT % {
        "headers": "\n".join(f"wrk.headers[ {quoted(name)} ] = {quoted(value)}" for name, value in headers.items()),
        "first": first,
        "paths": ", ".join(map(quoted, PATHS)),
        "before": quoted(before),
        "after": quoted(after),
        "pinned": PINNED,
    }
