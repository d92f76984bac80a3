"""`vendorsrv lifecycle`, `vendorsrv listen` and `vendorsrv pins list --deleted`."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.brokers import Broker, broker
from tests.support.listening import write_listener
from tests.support.notifications import unversioned
from tests.support.outboxes import LONG, with_outbox
from tests.support.pin_stores import make_table
from tests.support.waiting import wait_until
from vendorsrv.cli.main import main
from vendorsrv.lifecycle.outbox import Outbox
from vendorsrv.lifecycle.table import INSTANCE

A, B, C = (f"{letter}b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d" for letter in "abc")


def run(*arguments: object, answer: str | None = None) -> tuple[int, str, str]:
    """Run a command, and return its exit status and what it wrote."""
    done = CliRunner().invoke(main, [str(each) for each in arguments], input=answer)
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """Leave the log as it is for other tests: `listen` sets it up."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a database in which one instance waits, one is given up, and one is forgotten."""
    make_table(url := f"sqlite:///{tmp_path}/pins.db")

    async def fill(outbox: Outbox) -> None:
        for each in (A, B, C):
            await outbox.add(each, "0b9d" if each == A else None)
        for handler, error in (("mail", "the directory is down"), (INSTANCE, None)):
            for entry in await outbox.due(handler, 9):
                assert await outbox.claim(entry, "one", LONG)
                if entry.instance_id == C:
                    await outbox.end(entry, "one", error)
                elif entry.instance_id == B and error:
                    await outbox.postpone(entry, "one", LONG, error)

    with_outbox(url, fill, ("mail",))
    return write_listener(tmp_path)


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Broker]:
    """A virtual host for these tests."""
    with broker() as host:
        yield host


def test_the_status_shows_what_is_left(config: Path) -> None:
    """What waits, fails and was given up is shown by handler, with an error."""
    status, out, err = run("lifecycle", "status", "--config-file", config, "--json")
    assert (0, "") == (status, err)
    ours, mail = json.loads(out)["outbox"]
    assert {"handler": "vendorsrv", "waiting": 2, "failing": 0, "given up": 0, "last error": ""} == {
        name: ours[name] for name in ours if name != "oldest"
    }
    assert {"handler": "mail", "waiting": 2, "failing": 1, "given up": 1, "last error": "the directory is down"} == {
        name: mail[name] for name in mail if name != "oldest"
    }
    status, out, err = run("lifecycle", "status", "--config-file", config)
    assert (0, "") == (status, err)
    assert ["handler", "waiting", "failing"] == out.split()[:3]


def test_given_up_work_has_no_age(tmp_path: Path) -> None:
    """A handler that has nothing left to do and was given up once is shown without an age."""
    make_table(url := f"sqlite:///{tmp_path}/pins.db")

    async def fill(outbox: Outbox) -> None:
        await outbox.add(A)
        (entry,) = await outbox.due("mail", 9)
        await outbox.claim(entry, "one", LONG)
        await outbox.end(entry, "one", "no")

    with_outbox(url, fill, ("mail",))
    out = run("lifecycle", "status", "--config-file", write_listener(tmp_path), "--json")[1]
    assert ["", "0 s"] == sorted("0 s" if each["oldest"] else "" for each in json.loads(out)["outbox"])


def test_deleted_instances_are_listed(config: Path) -> None:
    """The instances that are known to be gone are listed by page, with their projects and times."""
    status, out, err = run("pins", "list", "--deleted", "--limit", 2, "--config-file", config, "--json")
    assert (0, f"More instances follow: --after {B}\n") == (status, err)
    first, second = json.loads(out)
    assert [(A, "0b9d", ""), (B, "", "")] == [
        (each["instance_id"], each["project_id"], each["forgotten_at"]) for each in (first, second)
    ]
    status, out, err = run("pins", "list", "--deleted", "--after", B, "--config-file", config)
    assert (0, "") == (status, err)
    assert C in out


