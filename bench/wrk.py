"""Drive a server with wrk, by POSTs as Nova makes them: its headers, a real token, and bodies of many instances."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Final

from bench.cores import DRIVER, on_core

#: What Nova sends besides Host, Content-Length and its token.
HEADERS: Final = {
    "User-Agent": "openstack-nova-vendordata",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "Connection": "keep-alive",
}
#: Seconds after which wrk counts a request as lost; Nova's own read timeout.
TIMEOUT: Final = 5

# The requests are made before the clock starts. Its own report rounds, and says nothing of errors when there are none.
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
    """What came of driving a server for some seconds.

    :ivar rate: answered requests a second.
    :ivar p50: milliseconds that half of them took at most.
    :ivar p99: and that 99 of 100 took at most.
    :ivar errors: what went wrong, by kind, how often; of answers ``status``, which is any above 399. A run that has
        some is no result.
    :ivar requests: that were answered.
    :ivar processor: microseconds that the server computed for one of them, in all of its processes.
    """

    rate: float
    p50: float
    p99: float
    errors: Mapping[str, int]
    requests: int = 0
    processor: float = 0.0


def is_there() -> bool:
    """Say whether wrk is installed."""
    return which("wrk") is not None


def drive(url: str, token: str, bodies: Sequence[bytes], *, seconds: int, connections: int) -> Run:
    """Post the bodies in turn, over kept connections with one request each at a time, as fast as answers come.

    :param seconds: a whole number, as wrk takes it.
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
    assert not done.stderr, done.stderr[:2000]  # of Lua, after which wrk goes on with something else
    return parse(done.stdout)


def script(token: str, bodies: Sequence[bytes]) -> str:
    """Give the Lua that makes wrk ask as Nova does, and print what it found as JSON."""
    headers = {**HEADERS, "X-Auth-Token": token}
    return SCRIPT % {
        "headers": "\n".join(f"wrk.headers[ {quoted(name)} ] = {quoted(value)}" for name, value in headers.items()),
        "bodies": "\n".join(f"  {quoted(body.decode('ascii'))}," for body in bodies),
    }


def quoted(text: str) -> str:
    """Give a string of ASCII as Lua writes it; neither a token nor JSON has what ends this form, ``]==]``."""
    return f"[==[{text}]==]"


def parse(output: str) -> Run:
    """Read what the script has printed below wrk's own report."""
    found = json.loads(output.strip().splitlines()[-1])
    return Run(
        rate=found["requests"] / found["microseconds"] * 1e6,
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        errors={kind: count for kind, count in found["errors"].items() if count},
        requests=found["requests"],
    )
