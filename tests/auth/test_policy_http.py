"""Rules of policy.yaml that ask another server, which is real, and slow or down when a test wants it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Clock
from tests.support.serving import INSTANCE, error_of, run, running, write_config
from tests.support.waiting import wait_until
from vendorsrv import BootRoles, Caller, Settings, VendordataRequest
from vendorsrv.auth.policy import Policy, RemoteRule
from vendorsrv.errors import Forbidden, PolicyUnavailable
from vendorsrv.testing.loopback import Loopback

NOVA = Caller("nova", project_name="service", roles=("service",))
#: A net: no test waits for so long.
PLENTY = 60.0


class Questions(BaseHTTPRequestHandler):
    """A question whether a rule allows something."""

    owner: Server

    def do_POST(self) -> None:
        """Answer as the server shall."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.owner.asked.append(
            (self.path, {name: json.loads(text) for name, (text,) in parse_qs(body.decode()).items()})
        )
        self.owner.goes_on.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.owner.verdict)))
        self.end_headers()
        self.wfile.write(self.owner.verdict)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(Loopback):
    """A server that rules ask.

    :ivar verdict: what it answers.
    :ivar goes_on: while it is cleared, whoever asks waits.
    :ivar asked: the paths and the bodies of the questions.
    """

    calls = Questions

    def __init__(self) -> None:
        super().__init__()
        self.verdict = b"True"
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.asked: list[tuple[str, dict[str, object]]] = []


@pytest.fixture
def other() -> Iterator[Server]:
    """The server that rules ask."""
    with Server() as server:
        yield server
        server.goes_on.set()


Make = Callable[[str], Policy]


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Make:
    """Return a function that builds a policy for the handlers ``mail`` and ``dns`` from the text of policy.yaml."""

    def build(text: str) -> Policy:
        (tmp_path / "policy.yaml").write_text(text)
        sections = "[oslo_policy]\nremote_timeout = 60\n"
        return Policy(Settings.from_file(write_config(tmp_path, sections=sections)).conf, ["mail", "dns"], clock)

    return build


def booted(instance: str = INSTANCE) -> VendordataRequest:
    """Return a request for an instance."""
    return VendordataRequest(
        instance, project_id="1f2e", hostname="web-1", image_id="", boot_roles=BootRoles(("member",))
    )


@pytest.mark.parametrize("rule", ["vendordata:ask", "vendordata:handler:echo"])
@pytest.mark.parametrize(
    ("check", "verdict", "status"),
    [
        ("URL", b"True", 200),
        ("URL", b'"True"', 200),
        ("URL", b"False", 403),
        ("URL", b"", 403),
        ("role:service and URL", b"True", 200),
        ("role:service and (role:member or URL)", b"False", 403),
        ("not URL", b"True", 403),
        ("rule:remote", b"True", 200),
        ("rule:remote", b"False", 403),
    ],
)
def test_the_other_server_decides(
    *, tmp_path: Path, fake: FakeKeystone, other: Server, rule: str, check: str, verdict: bytes, status: int
) -> None:
    """A rule that asks a server, wherever in it, allows what the server answers True to, and nothing else."""
    url = f"{other.base}/verdict"
    (tmp_path / "policy.yaml").write_text(f"remote: {url}\n'{rule}': {check.replace('URL', url)}\n")
    other.verdict = verdict
    with running(write_config(tmp_path, fake)) as server:
        assert status == server.ask("/echo", fake.issue("service")).status_code
    assert ["/verdict"] == [path for path, _ in other.asked]


def test_other_requests_do_not_wait(tmp_path: Path, fake: FakeKeystone, other: Server) -> None:
    """While a rule waits for its server, other requests are answered, and the server is ready."""
    (tmp_path / "policy.yaml").write_text(f"'vendordata:handler:echo': {other.base}/verdict\n")
    handlers = "tests.support.handlers.good:Echo, tests.support.handlers.good:Plain"
    sections = "[oslo_policy]\nremote_timeout = 60\n"
    config = write_config(tmp_path, fake, handlers=handlers, sections=sections, request_timeout=60, auth_timeout=30)
    with running(config) as server, ThreadPoolExecutor() as pool:
        other.goes_on.clear()
        waiting = pool.submit(server.ask, "/echo", fake.issue("service"))
        wait_until(lambda: other.asked)
        assert 200 == server.ask("/plain", fake.issue("service")).status_code
        assert 200 == server.client.get("/-/ready").status_code
        assert not waiting.done()
        other.goes_on.set()
        assert 200 == waiting.result(60).status_code


@pytest.mark.parametrize("rule", ["vendordata:ask", "vendordata:handler:echo"])
def test_nobody_is_admitted_without_the_other_server(
    tmp_path: Path, fake: FakeKeystone, other: Server, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server of a rule is down, requests are 503, and the log names the rule; the server is ready."""
    (tmp_path / "policy.yaml").write_text(f"'{rule}': not {other.base}/verdict\n")
    other.stop()
    with running(write_config(tmp_path, fake)) as server:
        for path in ("/echo", "/"):
            refused = server.ask(path, fake.issue("service"))
            assert (503, "policy_unavailable", "the server of a policy rule does not answer") == error_of(refused)
            assert "1" == refused.headers["Retry-After"]
        assert 200 == server.client.get("/-/ready").status_code
    assert f"the server of policy rule {rule}: ConnectionError: " in caplog.text


def test_a_slow_server_is_waited_for_until_the_deadline(make: Make, other: Server) -> None:
    """A rule whose server has not answered at the request's deadline is 503."""
    policy = make(f"'vendordata:ask': {other.base}/\n'vendordata:handler:mail': {other.base}/\n")

    async def ask() -> None:
        other.goes_on.clear()
        message = "^the server of a policy rule did not answer in time$"
        with pytest.raises(PolicyUnavailable, match=message):
            await policy.admit_remotely(NOVA, 0.05)
        with pytest.raises(PolicyUnavailable, match=message):
            await policy.allows_remotely("mail", booted(), NOVA, 0.05)
        other.goes_on.set()

    run(ask())


def test_a_question_that_gets_no_thread_in_time_is_not_asked(make: Make, other: Server) -> None:
    """While sixteen questions wait for their answers, another one is 503 at its deadline, and leaves the queue."""
    policy = make(f"'vendordata:handler:mail': {other.base}/\n")

    async def ask() -> int:
        other.goes_on.clear()
        asking = [
            asyncio.create_task(policy.allows_remotely("mail", booted(str(number)), NOVA, PLENTY))
            for number in range(16)
        ]
        await asyncio.to_thread(wait_until, lambda: len(other.asked) == 16)
        with pytest.raises(PolicyUnavailable):
            await policy.allows_remotely("mail", booted("another"), NOVA, 0.05)
        await asyncio.to_thread(wait_until, lambda: len(policy.single_flight.running) == 16)
        other.goes_on.set()
        await asyncio.gather(*asking)
        return len(other.asked)

    assert 16 == run(ask())


def test_verdicts_are_remembered_for_five_seconds(make: Make, other: Server, clock: Clock) -> None:
    """The server is asked once in five seconds about an instance, and about each instance and handler."""
    policy = make(f"'vendordata:handler:mail': {other.base}/mail\n'vendordata:handler:dns': {other.base}/dns\n")

    async def ask() -> list[int]:
        counts = []
        for handler, instance, seconds in (
            ("mail", "a", 0),
            ("mail", "a", 0),
            ("mail", "b", 0),
            ("dns", "b", 5.1),
            ("dns", "b", 0),
        ):
            await policy.allows_remotely(handler, booted(instance), NOVA, PLENTY)
            counts.append(len(other.asked))
            clock.now += seconds
        return counts

    assert [1, 1, 2, 3, 4] == run(ask())


def test_concurrent_requests_share_a_question_and_the_threads_are_bounded(make: Make, other: Server) -> None:
    """The same question is asked once at a time, and at most sixteen questions are asked at once."""
    policy = make(f"'vendordata:handler:mail': {other.base}/\n")

    async def ask() -> tuple[int, set[bool]]:
        other.goes_on.clear()
        instances = [str(number) for number in range(20)]
        asking = [
            asyncio.create_task(policy.allows_remotely("mail", booted(instance), NOVA, PLENTY))
            for instance in instances * 3
        ]
        await asyncio.to_thread(wait_until, lambda: len(other.asked) >= 16)
        busy = policy.threads.borrowed_tokens
        other.goes_on.set()
        return busy, set(await asyncio.gather(*asking))

    assert (16, {True}) == run(ask())
    assert 20 == len(other.asked)


def test_the_other_server_sees_the_caller_and_the_instance(make: Make, other: Server) -> None:
    """The question names the rule, the instance and the caller, and its URL may name values of the instance."""
    policy = make(f"'vendordata:handler:mail': {other.base}/%(project_id)s\n")
    assert True is run(policy.allows_remotely("mail", booted(), NOVA, PLENTY))
    ((path, question),) = other.asked
    assert "/1f2e" == path
    assert "vendordata:handler:mail" == question["rule"]
    assert {
        "instance_id": INSTANCE,
        "project_id": "1f2e",
        "image_id": "",
        "hostname": "web-1",
        "boot_roles": ["member"],
    } == question["target"]
    assert {"rule", "target", "credentials"} == set(question)


def test_a_url_with_a_value_that_is_not_known_is_503(
    make: Make, other: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A URL in vendordata:ask that names a value of the instance, which it does not see, is 503 and logged."""
    policy = make(f"'vendordata:ask': {other.base}/%(project_id)s\n")
    with pytest.raises(RemoteRule):
        policy.admit(NOVA)
    with pytest.raises(PolicyUnavailable):
        run(policy.admit_remotely(NOVA, PLENTY))
    assert "the server of policy rule vendordata:ask: KeyError: 'project_id'" in caplog.text


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("remote_ssl_client_crt_file = /nowhere/client.pem", "RuntimeError: Unable to find ssl cert_file"),
        ("remote_ssl_verify_server_crt = true", "SSLError: "),
    ],
)
def test_a_server_without_tls_admits_nobody(
    *, tmp_path: Path, fake: FakeKeystone, other: Server, option: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """When TLS to the server of a rule fails, or a file for it is missing, requests are 503, and logged."""
    (tmp_path / "policy.yaml").write_text(f"'vendordata:ask': https://127.0.0.1:{other.port}/\n")
    with running(write_config(tmp_path, fake, sections=f"[oslo_policy]\n{option}\n")) as server:
        refused = server.ask("/echo", fake.issue("service"))
    assert (503, "policy_unavailable", "the server of a policy rule does not answer") == error_of(refused)
    assert f"the server of policy rule vendordata:ask: {reason}" in caplog.text


def test_the_other_server_denies_with_the_usual_message(make: Make, other: Server) -> None:
    """A caller that the server denies is told what a caller is told that a rule denies."""
    other.verdict = b"False"
    with pytest.raises(Forbidden, match=r"^the owner of the token may not ask for vendordata$"):
        run(make(f"'vendordata:ask': {other.base}/\n").admit_remotely(NOVA, PLENTY))
