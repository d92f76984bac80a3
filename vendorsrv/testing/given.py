"""Names for handler classes that a test has at hand, so that a configuration can enable them as any other."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from vendorsrv.handler import Handler


@contextmanager
def naming(handlers: Sequence[type[Handler] | str]) -> Iterator[list[str]]:
    """Give what stands in ``[vendorsrv] handlers`` for each: ``module:Class``, and what is a name already as it is.

    The classes may be from anywhere, a function's body included; they are looked up in a module that is there as long
    as the context is.
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
