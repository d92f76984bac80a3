"""Each fault of a vendordata server fails its own cases, and no others."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults import ANSWERS, BODIES, CALLERS, answer, instead
from tests.support.faulty import NOVA, TENANT, Asked, Fault, Reply, error, serving
from vendorsrv.contract.suite import Report, check
from vendorsrv.nova.client import Limits
from vendorsrv.testing.misbehaviour import Behaviour, hangs_up, silent


def held(fault: Fault = lambda _, usual: usual, target: str = "mail", seconds: float = 10.0, **options: Any) -> Report:
    """Check a server with one fault."""
    with serving(fault) as url:
        limits = Limits(read_timeout=seconds)
        return check(f"{target}@{url}/", caller=NOVA, tenant=TENANT, limits=limits, **options)


def ids(report: Report) -> set[str]:
    """Return the ids of the failed cases."""
    return {verdict.case.id for verdict in report.failures()}


def in_order(asked: Asked, usual: Reply) -> Reply:
    """Answer differently when the members come in another order."""
    return (
        Reply(200, json.dumps({"of": [asked.payload["instance-id"], next(iter(asked.payload))]}))
        if asked.good
        else usual
    )


def racing() -> Fault:
    """Create a password for an instance even while another call creates one."""
    made: dict[str, str] = {}
    six = threading.Barrier(6)

    def behave(asked: Asked, usual: Reply) -> Reply:
        if not asked.good:
            return usual
        instance = asked.payload["instance-id"]
        if instance not in made:
            if len(made) == 1:  # the second instance is the one that is asked for six times at once
                six.wait(60)
            password = made[instance] = uuid.uuid4().hex
            return Reply(200, json.dumps(password))
        return Reply(200, json.dumps(made[instance]))

    return behave


def dying() -> Fault:
    """Fail after a body whose members come in another order."""
    seen: list[Asked] = []

    def behave(asked: Asked, usual: Reply) -> Reply:
        if asked.good and next(iter(asked.payload)) == "boot-roles":
            seen.append(asked)
            return usual
        return error(500) if seen else usual

    return behave


REPEAT: dict[str, tuple[Fault, set[str]]] = {
    "another answer each time": (
        lambda asked, usual: Reply(200, json.dumps(uuid.uuid4().hex)) if asked.good else usual,
        {"again-same"},
    ),
    "one of many fails": (
        lambda asked, usual: error(503) if asked.good and asked.nth == 4 else usual,
        {"again-same"},
    ),
    "the order of members matters": (in_order, {"again-member-order"}),
    "the same for everybody": (answer('"same"'), {"again-other-instance"}),
    "nothing for anybody": (answer("{}"), set()),
    "follows the roles": (
        lambda asked, usual: (
            Reply(200, json.dumps([asked.payload["instance-id"], asked.payload.get("boot-roles")]))
            if asked.good
            else usual
        ),
        {"again-boot-roles"},
    ),
    "dies": (dying(), {"again-afterwards"}),
    "the second call of a connection is lost": (
        lambda asked, usual: hangs_up if asked.good and asked.nth == 2 else usual,
        {"time-kept-connection"},
    ),
}

CLOUD_INIT: dict[str, tuple[str, set[str]]] = {
    "nothing": ("{}", set()),
    "a cloud-config": (json.dumps("#cloud-config\nfqdn: mail.example.org\n"), set()),
    "a script": (json.dumps("#!/bin/sh\ntrue\n"), set()),
    "a list": (json.dumps(["#cloud-config\n{}\n"]), {"cloud-init-string"}),
    "an object": (json.dumps({"runcmd": ["true"]}), {"cloud-init-string"}),
    "no header": (json.dumps("runcmd: [true]\n"), {"cloud-init-parts"}),
    "a wrong type": (json.dumps("#cloud-config\nfqdn: [1]\n"), {"cloud-init-parts"}),
    "no YAML": (json.dumps("#cloud-config\n: [\n"), {"cloud-init-parts"}),
    "a broken part": (
        json.dumps("MIME-Version: 1.0\nContent-Type: application/gzip\n\nno gzip"),
        {"cloud-init-parts"},
    ),
    "an include": (json.dumps("#include\nhttp://vendor.example.org/config\n"), {"cloud-init-include"}),
    "what a user replaces": (json.dumps("#cloud-config\nruncmd: [['true']]\n"), {"cloud-init-overridden"}),
}
#: Nova's own instance matters to none of them.
CONSTANT = "again-other-instance"


def test_a_good_server_passes_everything() -> None:
    """A good server passes every case with at most forty requests, except those for a target named cloud-init."""
    report = held()
    assert set() == ids(report)
    assert {"cloud-init-string", "cloud-init-parts", "cloud-init-include", "cloud-init-overridden"} == {
        verdict.case.id for verdict in report.verdicts if verdict.outcome == "not tested"
    }
    assert (True, True) == (report.passes(strict=True), report.requests <= 40)


@pytest.mark.parametrize("fault", CALLERS)
def test_faults_in_authentication_are_found(fault: str) -> None:
    """Each fault in authentication fails its cases, and no others."""
    assert CALLERS[fault][1] == ids(held(CALLERS[fault][0]))


@pytest.mark.parametrize("fault", BODIES)
def test_faults_with_bodies_are_found(fault: str) -> None:
    """A server that refuses a valid body, or fails at an invalid one, fails its cases, and no others."""
    assert BODIES[fault][1] == ids(held(BODIES[fault][0]))


@pytest.mark.parametrize("fault", ANSWERS)
def test_faults_in_answers_are_found(fault: str) -> None:
    """Answers and errors that Nova cannot read fail their cases, and no others."""
    assert ANSWERS[fault][1] == ids(held(ANSWERS[fault][0])) - {CONSTANT}


@pytest.mark.parametrize("fault", REPEAT)
def test_faults_in_repeated_calls_are_found(fault: str) -> None:
    """Answers that differ between calls, where they must not, fail their cases, and no others."""
    assert REPEAT[fault][1] == ids(held(REPEAT[fault][0]))


def test_two_runs_for_one_instance_are_found() -> None:
    """A server that creates two passwords for calls at once fails again-at-once, though calls in sequence agree."""
    assert {"again-at-once"} == ids(held(racing(), only=["again"]))


@pytest.mark.parametrize("answered", CLOUD_INIT)
def test_faults_in_answers_for_cloud_init_are_found(answered: str) -> None:
    """Answers that cloud-init ignores or fails at fail their cases, and no others."""
    text, found = CLOUD_INIT[answered]
    assert found == ids(held(answer(text), target="cloud-init")) - {CONSTANT}


def test_an_answer_for_cloud_init_under_another_name_is_found() -> None:
    """An answer for cloud-init from a target of another name fails cloud-init-name."""
    text = json.dumps("#cloud-config\nfqdn: mail.example.org\n")
    assert {"cloud-init-name"} == ids(held(answer(text))) - {CONSTANT}


def drips_on(send: Any, wait: Any) -> None:
    """Send a space now and then."""
    send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
    while not wait(0.05):
        send(b" ")


def late(seconds: float, lock: Any = None, times: int = 100) -> Fault:
    """Answer well, but so many times after some seconds; with a lock one after the other."""
    left = iter(range(times))

    def behave(asked: Asked, usual: Reply) -> Reply | Behaviour:
        def wait(send: Any, pause: Any) -> None:
            with lock or contextlib.nullcontext():
                pause(seconds)
            body = usual.body if isinstance(usual.body, bytes) else usual.body.encode()
            send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + body)

        return wait if asked.good and next(left, None) is not None else usual

    return behave


#: With Nova's read timeout and what is tried. What is late is so by its waiting alone; what has to be in time has more
#: than a second left, on a busy machine too.
TIMES: dict[str, tuple[Callable[[], Fault], float, list[str], set[str]]] = {
    "silent": (lambda: instead(silent), 1, ["time"], {"time-answer"}),
    "a byte now and then": (lambda: instead(drips_on), 1.5, ["time"], {"time-whole"}),
    "slow": (lambda: late(2.1, times=1), 4, ["time-answer", "time-margin"], {"time-margin"}),
    "slow in all": (lambda: late(0.35), 2, ["time-whole", "time-drive"], {"time-drive"}),
    "one at a time": (lambda: late(0.4, threading.Lock()), 2, ["time-at-once"], {"time-at-once"}),
}


@pytest.mark.parametrize("fault", TIMES)
def test_slow_servers_are_found(fault: str) -> None:
    """Answers that are too late for Nova, or that block a boot, fail their cases, and no others."""
    behave, seconds, only, found = TIMES[fault]
    assert found == ids(held(behave(), seconds=seconds, only=only))
