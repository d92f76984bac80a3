"""Large texts for cloud-init: checked off the event loop, once, and as strictly as small ones."""

from __future__ import annotations

import base64
import gzip
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fake_keystone import FakeKeystone
from tests.support.handlers.cloudy import LINES
from tests.support.serving import BODY, INSTANCE, error_of, running, section, write_config
from vendorsrv.cloudinit.guard import Guard, size_of
from vendorsrv.cloudinit.parts import CloudConfig, Jinja, Script
from vendorsrv.errors import CloudInitError

HANDLERS = "tests.support.handlers.cloudy:Large, tests.support.handlers.good:Echo"


def body(parts: str) -> bytes:
    """Return Nova's request for another instance each time, which is to get this."""
    other = BODY.replace(INSTANCE.encode(), str(uuid.uuid4()).encode())
    return other.replace(b'"metadata": {}', b'"metadata": {"parts": "%s"}' % parts.encode())


@pytest.mark.parametrize(
    ("path", "parts"),
    [("/large", "made"), ("/cloud-init", "text"), ("/cloud-init", "message")],
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


def compressed(text: str) -> str:
    """Return a MIME message with a compressed text."""
    data = base64.encodebytes(gzip.compress(text.encode(), mtime=0)).decode()
    return f"MIME-Version: 1.0\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n{data}"


def test_others_are_answered_while_a_compressed_answer_is_checked(tmp_path: Path) -> None:
    """While half a megabyte in a kilobyte is checked, requests of others are answered."""
    answer = json.dumps(compressed("#cloud-config\nruncmd:\n" + "- [echo, 'a line of a few words']\n" * 15_000))
    with FakeKeystone() as keystone:
        handlers = "tests.support.handlers.cloudy:Raw, tests.support.handlers.good:Echo"
        sections = section("handler:raw", {"timeout": 100})
        config = write_config(tmp_path, keystone, handlers=handlers, sections=sections, request_timeout=110)
        with running(config) as server, ThreadPoolExecutor(1) as pool:
            token = keystone.issue("service")
            assert 200 == server.ask("/echo", token).status_code
            metadata = json.dumps({"answer": answer}).encode()
            asked = pool.submit(server.ask, "/raw", token, BODY.replace(b'"metadata": {}', b'"metadata": ' + metadata))
            others = []
            while not asked.done():
                others.append(server.ask("/echo", token).status_code)
            assert 200 == asked.result().status_code
    assert len(answer) < 4096
    assert len(others) >= 5


@pytest.mark.parametrize(
    "text",
    [
        "#cloud-config\nx: &a [1]\nruncmd: [*a, *a]\n",
        "#cloud-config\n&a x: *a\n",
        '#cloud-config\n{"x":&a [1],"y":[*a]}\n',
        "#cloud-config\n? [&a 1,&b 2]\n: *a",
        '[{"text":"#cloud-config\\n&a x: *a"}]',
        compressed("#cloud-config\n"),
    ],
)
def test_a_short_text_that_may_grow_counts_as_a_large_one(text: str) -> None:
    """Aliases repeat a value, and compressed parts become longer, without a limit that their own length sets."""
    assert size_of(text) > 4096
    assert size_of([text]) > 4096


def test_a_script_is_as_large_as_it_is_long() -> None:
    """The shell's ampersands are no anchors."""
    text = "#!/bin/sh\ntrue && echo * >/dev/null 2>&1 &\nwait\n"
    assert len(text) == size_of(text) == size_of([Script(text)])


def test_a_cloud_config_that_is_nested_too_deeply_is_refused() -> None:
    """The schema's validator cannot follow a thousand levels."""
    with pytest.raises(CloudInitError, match=r"is (nested too deeply|not valid YAML)"):
        Guard().check_answer("#cloud-config\nruncmd: " + "[" * 1500 + "]" * 1500, "x")


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
