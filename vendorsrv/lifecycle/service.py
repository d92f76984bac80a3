"""The process that listens to Nova, and calls handlers for instances that are gone."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final

from vendorsrv.auth.account import Account, is_set
from vendorsrv.cache.answers import build_cache
from vendorsrv.errors import ConfigError
from vendorsrv.facts.lookups import Lookups
from vendorsrv.handlers.clients import Clients
from vendorsrv.handlers.periodic import supervised
from vendorsrv.handlers.registry import EnabledHandler, Registry
from vendorsrv.lifecycle.events import Gone
from vendorsrv.lifecycle.listener import DRIVER, CountUnreadable, Source, stop_all
from vendorsrv.lifecycle.options import GROUP, read_options
from vendorsrv.lifecycle.outbox import Outbox
from vendorsrv.lifecycle.processor import Processor, names_of
from vendorsrv.lifecycle.work import CachedAnswers
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.service import PinService
from vendorsrv.settings import Settings
from vendorsrv.telemetry.exposition import serve_metrics
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)

#: Seconds that brokers have to take the last acknowledgements when the process stops.
STOP_TIMEOUT: Final = 5.0


class Deletions:
    """Handlers, outbox and processor of a process that is no server.

    :raises ConfigError: the configuration cannot work; names each option.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.options = read_options(settings.conf)
        self.registry = Registry(settings)
        cache = build_cache(settings.conf, 0, metrics=metrics, keys=settings.encryption_keys)
        cached = CachedAnswers(cache, self.registry.handlers.values())
        # Those that have nothing to do here are not opened.
        self.registry.handlers = {name: each for name, each in self.registry.handlers.items() if each.deletion}
        enabled = self.enabled
        account = Lookups(settings).account if is_set(settings.conf) else None
        self.service = PinService(settings, metrics=metrics)
        for each in enabled:
            prepare_handler(each, metrics, account, self.service.pins)
        self.outbox = Outbox(self.service.store.database, names_of(enabled))
        self.processor = Processor(
            *(self.outbox, self.service.pins, enabled, cached),
            concurrency=self.options.concurrency,
            give_up_after=self.options.give_up_after,
            remember_for=self.options.remember_for,
            metrics=metrics,
        )

    @property
    def enabled(self) -> list[EnabledHandler]:
        """The handlers that have ``deleted``."""
        return list(self.registry.handlers.values())

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the database and the handlers, and do what these do every few seconds.

        :raises ConfigError: a handler cannot be opened, or the schema is of another version.
        """

        @asynccontextmanager
        async def pins() -> AsyncIterator[Pins]:
            yield self.service.pins

        handlers = [each.handler for each in self.enabled]
        async with self.service.opened(), self.registry.opened(), supervised(handlers, pins):
            yield


def prepare_handler(enabled: EnabledHandler, metrics: Metrics, account: Account | None, pins: Pins) -> None:
    """Give a handler what a server gives it."""
    handler = enabled.handler
    handler.clients = Clients(handler.name, metrics, account)
    handler.forget_pins = partial(pins.forget, handler=handler.name) if enabled.pin else None


class Listener:
    """Listens until SIGTERM or SIGINT.

    :raises ConfigError: the configuration cannot work.
    """

    def __init__(self, settings: Settings) -> None:
        self.metrics = Metrics()
        self.deletions = Deletions(settings, self.metrics)
        self.options = self.deletions.options
        if not self.options.transport_url:
            raise ConfigError(f"[{GROUP}] transport_url: required; the RabbitMQ that has Nova's notifications")
        numbers = range(len(self.options.transport_url))
        self.sources = [Source(settings.conf, each, self.metrics, self.note) for each in numbers]
        self.stopped = asyncio.Event()

    async def note(self, gone: Gone) -> bool:
        """Note that an instance is gone; return whether that is news."""
        is_news = await self.deletions.outbox.add(*gone)
        if is_news:
            LOG.info("instance %s is gone", gone.instance_id)
            self.deletions.processor.wake()
        return is_news

    async def run(self) -> None:
        """Listen and call handlers.

        :raises ConfigError: a handler cannot be opened, or an address is taken.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopped.set)
        processor = self.deletions.processor
        with self.counting():
            async with self.deletions.opened():
                processing = asyncio.create_task(processor.run())
                processing.add_done_callback(lambda _: self.stopped.set())
                for each in self.sources:
                    each.start(loop)
                names = ", ".join(names_of(self.deletions.enabled)) or "none"
                LOG.info("Listening to Nova on %d transports; handlers with deleted: %s", len(self.sources), names)
                await self.stopped.wait()
                LOG.info("Stopping")
                if not await asyncio.to_thread(stop_all, self.sources, STOP_TIMEOUT):
                    LOG.warning("a broker does not answer; what is not acknowledged will come again")
                processor.stop()
                await processing

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Serve the metrics, and count the messages that oslo.messaging cannot read."""
        driver = logging.getLogger(DRIVER)
        unreadable = CountUnreadable(self.sources[0])
        with ExitStack() as stack:
            driver.addFilter(unreadable)
            stack.callback(driver.removeFilter, unreadable)
            if self.options.metrics_port is not None:
                close: Callable[[], Any] = serve_metrics(
                    self.metrics.counts, self.options.metrics_host, self.options.metrics_port
                )
                stack.callback(close)
            yield


def listen(settings: Settings) -> None:
    """Listen to Nova until SIGTERM or SIGINT.

    :raises ConfigError: the configuration cannot work.
    """

    async def run() -> None:
        await Listener(settings).run()

    asyncio.run(run())
