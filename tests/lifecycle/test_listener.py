"""`vendorsrv listen` with a real RabbitMQ, whatever fails meanwhile."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Broker, broker
from tests.support.listening import Listener, listening, notes_of, write_listener
from tests.support.notifications import message, unversioned, versioned
from tests.support.outboxes import rows_of
from tests.support.pin_stores import KINDS, database_url, make_table, new_instance, with_database
from tests.support.relay import Relay
from tests.support.waiting import wait_until

READS = "Reading notifications of transport"


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Broker]:
    """A virtual host for these tests."""
    with broker() as host:
        yield host


@pytest.fixture
def own() -> Iterator[Broker]:
    """A virtual host of the test's own."""
    with broker() as host:
        yield host


def wait_for_calls(config: Path, number: int) -> None:
    """Wait until `deleted` was called so many times, and all is forgotten."""
    wait_until(lambda: len(notes_of(config)) >= number)


@pytest.mark.parametrize("kind", KINDS)
def test_each_delete_calls_deleted_once(kind: str, rabbit: Broker, tmp_path: Path) -> None:
    """Nova's deletes in both formats call `deleted` once for each instance, and foreign messages are skipped."""
    instances = sorted(new_instance() for _ in range(5))
    with database_url(kind, tmp_path) as url:
        make_table(url)
        config = write_listener(tmp_path / "listen", rabbit.url, database=url)
        with listening(config) as listener:
            listener.wait_for(READS)
            rabbit.send(*(unversioned("delete.end", each) for each in instances))
            rabbit.send(*(versioned("delete.end", each) for each in instances), topic="versioned_notifications")
            rabbit.send(unversioned("shutdown.end", new_instance()), message("image.delete", {}, "image.host"))
            listener.wait_for("is gone", 5)
            wait_for_calls(config, 5)
            wait_until(lambda: listener.counted("vendorsrv_notifications_total").total() == 12)
            found = listener.counted("vendorsrv_notifications_total")
            assert {"gone": 5, "known": 5, "ignored": 2} == {
                name.split('"')[1]: number for name, number in found.items()
            }
            wait_until(lambda: listener.counted("vendorsrv_deletions_total").total() == 10)
            assert 0 == listener.end()
        assert instances == sorted(instance for instance, _ in notes_of(config))
        assert [(None,)] * 10 == with_database(url, lambda database: rows_of(database, "due_at"))
    log = listener.log.read_text()
    assert "Traceback" not in log
    assert "guest@" not in log


def test_what_is_no_notification_is_skipped(rabbit: Broker, tmp_path: Path) -> None:
    """A message that is no JSON, or of another shape, is skipped, counted, and logged in a line without its text."""
    config, instance = write_listener(tmp_path, rabbit.url), new_instance()
    with listening(config) as listener:
        listener.wait_for(READS)
        rabbit.send(b"planted no JSON", content_type="application/json")
        rabbit.send(["planted"], "planted", {**unversioned("delete.end", "planted"), "priority": None})
        rabbit.send({**unversioned("delete.end", instance), "timestamp": "planted"})
        rabbit.send(unversioned("delete.end", instance))
        wait_for_calls(config, 1)
        wait_until(lambda: listener.counted("vendorsrv_notifications_total").total() == 6)
        assert 0 == rabbit.waiting()
        assert 0 == listener.end()
    log = listener.log.read_text()
    assert "a message that is no notification of Nova is skipped: it cannot be read" in log
    assert [] == [word for word in ("Traceback", "planted") if word in log]


def test_a_broker_may_be_away(own: Broker, tmp_path: Path) -> None:
    """A broker that is away at the start, and in the middle, is waited for; another cell's is read meanwhile."""
    first, second, third = (new_instance() for _ in range(3))
    with Relay(own.host, own.port) as relay:
        relay.cut()
        with broker() as other:
            config = write_listener(tmp_path, own.url_by(relay.port), other.url)
            with listening(config) as listener:
                listener.wait_for(f"{READS} 1")
                other.send(unversioned("delete.end", first))
                wait_for_calls(config, 1)
                relay.heal()
                listener.wait_for(f"{READS} 0")
                own.send(unversioned("delete.end", second))
                wait_for_calls(config, 2)
                relay.cut()
                own.send(unversioned("delete.end", third))
                listener.wait_for("is unreachable")
                relay.heal()
                wait_for_calls(config, 3)
                assert 0 == listener.end()
    assert [first, second, third] == [instance for instance, _ in notes_of(config)]


