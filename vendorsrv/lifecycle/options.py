"""The options of ``[lifecycle]``."""

from __future__ import annotations

from typing import Any, Final

from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.settings import Problem, read

GROUP: Final = "lifecycle"
#: oslo.messaging's options of RabbitMQ, which have to be those of Nova.
MESSAGING: Final = "oslo_messaging_rabbit"

OPTIONS: Final = (
    cfg.MultiStrOpt(
        "transport_url",
        default=[],
        secret=True,
        help="URL of the RabbitMQ that has Nova's notifications, as in nova.conf; once for each cell.",
    ),
    cfg.StrOpt("pool", default="vendorsrv", help="Name of the queue, which all listeners of this deployment share."),
    cfg.ListOpt(
        "topics",
        default=["notifications", "versioned_notifications"],
        help="Topics of Nova's notifications: [oslo_messaging_notifications] topics, [notifications] versioned_...",
    ),
    cfg.StrOpt("exchange", default="nova", help="Exchange of Nova's notifications: its control_exchange."),
    cfg.FloatOpt(
        "remember_for",
        default=3600.0,
        min=60.0,
        help="Seconds for which requests for a deleted instance are answered 410, and a second event is no news.",
    ),
    cfg.FloatOpt(
        "give_up_after",
        default=604_800.0,
        min=60.0,
        help="Seconds after which a handler that keeps failing is not called any more for a deleted instance.",
    ),
    cfg.IntOpt("concurrency", default=16, min=1, help="Calls of one handler's `deleted` at a time, and events."),
    cfg.HostAddressOpt("metrics_host", default="127.0.0.1", help="Address for the listener's metrics; no TLS."),
    cfg.PortOpt("metrics_port", default=9092, help="TCP port for the listener's metrics; empty turns them off."),
)


def read_options(conf: cfg.ConfigOpts) -> Any:
    """Return the options of an open configuration.

    :raises ConfigError: some are wrong; the text names all of them.
    """
    if problems := find_problems(conf):
        raise ConfigError("\n".join(map(str, problems)))
    return conf[GROUP]


def find_problems(conf: cfg.ConfigOpts) -> list[Problem]:
    """Return what is wrong with ``[lifecycle]``."""
    return read(conf, GROUP, OPTIONS)[1]
