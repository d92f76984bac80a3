"""The log of a real server, as text and as JSON: what each line contains, and that no secret is in any."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from oslo_config import cfg
from oslo_log import log
from oslo_log.formatters import ContextFormatter

from tests.support import real_peers as peers
from tests.support.fake_keystone import PASSWORD, FakeKeystone
from tests.support.processes import ROOT
from tests.support.serving import INSTANCE, JSON, free_port, section, serving, write_config
from vendorsrv.telemetry.log_lines import faster_formatter, faster_handler
from vendorsrv.telemetry.logs import GLOBAL_REQUEST_ID, AccessLine, AddRequestIds, new_request_id, set_request_ids

GLOBAL = "req-11111111-2222-3333-4444-555555555555"
#: The token of the requests, and one that Keystone rejects and repeats in its answer.
TOKEN = "gAAAAAplanted-token"
UNKNOWN = "gAAAAAplanted-unknown-token"

#: Loggers that handle tokens; oslo.log sets a higher level for them by default.
LOUD = ("keystonemiddleware", "keystoneauth", "urllib3", "oslo_policy")

#: Requests whose query, token and body contain planted secrets.
REQUESTS: tuple[tuple[str, str, dict[str, Any] | bytes], ...] = (
    ("/echo", TOKEN, {"metadata": {"key": "planted-metadata"}, "user-data": "planted-user-data"}),
    ("/", TOKEN, {"metadata": {"key": "planted-metadata"}, "user-data": "planted-user-data"}),
    ("/plain", TOKEN, {"flavor": {"key": "planted-extra"}}),
    ("/raising", TOKEN, {"user-data": "planted-user-data"}),
    ("/grumbling", TOKEN, {"user-data": "planted-user-data"}),
    ("/nowhere", TOKEN, {"user-data": "planted-user-data"}),
    ("/echo", UNKNOWN, {"user-data": "planted-user-data"}),
    ("/echo", "planted token", {"user-data": "planted-user-data"}),
    ("/echo?planted-query", TOKEN, {}),
    ("/echo", TOKEN, {"metadata": {"planted-key": 5}}),
    ("/echo", TOKEN, {"user-data": ["planted-user-data"]}),
    ("/echo", TOKEN, {"instance-id": "planted-id"}),
    ("/echo", TOKEN, {"hostname": "planted\nhost"}),
    ("/echo", TOKEN, b'{"user-data": "planted-user-data'),
    ("/echo", TOKEN, b"planted-user-data"),
    ("/echo", TOKEN, b'{"a": "planted", "a": "planted-twice"}'),
)


class Logged(NamedTuple):
    """The log of a server at debug level.

    :ivar ids: the request ids of the responses, in order.
    """

    text: str
    ids: list[str]


def configure(directory: Path, keystone: FakeKeystone, port: int = 0, **options: object) -> Path:
    """Write the configuration of a server at debug level with more options of ``[DEFAULT]``."""
    levels = ", ".join(["stevedore=WARN", "httpx=WARN", "httpcore=WARN", *(f"{name}=DEBUG" for name in LOUD)])
    sections = section("DEFAULT", {"debug": True, "default_log_levels": levels, **options})
    names = ("good:Echo", "good:Plain", "good:Raising", "grumbling:Grumbling")
    handlers = ", ".join(f"tests.support.handlers.{name}" for name in names)
    (directory / "policy.yaml").write_text("'vendordata:handler:echo': 'boot_role:member'\n")
    return write_config(directory, keystone, handlers=handlers, sections=sections, port=port)


def post_all(client: httpx.Client) -> list[str]:
    """Make all requests and return their ids."""
    return [post(client, *each) for each in REQUESTS]


def post(client: httpx.Client, path: str, token: str, body: dict[str, Any] | bytes) -> str:
    """Make one request and return its id."""
    nova = {"instance-id": INSTANCE, "hostname": "web-1", "boot-roles": "member"}
    content = body if isinstance(body, bytes) else json.dumps({**nova, **body}).encode()
    headers = {**JSON, "X-Auth-Token": token, "X-Openstack-Request-Id": GLOBAL}
    return str(client.post(path, content=content, headers=headers).headers["X-Openstack-Request-Id"])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """The text log of a server in its own process."""
    port = free_port()
    with FakeKeystone() as keystone:
        keystone.issue("service", token=TOKEN)
        with serving(configure(tmp_path_factory.mktemp("text"), keystone, port), port) as process:
            process.wait_until_answers()
            with process.client() as client:
                ids = post_all(client)
            process.wait_for(ids[-1])
        return Logged(process.log.read_text(), ids)


#: The same server in a thread of a new process, with the logging that a worker sets up.
IN_A_THREAD = """\
import sys
from pathlib import Path
from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import running
from tests.telemetry.test_logs import TOKEN, post_all, configure
from vendorsrv import Settings
from vendorsrv.telemetry.logs import set_up_logging
with FakeKeystone() as keystone:
    keystone.issue("service", token=TOKEN)
    config = configure(Path(sys.argv[1]), keystone, use_json=True)
    set_up_logging(Settings.from_file(config).conf)
    with running(config) as server:
        ids = post_all(server.client)
