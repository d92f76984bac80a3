"""Proxies that are classes."""

from __future__ import annotations

from vendorsrv import Proxy


class Declared(Proxy):
    """Kept for a minute where the other server says nothing."""

    cache_for = 60.0
