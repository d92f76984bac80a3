"""The public face: what it shows, that all of it is there, and that it costs nothing to import."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import vendorsrv


def test_the_names_are_sorted_and_few() -> None:
    """At most 20, each of them once."""
    names = vendorsrv.__all__
    assert sorted(set(names)) == names
    assert 20 >= len(names)


@pytest.mark.parametrize("name", vendorsrv.__all__)
def test_every_name_is_there(name: str) -> None:
    """And belongs to the module that the face says."""
    value = getattr(vendorsrv, name)
    if name != "__version__":
        assert f"vendorsrv.{vendorsrv.HOMES[name]}" == value.__module__


def test_every_name_has_a_home() -> None:
    """But the version, which is the face's own."""
    assert vendorsrv.__all__ == sorted([*vendorsrv.HOMES, "__version__"])


@pytest.mark.parametrize("name", [name for name in vendorsrv.__all__ if name != "__version__"])
def test_every_name_is_documented(name: str) -> None:
    """Classes with what they are, and their public methods with what they do."""
    value = getattr(vendorsrv, name)
    methods = inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else []
    own = [value, *(method for own, method in methods if not own.startswith("_"))]
    assert [] == [each.__qualname__ for each in own if not inspect.getdoc(each)]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match=r"^module 'vendorsrv' has no attribute 'handler_'$"):
        vendorsrv.handler_  # noqa: B018


def test_importing_the_package_loads_nothing() -> None:
    """A handler's module that imports it is as quick as before, and no handler is looked for."""
    command = "import sys; import vendorsrv; print([name for name in sys.modules if name.startswith('vendorsrv.')])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout
