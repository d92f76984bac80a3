"""Run wrk with Nova's requests: its headers, a real token, and the bodies of many instances."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.cores import DRIVER, on_core

#: Nova's headers, without Host, Content-Length and its token.
HEADERS: Final = {
    "User-Agent": "openstack-nova-vendordata",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "Connection": "keep-alive",
}
#: Seconds after which wrk counts a request as failed: Nova's read timeout.
TIMEOUT: Final = 5

# The requests are built before the clock starts. The JSON has exact figures; wrk's own report rounds them.
SCRIPT: Final = """\
wrk.method = "POST"
%(headers)s
local bodies = {
%(bodies)s
}
local made, turn = {}, 0
function init(args)
  for place, body in ipairs(bodies) do made[place] = wrk.format(nil, nil, nil, body) end
end
function request()
  turn = turn %% #made + 1
  return made[turn]
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, "longest": %%d, "errors": ' ..
    '{"connect": %%d, "read": %%d, "write": %%d, "status": %%d, "timeout": %%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run of wrk.

    :ivar rate: answered requests a second.
    :ivar p50: median latency in milliseconds.
    :ivar p99: 99th percentile of the latency in milliseconds.
    :ivar errors: how many, by kind; ``status`` is any status above 399. A run with errors is no result.
    :ivar requests: answered in all.
    :ivar processor: the server's CPU microseconds for a request, of all its processes.
    """

    rate: float
    p50: float
    p99: float
    errors: Mapping[str, int]
    requests: int = 0
    processor: float = 0.0


def drive(url: str, token: str, bodies: Sequence[bytes], *, seconds: int, connections: int) -> Run:
    """Send the bodies in turn over persistent connections, each with one request at a time.

    :param seconds: a whole number.
    :raises subprocess.CalledProcessError: wrk cannot reach the server.
    """
    with TemporaryDirectory() as folder, on_core(DRIVER):
        path = Path(folder, "nova.lua")
        path.touch(0o600)  # it holds the token
        path.write_text(script(token, bodies))
        command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
        done = subprocess.run(
            [*command, f"--timeout={TIMEOUT}s", f"--script={path}", url], check=True, capture_output=True, text=True
        )
    assert not done.stderr, done.stderr[:2000]  # an error of the script, after which wrk sends other requests
    return parse(done.stdout)


def script(token: str, bodies: Sequence[bytes]) -> str:
    """Return the Lua script that makes wrk send Nova's requests, and print its figures as JSON."""
    headers = {**HEADERS, "X-Auth-Token": token}
    return SCRIPT % {
        "headers": "\n".join(f"wrk.headers[ {quoted(name)} ] = {quoted(value)}" for name, value in headers.items()),
        "bodies": "\n".join(f"  {quoted(body.decode('ascii'))}," for body in bodies),
    }


def quoted(text: str) -> str:
    """Return ASCII text as a Lua string; neither a token nor JSON contains its end, ``]==]``."""
    return f"[==[{text}]==]"


def parse(output: str) -> Run:
    """Return the figures that the script printed below wrk's own report."""
    found = json.loads(output.strip().splitlines()[-1])
    return Run(
        rate=found["requests"] / found["microseconds"] * 1e6,
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        errors={kind: count for kind, count in found["errors"].items() if count},
        requests=found["requests"],
    )
