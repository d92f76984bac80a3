"""Large texts for cloud-init: checked off the event loop, once, and as strictly as small ones."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fake_keystone import FakeKeystone
from tests.support.handlers.cloudy import LINES
from tests.support.serving import BODY, INSTANCE, error_of, running, section, write_config
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.parts import CloudConfig, Jinja
from vendorsrv.errors import CloudInitError

HANDLERS = "tests.support.handlers.cloudy:Large, tests.support.handlers.good:Echo"


def body(parts: str) -> bytes:
    """Return Nova's request for another instance each time, which is to get this."""
    other = BODY.replace(INSTANCE.encode(), str(uuid.uuid4()).encode())
    return other.replace(b'"metadata": {}', b'"metadata": {"parts": "%s"}' % parts.encode())


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/large", "made"),
        ("/large", "message"),
        ("/cloud-init", "made"),
        ("/cloud-init", "text"),
        ("/cloud-init", "message"),
    ],
)
def test_others_are_answered_while_a_large_answer_is_checked(tmp_path: Path, path: str, parts: str) -> None:
    """While a cloud-config of half a megabyte is checked, requests of others are answered."""
    with FakeKeystone() as keystone:
        sections = section("handler:large", {"timeout": 100})
        config = write_config(tmp_path, keystone, handlers=HANDLERS, sections=sections, request_timeout=110)
        with running(config) as server, ThreadPoolExecutor(1) as pool:
            token = keystone.issue("service")
            assert 200 == server.ask("/echo", token).status_code
            asked = pool.submit(server.ask, path, token, body(parts))
            others = []
            while not asked.done():
                others.append(server.ask("/echo", token).status_code)
            answer = asked.result()
    assert 200 == answer.status_code
    assert str(LINES - 1) in answer.text
    assert len(others) >= 5
    assert {200} == set(others)


def test_a_large_answer_is_checked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a handler for cloud-init returned is not checked again, whoever asks for it."""
    loaded: list[str] = []
    load = yaml.load

    def counting(text: str, loader: Any) -> Any:
        loaded.append(text)
        return load(text, loader)

    monkeypatch.setattr(yaml, "load", counting)
    with FakeKeystone() as keystone:
        sections = section("handler:large", {"timeout": 100})
        config = write_config(tmp_path, keystone, handlers=HANDLERS, sections=sections, request_timeout=110)
        with running(config) as server:
            token = keystone.issue("service")
            asked = body("made")
            statuses = [server.ask(path, token, asked).status_code for path in ("/large", "/large", "/cloud-init")]
    assert [200] * 3 == statuses
    assert 1 == len(loaded)


def test_a_check_that_takes_too_long_is_504(tmp_path: Path) -> None:
    """A check ends with its request's time, and the server goes on."""
    with FakeKeystone() as keystone:
        config = write_config(tmp_path, keystone, handlers=HANDLERS, request_timeout=0.5)
        with running(config) as server:
            token = keystone.issue("service")
            assert 200 == server.ask("/echo", token).status_code
            message = "the answer for cloud-init could not be checked in time"
            assert (504, "handler_timeout", message) == error_of(server.ask("/large", token, body("made")))
            assert 200 == server.ask("/echo", token).status_code


MANY = {"runcmd": [["echo", "a"]] * 500}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CloudConfig({**MANY, "ntp": {"servers": 5}}, replaceable=["runcmd"]), "ntp.servers: must be a list"),
        (lambda: CloudConfig({**MANY, "hostnme": "a"}, replaceable=["runcmd"]), "hostnme: cloud-init has no such key"),
        (lambda: Jinja("#cloud-config\n{% if %}\n" + "#" * 5000), "has a template syntax error in line 3"),
    ],
)
def test_large_parts_are_checked_as_small_ones_are(make: Any, message: str) -> None:
    """A violation of the schema, an unknown key and a wrong template are refused, for either target."""
    part = make()
    for check in (Guard().check_answer, Guard().check_contribution):
        with pytest.raises(CloudInitError, match=message):
            check(part, "x")


def test_a_large_cloud_config_keeps_its_values() -> None:
    """Whichever characters its values have, both of PyYAML's parsers read them from its text, which is ASCII."""
    text = "é\u2028\u2029\ufeff\U0001f600\t\\\"'# : {{ v1 }}\n" * 300
    part = CloudConfig({"own": {"a": text, "é": [True, None, 1.5, "yes", "1"]}}, also=["own"])
    assert part.text.isascii()
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        found = yaml.load(part.text, loader)  # noqa: S506 - safe ones
        assert {"a": text, "é": [True, None, 1.5, "yes", "1"]} == found["own"]
    assert part.text == Guard().check_answer(part, "x")
