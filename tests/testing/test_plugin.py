"""The kit's fixtures: pytest finds them by entry point, and pays for none that no test uses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.support import real_peers as peers
from vendorsrv import testing
from vendorsrv.testing import FakeKeystone, FakeUpstream, ManualClock, Server
from vendorsrv_mailserver import MailServer


def test_the_fixtures_work_together(
    vendordata: Callable[..., Server],
    vendordata_keystone: FakeKeystone,
    vendordata_upstream: FakeUpstream,
    vendordata_clock: ManualClock,
) -> None:
    """The fixtures work together: a server with the test's Keystone and clock, and a proxy to the fake upstream."""
    server = vendordata(MailServer, options={"domain": "example.org"}, clock=vendordata_clock)
    proxy = vendordata(sections={"proxy:rack": {"url": vendordata_upstream.url}})
    assert vendordata_keystone is server.keystone is proxy.keystone
    assert ({}, {"rack": "r1"}) == (server.ask().json, proxy.ask().json)


def test_pytest_finds_the_fixtures() -> None:
    """The entry point of pytest names the fixtures' module."""
    (found,) = entry_points(group="pytest11", name="vendorsrv")
    assert "vendorsrv.testing.plugin" == found.value


def test_unused_fixtures_import_nothing(tmp_path: Path) -> None:
    """Without a use of the fixtures only the package, the kit's __init__ and the plugin are imported."""
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    loaded = sorted(name for name in sys.modules if name.startswith('vendorsrv.'))\n"
        "    assert ['vendorsrv.testing', 'vendorsrv.testing.plugin'] == loaded\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "vendorsrv.testing.plugin", "test_nothing.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    peers.skip_if_unit()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout


def test_the_names_are_sorted() -> None:
    """The public names are sorted as ruff sorts them, and each is in its module."""
    assert {*testing.__all__} == {*testing.HOMES}
    for name in testing.__all__:
        value = getattr(testing, name)
        assert getattr(value, "__module__", f"vendorsrv.testing.{testing.HOMES[name]}") == (
            f"vendorsrv.testing.{testing.HOMES[name]}"
        )


def test_an_unknown_name_is_an_attribute_error() -> None:
    """An unknown name of the kit is an AttributeError."""
    with pytest.raises(AttributeError, match=r"^module 'vendorsrv.testing' has no attribute 'server_'$"):
        testing.server_  # noqa: B018
