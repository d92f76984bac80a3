"""What each of our errors becomes in Nova, with ``vendordata_dynamic_failure_fatal`` off and on."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.keystone import NOVA, Keystone
from tests.support.peers.handlers import names
from tests.support.peers.nova import INSTANCE, Nova, listening
from tests.support.peers.responses import OUTAGES, REFUSALS, Failure
from tests.support.peers.server import BODY, Options, Server, send, status
from tests.support.serving import free_port
from tests.support.waiting import wait_until
from vendorsrv.demo.keystone import LocalKeystone

RULES: Final = '"vendordata:handler:received": "rule:vendordata:ask and boot_role:member"\n'


@pytest.fixture(scope="module")
def misbehaving(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our server with handlers that fail in every way, small limits, and a rule."""
    directory = tmp_path_factory.mktemp("misbehaving")
    (directory / "policy.yaml").write_text(RULES)
    options: Options = {
        "vendorsrv": {"handlers": names(), "max_body_bytes": 32768, "max_answer_bytes": 1024},
        "oslo_policy": {"policy_file": directory / "policy.yaml"},
    }
    with Server(directory, keystone, options) as server:
        yield server


def matches(pattern: str, text: str) -> bool:
    """Whether a text is as expected, where ``…`` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), text, re.DOTALL) is not None


def check(failure: Failure, url: str, fatal: Mapping[str, Any], lenient: Mapping[str, Any]) -> None:
    """Compare what Nova made of a failure with the table: our words in its log and in its exception."""
    status = failure.answer.partition(" ")[0]
    message = f"{failure.message} (HTTP {status}) (Request-ID: req-…)" if status else failure.message
    assert fatal["error"]["class"] in failure.raises
    assert matches(message, fatal["error"]["message"])
    assert {"mail": {}} == lenient["value"]
    assert matches(f"Error from dynamic vendordata service mail at {url}: {message}", lenient["log"][-1])
    assert "Unrecognized schema" not in lenient["log"][-1]


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(nova: Nova, misbehaving: Server, nova_token: str, name: str) -> None:
    """Each of our errors raises the class of the table in Nova, or is ``{}``; our log has its code by the same id."""
    failure = REFUSALS[name]
    url = misbehaving.url + failure.path
    for change in failure.before:
        misbehaving.post(failure.path, nova_token, json.dumps({**json.loads(BODY), **change}).encode())
    fatal, lenient = (
        nova.vendordata({**INSTANCE, **failure.change}, [f"mail@{url}"], fatal=each, **failure.nova)
        for each in (True, False)
    )
    check(failure, url, fatal, lenient)
    if misbehaving_logs_code(failure):
        assert failure.answer.partition(" ")[2] == code_in_log(misbehaving, fatal["error"]["message"])


def misbehaving_logs_code(failure: Failure) -> bool:
    """Whether it is a handler's path; the server's own are logged without."""
    return failure.path.count("/") == 1


def code_in_log(server: Server, message: str) -> str:
    """The code that our log has for the request id in Nova's message."""
    [request_id] = re.findall(r"req-[0-9a-f-]{36}", message)
    [code] = re.findall(rf"vendorsrv\.access \[- {request_id} -\].* error=['\"](\w+): ", server.log)
    return str(code)


#: A target's URL, and what is unusual about Nova, for as long as the context lasts.
Outage = AbstractContextManager[tuple[str, Mapping[str, Any]]]


@contextmanager
def with_another_token(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Nova's token is another Keystone's."""
    served: Server = request.getfixturevalue("served")
    yield f"{served.url}/mailserver", {"keystone": request.getfixturevalue("fragile_keystone")}


@contextmanager
def with_a_wrong_password(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Nova's password is wrong."""
    served: Server = request.getfixturevalue("served")
    yield f"{served.url}/mailserver", {"as_user": NOVA._replace(password="wrong")}


@contextmanager
def with_a_new_token(request: pytest.FixtureRequest) -> Iterator[tuple[str, Keystone]]:
    """Nova has a token that the server has not seen."""
    nova: Nova = request.getfixturevalue("nova")
    keystone: Keystone = request.getfixturevalue("fragile_keystone")
    with listening() as (url, _):
        nova.vendordata(INSTANCE, [f"mail@{url}"], keystone=keystone)
    server: Server = request.getfixturevalue("served_by_fragile")
    yield f"{server.url}/mailserver", keystone


@contextmanager
def while_our_keystone_is_stopped(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Our Keystone is gone."""
    with with_a_new_token(request) as (url, keystone):
        keystone.stop()
        yield url, {"keystone": keystone}


@contextmanager
def while_our_keystone_hangs(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Our Keystone accepts connections and says nothing."""
    with with_a_new_token(request) as (url, keystone):
        keystone.pause()
        yield url, {"keystone": keystone}


@contextmanager
def while_too_many_tokens_wait(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Our Keystone took two seconds for a token, now hangs, and more tokens wait than it could validate in time."""
    directory: Path = request.getfixturevalue("tmp_path")
    times = {"auth_threads": 1, "auth_timeout": 30, "request_timeout": 60}
    options: Options = {"vendorsrv": times, "keystone_authtoken": {"http_connect_timeout": 60}}
    with (
        with_a_new_token(request) as (_, keystone),
        Server(directory / "patient", keystone, options) as server,
        ExitStack() as stack,
    ):
        wait_until(server.ready)
        keystone.pause()
        slow = stack.enter_context(send(server, "127.0.0.1", "gAAAAABslow"))
        time.sleep(2)
        keystone.resume()
        assert 401 == status(slow)
        keystone.pause()
        for number in range(100):
            stack.enter_context(send(server, "127.0.0.1", f"gAAAAABmade-up{number}"))
        wait_until(lambda: "too many tokens wait" in server.log)
        yield f"{server.url}/mailserver", {"keystone": keystone}


@contextmanager
def while_the_pins_are_locked(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Another process writes to the database, and does not end."""
    server: Server = request.getfixturevalue("misbehaving")
    with closing(sqlite3.connect(server.configuration.with_name("pins.db"))) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield f"{server.url}/mailserver", {}


@contextmanager
def with_policy(request: pytest.FixtureRequest, rules: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """policy.yaml has other rules."""
    server: Server = request.getfixturevalue("misbehaving")
    policy = server.configuration.with_name("policy.yaml")
    policy.write_text(rules)
    try:
        yield f"{server.url}/received", {}  # asked each time; that Nova may ask at all is remembered for 5 s
    finally:
        policy.write_text(RULES)


def while_the_server_of_a_rule_is_down(request: pytest.FixtureRequest) -> Outage:
    """A rule asks where nobody listens."""
    return with_policy(request, f'"vendordata:handler:received": "http://127.0.0.1:{free_port()}/may"\n')


def while_the_policy_is_broken(request: pytest.FixtureRequest) -> Outage:
    """Somebody is editing policy.yaml."""
    return with_policy(request, f"{RULES}{{")


@contextmanager
def while_the_server_hangs(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Our server accepts connections and says nothing."""
    # Not the one whose pins are locked: what it is asked now it answers later, and pins.
    server: Server = request.getfixturevalue("served")
    server.signal_all(signal.SIGSTOP)
    try:
        yield f"{server.url}/mailserver", {"read_timeout": 1}
    finally:
        server.signal_all(signal.SIGCONT)


@contextmanager
def without_a_server(_: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Nobody listens."""
    yield f"http://127.0.0.1:{free_port()}/mailserver", {}


@contextmanager
def without_tls(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The target says http, and we speak TLS."""
    server: Server = request.getfixturevalue("served_by_tls")
    yield f"{server.url}/mailserver".replace("https", "http"), {}


@contextmanager
def without_a_certificate(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """We ask for a certificate, and Nova has none."""
    server: Server = request.getfixturevalue("asking_for_certificates")
    yield f"{server.url}/mailserver", {"ssl_certfile": request.getfixturevalue("authorities").ours}


@contextmanager
def with_another_authority(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Nova knows another CA than the one that signed our certificate."""
    server: Server = request.getfixturevalue("served_by_tls")
    yield f"{server.url}/mailserver", {"ssl_certfile": request.getfixturevalue("authorities").other}


@contextmanager
def without_novas_keystone(request: pytest.FixtureRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Nova has no token and gets none."""
    served: Server = request.getfixturevalue("served")
    keystone = LocalKeystone()
    keystone.url = f"http://127.0.0.1:{free_port()}/v3"
    yield f"{served.url}/mailserver", {"keystone": keystone}


MADE_BY: Final[Mapping[str, Callable[[pytest.FixtureRequest], Outage]]] = dict(
    zip(
        OUTAGES,
        (
            with_another_token,
            with_a_wrong_password,
            while_our_keystone_is_stopped,
            while_our_keystone_hangs,
            while_too_many_tokens_wait,
            while_the_pins_are_locked,
            while_the_server_of_a_rule_is_down,
            while_the_policy_is_broken,
            while_the_server_hangs,
            without_a_server,
            without_tls,
            without_a_certificate,
            with_another_authority,
            without_novas_keystone,
        ),
        strict=True,
    )
)


@pytest.mark.parametrize("name", OUTAGES)
def test_outages(nova: Nova, request: pytest.FixtureRequest, name: str) -> None:
    """Each outage raises the class of the table in Nova, or is ``{}`` and a line in Nova's log."""
    with MADE_BY[name](request) as (url, unusual):
        fatal = nova.vendordata(INSTANCE, [f"mail@{url}"], fatal=True, **unusual)
        lenient = nova.vendordata(INSTANCE, [f"mail@{url}"], **unusual)
    check(OUTAGES[name], url, fatal, lenient)
