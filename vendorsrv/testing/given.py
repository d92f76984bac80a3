"""Names for a test's handler classes, so that a configuration can enable them."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from vendorsrv.handler import Handler


@contextmanager
def naming(handlers: Sequence[type[Handler] | str]) -> Iterator[list[str]]:
    """Return the name of each handler for ``[vendorsrv] handlers``: ``module:Class`` for a class, a name as it is.

    The classes may be defined anywhere, also in a function: they are attributes of a module that exists as long as the
    context does.
    """
    module = ModuleType(f"vendorsrv_testing_{uuid.uuid4().hex}")
    names = []
    for number, handler in enumerate(handlers):
        if isinstance(handler, str):
            names.append(handler)
        else:
            name = f"{handler.__name__}_{number}"
            setattr(module, name, handler)
            names.append(f"{module.__name__}:{name}")
    sys.modules[module.__name__] = module
    try:
        yield names
    finally:
        del sys.modules[module.__name__]
