"""What the log shows of an exception: the vendor's own line, and no secret of a URL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.serving import section
from vendorsrv.telemetry.tracebacks import raised_at, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no answer of http://h.example.org:80/x", "no answer of http://h.example.org:80/x"),
        ("postgresql://me:planted@db/pins", "postgresql://***@db/pins"),
        ("redis://:planted@db:6379", "redis://***@db:6379"),
        ("https://planted@h/x failed, and https://h/y did", "https://***@h/x failed, and https://h/y did"),
        ("GET https://h/x?key=planted&more=planted failed", "GET https://h/x?*** failed"),
        ("exceeded with url: /x?key=planted (Caused by …)", "exceeded with url: /x?*** (Caused by …)"),
        ("'https://h/?key=planted'", "'https://h/?***'"),
        ("postgresql://me:plan/ted@db/pins", "postgresql://***@db/pins"),
        ("postgresql://me:plan ted@db/pins is none", "postgresql://***@db/pins is none"),
        ("postgresql://me:plan?ted@db/pins", "postgresql://***@db/pins"),
        ("postgresql://me:12/34@db/pins", "postgresql://***@db/pins"),
        ("http://h:80/x failed for me@example.org", "http://h:80/x failed for me@example.org"),
        ("GET /x?a=(planted)&k=planted failed", "GET /x?*** failed"),
        ("GET /x?a='planted'&k=planted, then", "GET /x?***, then"),
        ("(b'Location', b'https://me:planted@h/x?k=planted')", "(b'Location', b'https://***@h/x?***')"),
        ("what is this?", "what is this?"),
        (OSError("http://a:planted@h"), "http://***@h"),
        ("my word is secret-word", "my word is ***"),
    ],
)  # fmt: skip
def test_no_secret_of_a_url_is_shown(text: object, shown: str) -> None:
    """A URL's user, password and query are taken out, and so are values that are known to be secret."""
    assert shown == without_secrets(text, ["secret-word", None, ""])


def test_the_innermost_frame_of_the_vendor_is_shown() -> None:
    """Below five frames of a library the vendor's own innermost frame is shown all the same."""

    class Library(json.JSONEncoder):
        """Raise in the frames of json."""

    endless: list[Any] = []
    for _ in range(8):
        endless = [endless]
    endless[0][0][0].append(endless)
    with pytest.raises(ValueError, match="Circular") as caught:
        json.dumps(endless, indent=1, cls=Library)
    shown = raised_at(caught.value, __name__).split(" < ")
    assert (5, f"{Path(__file__)}:") == (len(shown), shown[-1][: len(f"{Path(__file__)}:")])
    assert all("json" in each for each in shown[:4])
    assert all("json" in each for each in raised_at(caught.value).split(" < "))


#: Requests of both clients, answered with a redirect, in a process that logs as a server does.
REQUESTS = """\
import sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
import httpx, requests
from vendorsrv import Settings
from vendorsrv.telemetry.logs import set_up_logging
class Redirect(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", "https://me:planted@h/x?key=planted")
        self.end_headers()
    def log_message(self, *_):
        pass
set_up_logging(Settings.from_file(sys.argv[1]).conf)
with HTTPServer(("127.0.0.1", 0), Redirect) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://me:planted@127.0.0.1:{server.server_port}/y?key=planted"
    httpx.get(url)
    requests.get(url, allow_redirects=False)
    server.shutdown()
"""


def log_of_clients(folder: Path, **options: object) -> str:
    """Return what the clients of a server log that has these options of ``[DEFAULT]``."""
    config = folder / "vendorsrv.conf"
    config.write_text(section("DEFAULT", {"debug": True, **options}) + section("vendorsrv", {"handlers": ""}))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REQUESTS, str(config)], capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_a_client_s_records_have_no_secret(tmp_path: Path) -> None:
    """Whatever level the clients' loggers have, no password and no query is in the log, of a redirect neither."""
    shown = log_of_clients(tmp_path, default_log_levels="httpx=DEBUG,httpcore=DEBUG,urllib3=DEBUG")
    assert [] == [line for line in shown.splitlines() if "planted" in line]
    assert "INFO httpx" in shown
    assert "(b'Location', b'https://***@h/x?***')" in shown
    assert "GET /y?***" in shown


def test_clients_are_quiet_at_debug_level(tmp_path: Path) -> None:
    """A server at debug level logs none of its clients' requests."""
    assert "" == log_of_clients(tmp_path)
