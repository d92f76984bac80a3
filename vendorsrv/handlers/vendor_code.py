"""Code of handler authors that runs beside requests: its errors are sentences for the operator."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from vendorsrv.errors import ConfigError
from vendorsrv.handler import Handler
from vendorsrv.telemetry.tracebacks import raised_at, without_secrets

LOG = logging.getLogger(__name__)

#: Seconds for a handler's open() and close(): a server that hangs while it starts does not say why.
OPEN_TIMEOUT: Final = 30.0


async def open_handler(handler: Handler) -> None:
    with vendor_code(f"handler {handler.name}: open()", handler.__module__, secrets_of(handler, handler.settings)):
        await asyncio.wait_for(handler.open(), OPEN_TIMEOUT)


async def close(handler: Handler) -> None:
    with vendor_code(f"handler {handler.name}: close()", handler.__module__, secrets_of(handler, handler.settings)):
        await asyncio.wait_for(handler.close(), OPEN_TIMEOUT)


def state_of(handler: Handler) -> dict[str, Any]:
    """Return what a handler says of its state; ``error`` when it raises, or says no JSON object."""
    try:
        own = dict(handler.state())
        json.dumps(own, allow_nan=False, ensure_ascii=False).encode()  # as FastAPI writes it
    except Exception as error:
        place = raised_at(error, type(handler).__module__)
        LOG.error("handler %s: state() raised %s (%s)", handler.name, type(error).__name__, place)
        return {"state": "error", "error": type(error).__name__}
    return own


def secrets_of(handler: Handler | type[Handler], settings: object) -> list[object]:
    """Return the values of a handler's secret options."""
    return [getattr(settings, option.dest, None) for option in handler.options if option.secret]


@contextmanager
def vendor_code(what: str, module: str = "", secrets: Sequence[object] = ()) -> Iterator[None]:
    """Turn any exception of a handler's code into one sentence for the operator.

    :param module: of the handler.
    :param secrets: what must not be in it.
    """
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{what}: {without_secrets(error, secrets)}") from None
    except (Exception, SystemExit) as error:
        text = without_secrets(error, secrets)
        raise ConfigError(f"{what} raised {type(error).__name__}: {text} ({raised_at(error, module)})") from None
