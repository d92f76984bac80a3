"""What an operator reads when the local Keystone cannot start; how it runs is in tests/peers."""

import sys

import pytest

from vendorsrv.demo.keystone import LocalKeystone
from vendorsrv.errors import ConfigError


@pytest.mark.parametrize("package", ["keystone", "waitress"])
def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Without one of the demo's packages nothing is started, and the message says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'vendorsrv\[demo\]'"):
        LocalKeystone().start()


def test_stopping_what_never_started_is_harmless() -> None:
    """A caller may stop it in any state."""
    LocalKeystone().stop()
