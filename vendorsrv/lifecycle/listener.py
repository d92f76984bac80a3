"""Reads Nova's notifications from RabbitMQ, through oslo.messaging."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from oslo_config import cfg

from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.lifecycle.events import Gone, MalformedEvent, gone_in
from vendorsrv.lifecycle.options import GROUP, MESSAGING
from vendorsrv.telemetry.logs import RareLine
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)

MALFORMED: Final = RareLine(LOG, "a message that is no notification of Nova is skipped: %s")
#: Messages that RabbitMQ sends before the first of them is acknowledged: by default oslo.messaging would take them all.
#: More than the 16 that it may leave unacknowledged after a reconnect, because it has seen them (``_MsgIdCache``).
PREFETCH: Final = 100
#: Seconds until a message that could not be noted is given back to the queue.
REQUEUE_AFTER: Final = 1.0
#: The logger that says that a message cannot be read, and how that line begins.
DRIVER: Final = "oslo.messaging._drivers.impl_rabbit"
UNREADABLE: Final = "Failed to process message"
OUTCOMES: Final = ("gone", "known", "ignored", "malformed", "requeued")


class Source:
    """One transport: RabbitMQ's virtual host of one cell.

    :param number: its position in the configuration, from 0.
    :param note: notes that an instance is gone, and returns whether that is news; runs on the event loop.
    :raises ConfigError: oslo.messaging is not installed, or does not take the URL.
    """

    supported_priorities = ("info",)

    def __init__(
        self, conf: cfg.ConfigOpts, number: int, metrics: Metrics, note: Callable[[Gone], Awaitable[bool]]
    ) -> None:
        self.number, self.note = number, note
        self.options = conf[GROUP]
        name = str(number)
        self.counters = {each: metrics.counter("vendorsrv_notifications_total", name, each) for each in OUTCOMES}
        self.lag = metrics.gauge("vendorsrv_notifications_lag_seconds", name)
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.server = self.build(conf)

    def build(self, conf: cfg.ConfigOpts) -> Any:
        messaging = import_messaging(conf)
        from oslo_messaging.notify.listener import NotificationServer

        url = self.options.transport_url[self.number]
        try:
            transport = messaging.get_notification_transport(conf, url=url)
        except (messaging.InvalidTransportURL, messaging.DriverLoadFailure, ValueError):  # their text has the URL
            raise wrong_url(self.number) from None
        targets = [messaging.Target(topic=each, exchange=self.options.exchange) for each in self.options.topics]
        self.again = messaging.NotificationResult.REQUEUE
        return NotificationServer(transport, targets, self, executor="threading", pool=self.options.pool)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to read, in threads; oslo.messaging waits for a broker that does not answer."""
        self.loop = loop
        threading.Thread(target=self.read, name=f"transport {self.number}", daemon=True).start()

    def read(self) -> None:
        self.server.start(override_pool_size=self.options.concurrency)
        LOG.info("Reading notifications of transport %d", self.number)

    def stop(self) -> None:
        """Read no more; what is not noted yet stays in the queue. It can wait for ever for a broker."""
        self.stopping.set()
        self.server.stop()
        self.server.wait()

    def dispatch(self, incoming: Any) -> Any:
        """Take a message, in a thread of oslo.messaging; return whether it is to be given back to the queue.

        Its own dispatcher gives back what it does not understand, again and again.
        """
        outcome = self.outcome_of(incoming.message)
        with self.lock:
            self.counters[outcome].inc()
        return self.again if outcome == "requeued" else None

    def outcome_of(self, message: Any) -> str:
        try:
            gone = gone_in(message.get("event_type"), message.get("payload"))
            lag = seconds_since(message.get("timestamp"))
        except (MalformedEvent, ValueError, TypeError) as error:
            MALFORMED.warn(error if isinstance(error, MalformedEvent) else "it has no time")
            return "malformed"
        with self.lock:
            self.lag.set(lag)
        if gone is None:
            return "ignored"
        try:
            is_news = asyncio.run_coroutine_threadsafe(self.noted(gone), self.loop).result()
        except PinsUnavailable:
            self.stopping.wait(REQUEUE_AFTER)
            return "requeued"
        return "gone" if is_news else "known"

    async def noted(self, gone: Gone) -> bool:
        return await self.note(gone)

    def unreadable(self) -> None:
        """Count a message that oslo.messaging could not read; it does not say of which transport."""
        with self.lock:
            self.counters["malformed"].inc()


class CountUnreadable(logging.Filter):
    """Makes one line of what oslo.messaging logs with a traceback for a message that it cannot read, and counts it."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith(UNREADABLE):
            return True
        self.source.unreadable()
        MALFORMED.warn("it cannot be read")
        return False


def wrong_url(number: int) -> ConfigError:
    return ConfigError(
        f"[{GROUP}] transport_url, number {number + 1}: not a URL such as rabbit://user:password@host:5672/"
    )


def import_messaging(conf: cfg.ConfigOpts) -> Any:
    """Import oslo.messaging, and register its options of RabbitMQ with our defaults.

    :raises ConfigError: it is not installed.
    """
    messaging, options = load_messaging()
    conf.register_opts(options, group=MESSAGING)
    conf.set_default("rabbit_qos_prefetch_count", PREFETCH, group=MESSAGING)
    return messaging


def load_messaging() -> tuple[Any, Sequence[cfg.Opt]]:
    """Import oslo.messaging; return it, and its options of RabbitMQ.

    :raises ConfigError: it is not installed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # eventlet's, which is there for others
            import oslo_messaging
            from oslo_messaging.opts import list_opts
    except ModuleNotFoundError as error:
        raise ConfigError(f"[{GROUP}] {error.name} is not installed: pip install 'vendorsrv[listen]'") from None
    return oslo_messaging, next(options for group, options in list_opts() if group == MESSAGING)


def seconds_since(timestamp: str) -> float:
    """Return how long ago a notification was sent, by its own time, which is UTC."""
    return datetime.now(UTC).timestamp() - datetime.fromisoformat(timestamp).replace(tzinfo=UTC).timestamp()


def stop_all(sources: Sequence[Source], seconds: float) -> bool:
    """Stop reading; return False if some did not stop in time, because their broker does not answer."""
    threads = [threading.Thread(target=each.stop, daemon=True) for each in sources]
    for each in threads:
        each.start()
    for each in threads:
        each.join(seconds)
    return not any(each.is_alive() for each in threads)