def test_the_queue_is_counted_and_removed(rabbit: Broker, config: Path) -> None:
    """The status counts what waits at each broker, and `remove-queue` removes the queue, once that is confirmed."""
    text = config.read_text()
    config.write_text(text.replace("[lifecycle]", f"[lifecycle]\ntransport_url = {rabbit.url}"))
    command = ("lifecycle", "remove-queue", "--config-file", config)
    assert "transport 0: no queue\n" in run("lifecycle", "status", "--config-file", config)[1]
    assert (0, "transport 0: no queue\n", "") == run(*command, "--yes")
    with rabbit.channel() as channel:
        channel.queue_declare("vendorsrv", durable=False, auto_delete=False)
        rabbit.send(unversioned("delete.end", A))
        channel.queue_bind("vendorsrv", "nova", "notifications.info")
        rabbit.send(unversioned("delete.end", A))
        assert "transport 0: 1 messages wait\n" in run("lifecycle", "status", "--config-file", config)[1]
        assert 1 == run(*command, answer="n\n")[0]
    with rabbit.channel() as reader:
        reader.basic_consume("vendorsrv", callback=id)
        in_use = "vendorsrv: [lifecycle] transport_url, number 1: a listener reads the queue; stop it first\n"
        assert (1, "", in_use) == run(*command, "--yes")
    wait_until(lambda: rabbit.waiting() == 1)
    status, out, _ = run(*command, answer="y\n")  # older versions of click write the answer too
    assert (0, True) == (status, out.endswith("transport 0: removed, with 1 messages\n"))
    assert rabbit.waiting() is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (":planted@", "RabbitMQ refuses (AccessRefused)"),
        ("@127.0.0.1:1", "RabbitMQ does not answer (OperationalError)"),
    ],
)
def test_a_broker_that_is_of_no_use_is_named(rabbit: Broker, config: Path, change: str, reason: str) -> None:
    """A broker that refuses or does not answer is named by its number; no password is shown."""
    url = rabbit.at.set(password="planted") if change == ":planted@" else rabbit.at.set(host="127.0.0.1", port=1)
    line = f"transport_url = {url.render_as_string(hide_password=False)}"
    config.write_text(config.read_text().replace("[lifecycle]", f"[lifecycle]\n{line}"))
    message = f"[lifecycle] transport_url, number 1: {reason}"
    assert f"transport 0: {message}\n" in run("lifecycle", "status", "--config-file", config)[1]
    assert (1, "", f"vendorsrv: {message}\n") == run("lifecycle", "remove-queue", "--yes", "--config-file", config)


@pytest.mark.parametrize("command", [("listen",), ("lifecycle", "remove-queue", "--yes")])
def test_a_url_that_is_none_is_refused(command: tuple[str, ...], config: Path) -> None:
    """A transport that is no URL is named by its number, and not quoted."""
    config.write_text(config.read_text().replace("[lifecycle]", "[lifecycle]\ntransport_url = rabbit://planted:x/"))
    reason = "not a URL such as rabbit://user:password@host:5672/"
    status, _, err = run(*command, "--config-file", config)  # the log may have lines of oslo.service's import
    assert (1, f"vendorsrv: [lifecycle] transport_url, number 1: {reason}\n") == (status, err)


def test_a_taken_port_ends_the_listener(config: Path) -> None:
    """A listener whose port for metrics is taken does not start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = re.sub(r"metrics_port = \d+", f"metrics_port = {port}", config.read_text())
        config.write_text(text.replace("[lifecycle]", "[lifecycle]\ntransport_url = rabbit://127.0.0.1:1/"))
        reason = f"vendorsrv: cannot listen on metrics_host 127.0.0.1 port {port}: Address already in use\n"
        status, _, err = run("listen", "--config-file", config)
        assert (1, reason) == (status, err)


def test_a_wrong_option_ends_the_listener(config: Path) -> None:
    """A listener whose options are wrong does not start; each is named."""
    config.write_text(config.read_text().replace("[lifecycle]", "[lifecycle]\nremember_for = 1\nconcurrency = 0"))
    status, _, err = run("listen", "--config-file", config)
    assert (1, ["remember_for", "concurrency"]) == (status, re.findall(r"\[lifecycle\] (\w+): ", err))


def test_a_listener_needs_a_transport(config: Path) -> None:
    """A listener without a transport does not start."""
    reason = "vendorsrv: [lifecycle] transport_url: required; the RabbitMQ that has Nova's notifications\n"
    assert (1, "", reason) == run("listen", "--config-file", config)
