"""The queue of our pool at each broker, which grows for ever when nobody reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.lifecycle.listener import import_messaging, wrong_url
from vendorsrv.lifecycle.options import GROUP, MESSAGING

#: Seconds to reach a broker.
TIMEOUT: Final = 5.0
#: AMQP's reply codes (AMQP 0-9-1, 1.2).
NOT_FOUND: Final = 404
IN_USE: Final = 406


def waiting(conf: cfg.ConfigOpts, number: int) -> int | None:
    """Return how many messages wait at a transport; None if there is no queue.

    :param number: its position in the configuration, from 0.
    :raises ConfigError: the broker does not answer, or refuses.
    """
    with channel(conf, number) as opened:
        found: int = opened.queue_declare(conf[GROUP].pool, passive=True).message_count
        return found
    return None


def remove(conf: cfg.ConfigOpts, number: int) -> int | None:
    """Remove our queue at a transport; return how many messages were in it, None if there was none.

    :raises ConfigError: a listener reads it, or the broker does not answer, or refuses.
    """
    with channel(conf, number) as opened:
        opened.queue_declare(conf[GROUP].pool, passive=True)  # to delete what is not there is no error
        found: int = opened.queue_delete(conf[GROUP].pool, if_unused=True)
        return found
    return None


@contextmanager
def channel(conf: cfg.ConfigOpts, number: int) -> Iterator[Any]:
    """Open a channel; that a queue is not there ends the context."""
    place = f"[{GROUP}] transport_url, number {number + 1}"
    messaging = import_messaging(conf)
    import kombu

    urls, ssl = addresses(conf, messaging, number), ssl_of(conf[MESSAGING])
    with kombu.Connection(";".join(urls), ssl=ssl, connect_timeout=TIMEOUT) as connection:
        try:
            connection.ensure_connection(max_retries=len(urls), interval_start=0, interval_max=0)
            yield connection.channel()
        except connection.channel_errors as error:
            code = getattr(error, "reply_code", None)
            if code == IN_USE:
                raise ConfigError(f"{place}: a listener reads the queue; stop it first") from None
            if code != NOT_FOUND:
                raise ConfigError(f"{place}: RabbitMQ refuses ({type(error).__name__})") from None
        except (kombu.exceptions.OperationalError, *connection.connection_errors) as error:
            raise ConfigError(f"{place}: RabbitMQ does not answer ({type(error).__name__})") from None


def addresses(conf: cfg.ConfigOpts, messaging: Any, number: int) -> list[str]:
    """Return the URLs of a transport's brokers for kombu, as oslo.messaging makes them."""
    try:
        url = messaging.TransportURL.parse(conf, conf[GROUP].transport_url[number])
    except (messaging.InvalidTransportURL, ValueError):
        raise wrong_url(number) from None
    vhost = quote(url.virtual_host or "", safe="")
    return [
        f"amqp://{quote(each.username or '')}:{quote(each.password or '')}@{each.hostname}:{each.port or 5672}/{vhost}"
        for each in url.hosts
    ]


def ssl_of(options: Any) -> Any:
    """Return kombu's option ``ssl``."""
    if not options.ssl:
        return False
    given = {"keyfile": options.ssl_key_file, "certfile": options.ssl_cert_file, "ca_certs": options.ssl_ca_file}
    return {name: value for name, value in given.items() if value} or True
