"""Log lines of a real server, as text and as JSON: what stands in them, and what never does."""

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

from tests.support.fake_keystone import PASSWORD, FakeKeystone
from tests.support.processes import ROOT
from tests.support.serving import INSTANCE, JSON, free_port, section, serving, write_config
from vendorsrv.telemetry.log_lines import as_lines, as_our_own
from vendorsrv.telemetry.logs import GLOBAL_REQUEST_ID, Access, AddRequestIds, begin, new_request_id, shortcut_of

GLOBAL = "req-11111111-2222-3333-4444-555555555555"
#: A token with which every request is made, and one that Keystone does not know and repeats in its answer.
TOKEN = "gAAAAAplanted-token"
UNKNOWN = "gAAAAAplanted-unknown-token"

#: The loggers that oslo.log keeps down by default, and that know tokens.
LOUD = ("keystonemiddleware", "keystoneauth", "urllib3", "oslo_policy")

#: Requests in which everything is planted that must not be logged: path, token and body.
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
    """What a server at debug level logged.

    :ivar ids: the request ids of the responses, in order.
    """

    text: str
    ids: list[str]


def configure(directory: Path, keystone: FakeKeystone, port: int = 0, **options: object) -> Path:
    """Write the configuration of a server at debug level, with these options of ``[DEFAULT]``."""
    levels = ", ".join(["stevedore=WARN", "httpx=WARN", "httpcore=WARN", *(f"{name}=DEBUG" for name in LOUD)])
    sections = section("DEFAULT", {"debug": True, "default_log_levels": levels, **options})
    names = ("good:Echo", "good:Plain", "good:Raising", "grumbling:Grumbling")
    handlers = ", ".join(f"tests.support.handlers.{name}" for name in names)
    (directory / "policy.yaml").write_text("'vendordata:handler:echo': 'boot_role:member'\n")
    return write_config(directory, keystone, handlers=handlers, sections=sections, port=port)


def ask_all(client: httpx.Client) -> list[str]:
    """Make all requests; give their ids."""
    return [ask(client, *each) for each in REQUESTS]


def ask(client: httpx.Client, path: str, token: str, body: dict[str, Any] | bytes) -> str:
    """Make one request; give its id."""
    nova = {"instance-id": INSTANCE, "hostname": "web-1", "boot-roles": "member"}
    content = body if isinstance(body, bytes) else json.dumps({**nova, **body}).encode()
    headers = {**JSON, "X-Auth-Token": token, "X-Openstack-Request-Id": GLOBAL}
    return str(client.post(path, content=content, headers=headers).headers["X-Openstack-Request-Id"])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """The log of a server in a process of its own, as text."""
    port = free_port()
    with FakeKeystone() as keystone:
        keystone.issue("service", token=TOKEN)
        with serving(configure(tmp_path_factory.mktemp("text"), keystone, port), port) as process:
            process.wait_until_answers()
            with process.client() as client:
                ids = ask_all(client)
            process.wait_for(ids[-1])
        return Logged(process.log.read_text(), ids)


#: The same server in a thread, which takes a second less to start, with the logging that a worker sets up.
IN_A_THREAD = """\
import sys
from pathlib import Path
from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import running
from tests.telemetry.test_logs import TOKEN, ask_all, configure
from vendorsrv import Settings
from vendorsrv.telemetry.logs import set_up_logging
with FakeKeystone() as keystone:
    keystone.issue("service", token=TOKEN)
    config = configure(Path(sys.argv[1]), keystone, use_json=True)
    set_up_logging(Settings.from_file(config).conf)
    with running(config) as server:
        ids = ask_all(server.client)
print(*ids, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def as_json(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """The log as JSON."""
    command = [sys.executable, "-c", IN_A_THREAD, str(tmp_path_factory.mktemp("json"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return Logged(done.stdout, done.stderr.split())


def test_nothing_that_was_planted_is_in_the_log(text: Logged) -> None:
    """No token, no user-data, no metadata, no answer and no exception's text, at debug level."""
    assert [] == re.findall(r".*(?:planted|gAAAAA).*", text.text)


def test_nothing_that_was_planted_is_in_the_json(as_json: Logged) -> None:
    """Nor in the other format."""
    assert [] == re.findall(r".*(?:planted|gAAAAA).*", as_json.text)


def test_no_password_is_in_the_log(text: Logged, as_json: Logged) -> None:
    """Our own account's, with which Keystone is asked."""
    assert (False, False) == (PASSWORD in text.text, PASSWORD in as_json.text)


def test_no_traceback_is_in_the_log(text: Logged) -> None:
    """A handler that raised is named with its line instead."""
    assert False is ("Traceback" in text.text)
    assert "handler raising raised RuntimeError " in text.text
    assert "good.py:" in text.text


def test_each_request_has_one_line(text: Logged) -> None:
    """With the id that its client has, the global one that came in, and what became of it."""
    lines = [line for line in text.text.splitlines() if "vendorsrv.access" in line]
    posts = [line for line in lines if " POST " in line]
    assert text.ids == [re.findall(rf"\[{GLOBAL} (req-[-0-9a-f]+) -\]", line)[0] for line in posts]
    assert re.search(
        rf"INFO vendorsrv.access .* POST '/echo' 200 [\d.]+ ms caller=id-of-service-user handler=echo "
        rf"instance={INSTANCE} error=None$",
        posts[0],
    )


