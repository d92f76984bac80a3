"""``POST /cloud-init`` and the handlers behind it: joining, failing, keeping, and what is refused at start."""

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
from vendorsrv.cloudinit.join import Target
from vendorsrv.cloudinit.mime import read, to_json
from vendorsrv.cloudinit.parts import CloudConfig
from vendorsrv.handlers.registry import Registry

NAMES = ("Timezone", "Five", "Raw", "Optional", "Named", "AlsoNamed", "Pinned")
CLOUDY = "tests.support.handlers.cloudy"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server with all of them, and a token."""
    handlers = ", ".join(f"{CLOUDY}:{name}" for name in NAMES)
    directory = tmp_path_factory.mktemp("cloudy")
    with FakeKeystone() as keystone:
        config = write_config(directory, keystone, handlers=handlers, state_path=directory)
        with running(config) as server:
            yield server, keystone.issue("service")


def body(instance: int = 1, roles: str = "member", **metadata: str) -> bytes:
    """A body of Nova's; each number is another instance."""
    members = {
        **json.loads(BODY),
        "instance-id": f"{INSTANCE[:-2]}{instance:02}",
        "metadata": metadata,
        "boot-roles": roles,
    }
    return json.dumps(members).encode()


def test_all_handlers_are_joined_in_their_order(server: tuple[Server, str], caplog: pytest.LogCaptureFixture) -> None:
    """Who has nothing is left out, who may fail too, and a conflict is logged with both names and no value."""
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
        "handlers named and also-named set hostname for cloud-init; the first one's holds",
        "handlers named and also-named set ntp.enabled for cloud-init; the first one's holds",
    ] == messages


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("broken", "handler five:cloud-init: cloud-config hostnme: cloud-init has no such key; did you mean hostname?"),
        ("raised", "handler five:cloud-init failed"),
    ],
)
def test_a_failure_names_the_handler(server: tuple[Server, str], parts: str, message: str) -> None:
    """And fails the whole, unless its mode says otherwise."""
    assert message == error_of(server[0].ask("/cloud-init", server[1], body(2, parts=parts)))[2]


def test_what_is_pinned_stays(server: tuple[Server, str]) -> None:
    """The parts of a handler that pins are those of the first time; other instances have their own."""
    first = server[0].ask("/cloud-init", server[1], body(3, "first")).json()
    assert "# first\n" in first
    assert first == server[0].ask("/cloud-init", server[1], body(3, "second")).json()
    assert "# second\n" in server[0].ask("/cloud-init", server[1], body(4, "second")).json()


def test_a_handler_without_handle_answers_with_its_parts(server: tuple[Server, str]) -> None:
    """Alone it is a target for cloud-init, too."""
    assert {} == server[0].ask("/timezone", server[1], body()).json()
    answer = server[0].ask("/timezone", server[1], body(parts="timezone")).json()
    assert answer.startswith("#cloud-config\ntimezone: Europe/Berlin\n")


def test_handle_may_give_parts(server: tuple[Server, str]) -> None:
    """They become the string."""
    assert ["01-five-alone"] == [each.name for each in read(server[0].ask("/five", server[1], body()).json())]


@pytest.mark.parametrize("path", ["/raw", "/pinned"])
def test_a_handler_for_cloud_init_is_guarded(server: tuple[Server, str], path: str) -> None:
    """Its answer is one string, or an error with the reason."""
    answered = server[0].ask(path, server[1], body(5, answer='["#!/bin/sh\\n"]')).json()
    assert "#!/bin/sh\n" in answered
    refused = error_of(server[0].ask(path, server[1], body(6, answer='{"a": 1}')))
    assert (500, "bad_cloud_init", "the answer for cloud-init is a mapping; it must be one string") == refused


def test_the_state_of_what_contributes_is_shown(server: tuple[Server, str]) -> None:
    """Beside that of the answers."""
    handlers = server[0].client.get("/-/ready").json()["handlers"]
    assert {"state": "ok"} == handlers["named:cloud-init"]


def test_nothing_is_an_empty_object(tmp_path: Path) -> None:
    """Also of a server whose handlers have nothing to do with cloud-init."""
    with FakeKeystone() as keystone, running(write_config(tmp_path, keystone)) as server:
        assert {} == server.ask("/cloud-init", keystone.issue("service")).json()


def test_one_handler_alone() -> None:
    """Its parts are joined without a look at keys, which nobody else can have set."""
    kept = json.dumps(to_json([CloudConfig({"hostname": "a"})])).encode()
    assert json.loads(Target(Guard(), {}).join({"x": kept, "y": b"{}"})).startswith("#cloud-config\nhostname: a\n")


def clashing(directory: Path) -> Path:
    """A configuration with two handlers that both name the hostname."""
    return write_config(directory, handlers=f"{CLOUDY}:Named, {CLOUDY}:Clashing")


CLASH = "handlers named and clashing both set hostname for cloud-init; only one of them can be enabled"


def test_a_certain_clash_is_refused_at_start(tmp_path: Path) -> None:
    """With the key and both names."""
    with pytest.raises(ConfigError) as caught:
        Registry(Settings.from_file(clashing(tmp_path)))
    assert CLASH == str(caught.value)


def test_a_certain_clash_is_found_by_the_check(tmp_path: Path) -> None:
    """At the line of the handlers."""
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
def test_contradictions_about_cloud_init(members: dict[str, Any], problem: str) -> None:
    """Are errors where the class is defined."""
    with pytest.raises(HandlerDefinitionError, match=problem):
        type("Own", (Handler,), {"cloud_init": lambda _, __: None, **members})


def test_a_plain_method_bounds_what_runs_at_once(tmp_path: Path) -> None:
    """By the handler's threads, apart from its answers."""
    config = write_config(tmp_path, handlers=f"{CLOUDY}:Timezone, {CLOUDY}:Five")
    handlers = Registry(Settings.from_file(config)).handlers
    timezone, five = handlers["timezone"], handlers["five"]
    assert timezone.cloud_init
    assert five.cloud_init
    assert (8, "thread") == (timezone.cloud_init.concurrency, timezone.runs_in)
    assert (64, "event loop") == (five.cloud_init.concurrency, five.runs_in)
