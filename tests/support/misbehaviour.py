"""A call without a token, to a server that may misbehave; table_bad.py has what becomes of it."""

from __future__ import annotations

from typing import Final

from vendorsrv.nova.client import NOVA_DEFAULTS, Limits, Result, Target, ask
from vendorsrv.nova.credentials import anonymous
from vendorsrv.nova.payload import build_payload

#: Nova's limits, but for a read timeout that tests can wait for, where an answer, or its rest, does not come at all: a
#: busy machine overruns it with good answers, too.
PATIENCE: Final = Limits(read_timeout=0.5)
#: Behaviours for which Nova's own read timeout is too long for a test.
ENDLESS: Final = ("slow", "silent", "stuck in the body")


def limits_for(name: str) -> Limits:
    """Return the limits with which a behaviour is asked."""
    return PATIENCE if name in ENDLESS else NOVA_DEFAULTS


def asked(url: str, name: str = "target", limits: Limits = NOVA_DEFAULTS) -> Result:
    """Ask without a token."""
    return ask(anonymous(), Target(name, url), build_payload(), limits)
