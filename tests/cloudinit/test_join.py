"""``POST /cloud-init``: joined parts, failures, pins, and contradictory handlers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import BODY, INSTANCE, Server, error_of, running, write_config
from vendorsrv import ConfigError, Handler, HandlerDefinitionError, Settings
from vendorsrv.check.run import find_all
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.join import join_contributions
from vendorsrv.cloudinit.mime import read, to_json
from vendorsrv.cloudinit.parts import CloudConfig
from vendorsrv.handlers.registry import Registry

NAMES = ("Timezone", "Five", "Raw", "Optional", "Named", "AlsoNamed", "Pinned")
CLOUDY = "tests.support.handlers.cloudy"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server with these handlers, and a token."""
    handlers = ", ".join(f"{CLOUDY}:{name}" for name in NAMES)
    directory = tmp_path_factory.mktemp("cloudy")
    with FakeKeystone() as keystone:
        config = write_config(directory, keystone, handlers=handlers, state_path=directory)
        with running(config) as server:
            yield server, keystone.issue("service")


def body(instance: int = 1, roles: str = "member", **metadata: str) -> bytes:
    """Return a body for an instance with this number."""
    members = {
        **json.loads(BODY),
        "instance-id": f"{INSTANCE[:-2]}{instance:02}",
        "metadata": metadata,
        "boot-roles": roles,
    }
    return json.dumps(members).encode()