print(*ids, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def as_json(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """The JSON log of the same requests."""
    command = [sys.executable, "-c", IN_A_THREAD, str(tmp_path_factory.mktemp("json"))]
    peers.skip_if_unit()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return Logged(done.stdout, done.stderr.split())


def test_the_text_log_contains_no_secret(text: Logged) -> None:
    """No token, user-data, metadata, answer or exception text is in the text log at debug level."""
    assert [] == re.findall(r".*(?:planted|gAAAAA).*", text.text)


def test_the_json_log_contains_no_secret(as_json: Logged) -> None:
    """No token, user-data, metadata, answer or exception text is in the JSON log at debug level."""
    assert [] == re.findall(r".*(?:planted|gAAAAA).*", as_json.text)


def test_no_password_is_in_the_log(text: Logged, as_json: Logged) -> None:
    """The password of the account that validates tokens is in neither log."""
    assert (False, False) == (PASSWORD in text.text, PASSWORD in as_json.text)


def test_no_traceback_is_in_the_log(text: Logged) -> None:
    """A handler's exception is logged as its type and place, without a traceback."""
    assert False is ("Traceback" in text.text)
    assert "handler raising raised RuntimeError " in text.text
    assert "good.py:" in text.text


def test_each_request_has_one_line(text: Logged) -> None:
    """Each request has one access line with its ids, status, duration, peer, caller, handler and instance."""
    lines = [line for line in text.text.splitlines() if "vendorsrv.access" in line]
    posts = [line for line in lines if " POST " in line]
    assert text.ids == [re.findall(rf"\[{GLOBAL} (req-[-0-9a-f]+) -\]", line)[0] for line in posts]
    assert re.search(
        rf"INFO vendorsrv.access .* POST '/echo' 200 [\d.]+ ms peer=127\.0\.0\.1 caller=id-of-service-user "
        rf"handler=echo instance={INSTANCE} source=run size=\d+ digest=[0-9a-f]{{16}} error=None$",
        posts[0],
    )


def test_a_server_error_is_logged_as_a_warning(text: Logged) -> None:
    """The access line of a 5xx is at warning level and contains the error's code and message."""
    (line,) = [line for line in text.text.splitlines() if " POST '/raising' " in line]
    assert " WARNING vendorsrv.access " in line
    assert line.endswith("error='handler_failed: handler raising failed'")


def test_a_successful_poll_is_logged_at_debug_level(text: Logged) -> None:
    """A successful request for a route below /-/ is logged at debug level."""
    assert " DEBUG vendorsrv.access " in next(line for line in text.text.splitlines() if "'/-/live'" in line)


def test_a_poll_that_fails_is_logged_at_info_level(caplog: pytest.LogCaptureFixture) -> None:
    """A 404 is logged at info level, so that a mistyped target in nova.conf is visible."""
    with caplog.at_level("DEBUG", "vendorsrv.access"):
        AccessLine("POST", "/mail/", polled=True).log(404, 0.001)
        AccessLine("GET", "/-/live", polled=True).log(200, 0.001)
    assert ["INFO", "DEBUG"] == [record.levelname for record in caplog.records]


def test_a_handler_s_own_lines_have_the_request_s_id(text: Logged) -> None:
    """A line that a handler logs carries the ids of its request."""
    lines = [line for line in text.text.splitlines() if "a handler's own line" in line]
    assert [text.ids[1], text.ids[4]] == [re.findall(r"req-[-0-9a-f]+", line)[1] for line in lines]


def test_json_lines_have_fields(as_json: Logged) -> None:
    """An access line as JSON has each value in a field of its own."""
    records = [json.loads(line) for line in as_json.text.splitlines()]
    (line,) = [
        each["extra"]
        for each in records
        if each["extra"].get("request_id") == as_json.ids[0] and ("milliseconds" in each["extra"])
    ]
    assert 0 <= line.pop("milliseconds")
    assert 0 < line.pop("size")
    assert 16 == len(line.pop("digest"))
    assert {
        "request_id": as_json.ids[0],
        "global_request_id": GLOBAL,
        "method": "POST",
        "path": "/echo",
        "status": 200,
        "peer": "127.0.0.1",
        "caller": "id-of-service-user",
        "handler": "echo",
        "instance": INSTANCE,
        "source": "run",
        "polled": False,
        "error": None,
    } == line


@pytest.mark.parametrize("sent", ["planted", "req-1", GLOBAL.upper(), f"{GLOBAL}\n", f"{GLOBAL} {GLOBAL}"])
def test_a_malformed_global_request_id_is_ignored(sent: str) -> None:
    """A header that is not a request id is not logged."""
    set_request_ids("req-1", sent)
    assert "" == GLOBAL_REQUEST_ID.get()


def test_a_disabled_level_makes_no_record(caplog: pytest.LogCaptureFixture) -> None:
    """A poll makes no record when the debug level is off."""
    caplog.set_level("INFO", "vendorsrv.access")
    AccessLine("GET", "/-/live", polled=True).log(200, 0.001)
    assert [] == caplog.records


def test_a_long_path_is_truncated(caplog: pytest.LogCaptureFixture) -> None:
    """An access line contains at most the first 200 characters of the path."""
    caplog.set_level("INFO", "vendorsrv.access")
    AccessLine("GET", "/" + "a" * 10_000).log(404, 0.001)
    assert 400 > len(caplog.records[0].getMessage())


def test_request_ids_have_openstack_s_form() -> None:
    """Each new request id is unique and has the form req-<UUID>."""
    ids = [new_request_id() for _ in range(2)]
    assert all(re.fullmatch(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", each) for each in ids)
    assert 2 == len(set(ids))


@contextmanager
def logging_ascii() -> Iterator[io.BytesIO]:
    """Log as the server does to an ASCII file, without pytest's own handlers."""
    logger, root = logging.getLogger("vendorsrv.access"), logging.getLogger()
    before = [*root.handlers], logger.level
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    conf([], project="vendorsrv", default_config_files=[], default_config_dirs=[])
    written = io.BytesIO()
    handler = faster_handler(logging.StreamHandler(io.TextIOWrapper(written, "ascii", write_through=True)))
    handler.setFormatter(faster_formatter(ContextFormatter(datefmt="%H:%M", config=conf)))
    handler.addFilter(AddRequestIds())
    root.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    try:
        yield written
    finally:
        root.handlers[:] = before[0]
        logger.setLevel(before[1])


def test_an_access_line_has_oslo_log_s_fields() -> None:
    """An access line has the level, the logger, both request ids and the values of the request."""
    set_request_ids("req-1", GLOBAL)
    with logging_ascii() as lines:
        AccessLine("POST", "/mail", "192.0.2.1", caller="nova").log(200, 0.0123)
        line = lines.getvalue().decode()
    assert (
        f"INFO vendorsrv.access [{GLOBAL} req-1 -] POST '/mail' 200 12.3 ms peer=192.0.2.1 caller=nova handler=None"
        in line
    )


def test_a_line_that_cannot_be_written_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that the file cannot encode is reported on standard error, and the request goes on."""
    with logging_ascii() as lines:
        AccessLine("POST", "/caf\u00e9").log(200, 0.001)
        assert b"" == lines.getvalue()
    assert "UnicodeEncodeError" in capsys.readouterr().err