def test_a_failure_is_a_warning_with_its_reason(text: Logged) -> None:
    """Those that are the server's fault."""
    (line,) = [line for line in text.text.splitlines() if " POST '/raising' " in line]
    assert " WARNING vendorsrv.access " in line
    assert line.endswith("error='handler_failed: handler raising failed'")


def test_what_is_polled_is_for_debugging(text: Logged) -> None:
    """Load balancers ask all day."""
    assert " DEBUG vendorsrv.access " in next(line for line in text.text.splitlines() if "'/-/live'" in line)


def test_a_target_with_a_wrong_path_is_no_matter_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever mistyped a URL in nova.conf looks into this log."""
    with caplog.at_level("DEBUG", "vendorsrv.access"):
        Access("POST", "/mail/", polled=True).log(404, 0.001)
        Access("GET", "/-/live", polled=True).log(200, 0.001)
    assert ["INFO", "DEBUG"] == [record.levelname for record in caplog.records]


def test_a_handler_s_own_lines_have_the_request_s_id(text: Logged) -> None:
    """A vendor's log line can be found by what Nova logged."""
    lines = [line for line in text.text.splitlines() if "a handler's own line" in line]
    assert [text.ids[1], text.ids[4]] == [re.findall(r"req-[-0-9a-f]+", line)[1] for line in lines]


def test_json_lines_have_fields(as_json: Logged) -> None:
    """One object a line, for machines."""
    records = [json.loads(line) for line in as_json.text.splitlines()]
    (line,) = [
        each["extra"]
        for each in records
        if each["extra"].get("request_id") == as_json.ids[0] and ("milliseconds" in each["extra"])
    ]
    assert 0 <= line.pop("milliseconds")
    assert {
        "request_id": as_json.ids[0],
        "global_request_id": GLOBAL,
        "method": "POST",
        "path": "/echo",
        "status": 200,
        "caller": "id-of-service-user",
        "handler": "echo",
        "instance": INSTANCE,
        "polled": False,
        "error": None,
    } == line


@pytest.mark.parametrize("sent", ["planted", "req-1", GLOBAL.upper(), f"{GLOBAL}\n", f"{GLOBAL} {GLOBAL}"])
def test_a_global_id_that_is_none_is_not_repeated(sent: str) -> None:
    """Nobody writes into our log by a header."""
    begin("req-1", sent)
    assert "" == GLOBAL_REQUEST_ID.get()


def test_a_level_that_is_off_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Polling is not written, when nobody debugs."""
    caplog.set_level("INFO", "vendorsrv.access")
    Access("GET", "/-/live", polled=True).log(200, 0.001)
    assert [] == caplog.records


def test_a_long_path_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A stranger chooses it."""
    caplog.set_level("INFO", "vendorsrv.access")
    Access("GET", "/" + "a" * 10_000).log(404, 0.001)
    assert 400 > len(caplog.records[0].getMessage())


def test_ids_are_those_of_openstack() -> None:
    """Each one new."""
    ids = [new_request_id() for _ in range(2)]
    assert all(re.fullmatch(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", each) for each in ids)
    assert 2 == len(set(ids))


@contextmanager
def logging_ascii() -> Iterator[io.BytesIO]:
    """Log as the server does, into a file that knows only ASCII; pytest's own handlers see nothing meanwhile."""
    logger, root = logging.getLogger("vendorsrv.access"), logging.getLogger()
    before = [*root.handlers], logger.level
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    conf([], project="vendorsrv", default_config_files=[], default_config_dirs=[])
    written = io.BytesIO()
    handler = as_our_own(logging.StreamHandler(io.TextIOWrapper(written, "ascii", write_through=True)))
    handler.setFormatter(as_lines(ContextFormatter(datefmt="%H:%M", config=conf)))
    handler.addFilter(AddRequestIds())
    root.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    shortcut_of.cache_clear()
    try:
        yield written
    finally:
        root.handlers[:] = before[0]
        logger.setLevel(before[1])
        shortcut_of.cache_clear()


def test_an_everyday_line_has_what_every_line_has() -> None:
    """Though it takes a shortcut."""
    begin("req-1", GLOBAL)
    with logging_ascii() as lines:
        Access("POST", "/mail", caller="nova").log(200, 0.0123)
        line = lines.getvalue().decode()
    assert f"INFO vendorsrv.access [{GLOBAL} req-1 -] POST '/mail' 200 12.3 ms caller=nova handler=None" in line


def test_a_line_that_cannot_be_written_stops_no_request(capsys: pytest.CaptureFixture[str]) -> None:
    """Python says what is wrong, and where."""
    with logging_ascii() as lines:
        Access("POST", "/caf\u00e9").log(200, 0.001)
        assert b"" == lines.getvalue()
    assert "UnicodeEncodeError" in capsys.readouterr().err
