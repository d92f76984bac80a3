"""Virtual hosts of their own for tests, in the RabbitMQ of this machine."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kombu
from sqlalchemy.engine import URL, make_url

from tests.support import real_peers as peers
from tests.support.cloud.stores import RABBITMQ
from tests.support.notifications import envelope


class Broker:
    """An empty virtual host.

    :ivar host: of RabbitMQ.
    :ivar port: of RabbitMQ.
    """

    def __init__(self, at: URL) -> None:
        self.at = at
        self.host, self.port = at.host or "127.0.0.1", at.port or 5672

    @property
    def url(self) -> str:
        """What an operator writes into ``[lifecycle] transport_url``."""
        return self.at.render_as_string(hide_password=False)

    def url_by(self, port: int) -> str:
        """Return the same URL through a relay on a loopback port."""
        return self.at.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """Open a channel."""
        with kombu.Connection(self.url.replace("rabbit://", "amqp://")) as connection:
            yield connection.channel()

    def send(self, *messages: Any, topic: str = "notifications", content_type: str | None = None) -> None:
        """Send notifications as Nova does; what is no dict goes as it is."""
        with self.channel() as channel:
            producer = kombu.Producer(channel)
            # As Nova, which declares it too: a listener may not be there yet.
            exchange = kombu.Exchange("nova", "topic", durable=False)
            for each in messages:
                body = envelope(each) if isinstance(each, dict) else each
                options = {"content_type": content_type, "content_encoding": "utf-8"} if content_type else {}
                producer.publish(body, exchange=exchange, routing_key=f"{topic}.info", declare=[exchange], **options)

    def waiting(self, queue: str = "vendorsrv") -> int | None:
        """Return how many messages wait in a queue; None if there is none."""
        with self.channel() as channel:
            try:
                return int(channel.queue_declare(queue, passive=True).message_count)
            except channel.connection.channel_errors:
                return None


@contextmanager
def broker() -> Iterator[Broker]:
    """Create an empty virtual host, and remove it at the end; the test is skipped without RabbitMQ."""
    peers.require_program("rabbitmqctl")
    variable, default = RABBITMQ
    at = make_url(os.environ.get(variable, default))
    try:
        socket.create_connection((at.host or "127.0.0.1", at.port or 5672), 5).close()
    except OSError:
        peers.missing(f"no RabbitMQ at {at.host}; {variable} can name another")
    name = f"vendorsrv_test_{secrets.token_hex(4)}"
    control("add_vhost", name)
    try:
        control("set_permissions", "-p", name, at.username or "guest", ".*", ".*", ".*")
        peers.RAN.setdefault("RabbitMQ", "of this machine")
        yield Broker(at.set(database=name))
    finally:
        control("delete_vhost", name)


def control(*arguments: str) -> None:
    """Give RabbitMQ an order."""
    subprocess.run(["rabbitmqctl", "-q", *arguments], check=True, capture_output=True)