def test_it_stops_while_its_broker_is_away(tmp_path: Path) -> None:
    """SIGTERM ends a listener that waits for its broker, also without metrics."""
    config = write_listener(tmp_path, "rabbit://planted:planted@127.0.0.1:1/")
    config.write_text(re.sub(r"metrics_port = \d+", "metrics_port =", config.read_text()))
    with listening(config) as listener:
        listener.wait_for("Listening to Nova on 1 transports; handlers with deleted: leaving")
        assert 0 == listener.end()
    assert "planted" not in listener.log.read_text()


def test_a_message_stays_in_the_queue_while_the_database_is_away(rabbit: Broker, tmp_path: Path) -> None:
    """While the database does not answer, a delete is given back to the queue; then it is noted."""
    instance = new_instance()
    with database_url("postgresql", tmp_path) as url:
        make_table(url)
        host, port = url.rpartition("@")[2].partition("/")[0].split(":")
        with Relay(host, int(port)) as relay:
            config = write_listener(tmp_path, rabbit.url, database=url.replace(f":{port}/", f":{relay.port}/"))
            with listening(config) as listener:
                listener.wait_for(READS)
                relay.cut()
                rabbit.send(unversioned("delete.end", instance))
                wait_until(lambda: 'outcome="requeued",transport="0"' in listener.counted("vendorsrv_notif"))
                assert [] == notes_of(config)
                relay.heal()
                wait_for_calls(config, 1)
                assert 0 == listener.end()
    assert [[instance, None]] == notes_of(config)


def test_a_process_killed_before_it_has_noted_a_call_calls_again(rabbit: Broker, tmp_path: Path) -> None:
    """After SIGKILL between a call and its record another process calls again."""
    config = write_listener(tmp_path, rabbit.url, kill_once=tmp_path / "killed", timeout=0.5)
    instance = new_instance()
    with listening(config) as killed:
        killed.wait_for(READS)
        rabbit.send(unversioned("delete.end", instance))
        assert -signal.SIGKILL == killed.process.wait(60)
    with listening(config, "second") as listener:
        wait_for_calls(config, 2)
        wait_until(lambda: listener.counted("vendorsrv_deletions_total").total() == 2)
        assert 0 == listener.end()
    assert [[instance, None]] * 2 == notes_of(config)


def test_two_listeners_share_the_work(rabbit: Broker, tmp_path: Path) -> None:
    """Two listeners on one database call `deleted` once for each of many instances."""
    instances = {new_instance() for _ in range(60)}
    configs = [write_listener(tmp_path / name, rabbit.url, notes=tmp_path / "notes") for name in ("one", "two")]
    for each in configs:
        each.write_text(each.read_text() + f"[database]\nconnection = sqlite:///{tmp_path}/pins.db\n")
    make_table(f"sqlite:///{tmp_path}/pins.db")
    with listening(configs[0]) as one, listening(configs[1]) as two:
        for listener in (one, two):
            listener.wait_for(READS)
        rabbit.send(*(unversioned("delete.end", each) for each in instances))
        rabbit.send(*(unversioned("delete.end", each) for each in instances))

        def forgotten(listener: Listener) -> int:
            return listener.counted("vendorsrv_deletions_total")['handler="vendorsrv",outcome="ok"']

        wait_until(lambda: forgotten(one) + forgotten(two) >= 60)
        assert [0, 0] == [one.end(), two.end()]
    assert dict.fromkeys(instances, 1) == Counter(instance for instance, _ in notes_of(tmp_path / "any"))


def test_a_handler_that_fails_is_called_again(rabbit: Broker, tmp_path: Path) -> None:
    """A handler that fails is called again, with a line in the log, until it succeeds."""
    (fails := tmp_path / "fails").touch()
    config = write_listener(tmp_path, rabbit.url, fail_while=fails)
    with listening(config) as listener:
        listener.wait_for(READS)
        rabbit.send(unversioned("delete.end", new_instance()))
        listener.wait_for("failed (the directory is down); next call in 2 s")
        fails.unlink()
        wait_for_calls(config, 1)
        assert 0 == listener.end()