def test_parts_are_joined_in_the_order_of_the_handlers(
    server: tuple[Server, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The parts of all handlers are joined in order, and conflicts are logged with both names and no value."""
    with caplog.at_level(logging.WARNING):
        response = server[0].ask("/cloud-init", server[1], body(parts="five"))
    assert (200, "no-store") == (response.status_code, response.headers["Cache-Control"])
    names = [each.name for each in read(response.json())]
    assert [
        "01-five-cloud-config",
        "02-five-cloud-config",
        "03-five-first",
        "04-five-second",
        "05-five-boothook",
    ] == names[:5]
    assert ["06-named-cloud-config", "07-also-named-cloud-config", "08-also-named-script", "09-pinned-script"] == names[
        5:
    ]
    messages = [record.getMessage() for record in caplog.records if record.name == "vendorsrv.cloudinit.join"]
    assert [
        "handlers named and also-named set hostname for cloud-init; the value of named is used",
        "handlers named and also-named set ntp.enabled for cloud-init; the value of named is used",
    ] == messages


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("broken", "handler five:cloud-init: cloud-config hostnme: cloud-init has no such key; did you mean hostname?"),
        ("raised", "handler five:cloud-init failed"),
    ],
)
def test_a_failure_names_the_handler(server: tuple[Server, str], parts: str, message: str) -> None:
    """The failure of one handler fails /cloud-init, with a message that names the handler."""
    assert message == error_of(server[0].ask("/cloud-init", server[1], body(2, parts=parts)))[2]


def test_parts_are_pinned(server: tuple[Server, str]) -> None:
    """A pinning handler's parts stay the same for an instance, and other instances have their own."""
    first = server[0].ask("/cloud-init", server[1], body(3, "first")).json()
    assert "# first\n" in first
    assert first == server[0].ask("/cloud-init", server[1], body(3, "second")).json()
    assert "# second\n" in server[0].ask("/cloud-init", server[1], body(4, "second")).json()


def test_a_handler_without_handle_answers_with_its_parts(server: tuple[Server, str]) -> None:
    """A handler with only cloud_init answers at its own path with the string of its parts."""
    assert {} == server[0].ask("/timezone", server[1], body()).json()
    answer = server[0].ask("/timezone", server[1], body(parts="timezone")).json()
    assert answer.startswith("#cloud-config\ntimezone: Europe/Berlin\n")


def test_handle_may_return_parts(server: tuple[Server, str]) -> None:
    """Parts that handle returns become one string."""
    assert ["01-five-alone"] == [each.name for each in read(server[0].ask("/five", server[1], body()).json())]


@pytest.mark.parametrize("path", ["/raw", "/pinned"])
def test_a_handler_for_cloud_init_is_guarded(server: tuple[Server, str], path: str) -> None:
    """The answer of a handler with for_cloud_init is a string, or an error with the reason."""
    answered = server[0].ask(path, server[1], body(5, answer='["#!/bin/sh\\n"]')).json()
    assert "#!/bin/sh\n" in answered
    refused = error_of(server[0].ask(path, server[1], body(6, answer='{"a": 1}')))
    assert (500, "bad_cloud_init", "the answer for cloud-init must be a string, not a mapping") == refused


def test_readiness_has_the_state_of_contributions(server: tuple[Server, str]) -> None:
    """/-/ready has the state of a handler's cloud_init beside that of the handler."""
    handlers = server[0].client.get("/-/ready").json()["handlers"]
    assert {"state": "ok"} == handlers["named:cloud-init"]


def test_without_contributions_the_answer_is_an_empty_object(tmp_path: Path) -> None:
    """/cloud-init answers {} on a server whose handlers have no cloud_init."""
    with FakeKeystone() as keystone, running(write_config(tmp_path, keystone)) as server:
        assert {} == server.ask("/cloud-init", keystone.issue("service")).json()


def test_the_parts_of_a_single_handler() -> None:
    """The only contribution of one cloud-config is answered as this cloud-config."""
    kept = json.dumps(to_json([CloudConfig({"hostname": "a"})])).encode()
    assert json.loads(join_contributions({"x": kept, "y": b"{}"}, Guard())).startswith("#cloud-config\nhostname: a\n")


def clashing(directory: Path) -> Path:
    """Write a configuration with two handlers that both declare the key hostname."""
    return write_config(directory, handlers=f"{CLOUDY}:Named, {CLOUDY}:Clashing")


CLASH = "handlers named and clashing both set hostname for cloud-init; only one of them can be enabled"


def test_a_declared_conflict_is_a_configuration_error(tmp_path: Path) -> None:
    """Two handlers that declare the same key cannot be enabled together."""
    with pytest.raises(ConfigError) as caught:
        Registry(Settings.from_file(clashing(tmp_path)))
    assert CLASH == str(caught.value)


def test_the_check_finds_a_declared_conflict(tmp_path: Path) -> None:
    """The command check reports two handlers that declare the same key as an error of the option handlers."""
    found = [each for each in find_all(clashing(tmp_path)) if each.option == "handlers"]
    assert [("error", CLASH)] == [(each.severity, each.message) for each in found]


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"name": "a" * 53}, "is too long for a handler with cloud_init: at most 52 characters"),
        ({"cloud_init_keys": "hostname"}, "cloud_init_keys must be a tuple of strings"),
        (
            {"cloud_init": Handler.cloud_init, "cloud_init_keys": ("a",)},
            "cloud_init_keys needs the method cloud_init",
        ),
        ({"cloud_init": 5}, "cloud_init must be a method"),
    ],
)
def test_a_contradictory_class_is_an_error(members: dict[str, Any], problem: str) -> None:
    """A class with contradictory members for cloud-init is an error when it is defined."""
    with pytest.raises(HandlerDefinitionError, match=problem):
        type("Own", (Handler,), {"cloud_init": lambda _, __: None, **members})


def test_a_plain_cloud_init_method_runs_in_threads(tmp_path: Path) -> None:
    """A cloud_init that is not async runs in threads, with their concurrency limit."""
    config = write_config(tmp_path, handlers=f"{CLOUDY}:Timezone, {CLOUDY}:Five")
    handlers = Registry(Settings.from_file(config)).handlers
    timezone, five = handlers["timezone"], handlers["five"]
    assert timezone.cloud_init
    assert five.cloud_init
    assert (8, "thread") == (timezone.cloud_init.concurrency, timezone.runs_in)
    assert (64, "event loop") == (five.cloud_init.concurrency, five.runs_in)
