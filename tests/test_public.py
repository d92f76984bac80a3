"""The public names of the package exist, are documented, and are loaded when they are used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import vendorsrv
from tests.support import real_peers as peers


def test_public_names_are_few() -> None:
    """There are at most 25 public names, sorted and without duplicates."""
    names = vendorsrv.__all__
    assert sorted(set(names)) == names
    assert 25 >= len(names)


@pytest.mark.parametrize("name", vendorsrv.__all__)
def test_a_public_name_can_be_imported(name: str) -> None:
    """Each public name can be imported and is defined in the module that HOMES names."""
    value = getattr(vendorsrv, name)
    if name != "__version__":
        assert f"vendorsrv.{vendorsrv.HOMES.get(name, 'errors')}" == value.__module__


def test_every_home_is_one_of_a_public_name() -> None:
    """HOMES names no module for a name that is not public."""
    assert set() == vendorsrv.HOMES.keys() - {*vendorsrv.__all__}


@pytest.mark.parametrize("name", [name for name in vendorsrv.__all__ if name != "__version__"])
def test_a_public_name_has_a_docstring(name: str) -> None:
    """Each public class and function, and each public method, has a docstring."""
    value = getattr(vendorsrv, name)
    methods = inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else []
    own = [value, *(method for own, method in methods if not own.startswith("_"))]
    assert [] == [each.__qualname__ for each in own if not inspect.getdoc(each)]


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Reading a name that the package does not have raises AttributeError."""
    with pytest.raises(AttributeError, match=r"^module 'vendorsrv' has no attribute 'handler_'$"):
        vendorsrv.handler_  # noqa: B018


def test_importing_the_package_loads_no_module() -> None:
    """Importing vendorsrv alone imports none of its modules."""
    command = "import sys; import vendorsrv; print([name for name in sys.modules if name.startswith('vendorsrv.')])"
    peers.skip_if_unit()
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout
