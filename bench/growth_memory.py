"""A worker's memory at rest, after half of the requests and after all of them."""

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

#: The paths of the requests, in turn; most are for a new instance.
PATHS: Final = ("/trivial", "/cached", "/trivial", "/cached", "/pinned")
#: Instances of the pinned requests, again and again: writing a million new pins takes hours on some disks.
PINNED: Final = 10_000
#: Bytes of the cache: small, so that it is full long before the first half of the requests is over.
CACHE: Final = 2**22
#: Seconds of one run of wrk.
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
class Growth:
    """A worker's memory before, halfway and after.

    :ivar requests: answered in all.
    """

    at_rest: Memory
    halfway: Memory
    at_end: Memory
    requests: int

    @property
    def growth(self) -> float:
        """By how many percent the memory grew over the second half."""
        return round((self.at_end.resident / self.halfway.resident - 1) * 100, 2)


def measure_growth(keystone: Keystone, token: str, requests: int) -> Growth:
    """Send this many requests to three handlers: one stores nothing, one caches and one pins."""
    handlers = ", ".join(f"bench.handlers:{name}" for name in ("Trivial", "Cached", "Pinned"))
    own = {"handlers": handlers, "cache_max_bytes": CACHE}
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(started(folder, keystone, vendorsrv=own))
        at_rest = memory_of(server.worker)
        sent = drive(folder, server.url, token, 0, requests // 2)
        halfway = memory_of(server.worker)
        sent = drive(folder, server.url, token, sent, requests)
        assert children_of(server.pid) == [server.worker], "the worker has been replaced"
        return Growth(at_rest, halfway, memory_of(server.worker), sent)


def drive(folder: Path, url: str, token: str, sent: int, wanted: int) -> int:
    """Send requests until at least ``wanted`` are answered in all; return how many were."""
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
    """Return the Lua script for wrk that requests one new instance after another, beginning after this number."""
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
