"""A call without a token, to a server that may misbehave; what becomes of it stands in tests/contract/table_bad.py."""

from __future__ import annotations

from typing import Final

from vendorsrv.call import NOVA_DEFAULTS, Limits, Result, Target, ask
from vendorsrv.credentials import anonymous
from vendorsrv.payload import build_payload

#: Nova's limits, but for a read timeout that tests can wait for; a busy machine overruns it with good answers, too.
PATIENCE: Final = Limits(read_timeout=0.5)


def asked(url: str, name: str = "target", limits: Limits = NOVA_DEFAULTS) -> Result:
    """Ask without a token."""
    return ask(anonymous(), Target(name, url), build_payload(), limits)
