"""oslo.policy finds the check ``boot_role:`` by its entry point in every process."""

import subprocess
import sys

import pytest

from tests.support import real_peers as peers

PARSE = "from oslo_policy._parser import parse_rule; print(type(parse_rule('boot_role:mail-admin')).__name__)"


@pytest.mark.parametrize("first", ["oslo_policy.policy", "vendorsrv.auth.policy", "vendorsrv"])
def test_boot_role_is_a_known_check(first: str) -> None:
    """Whichever module is imported first, oslo.policy parses boot_role: without a warning."""
    peers.skip_if_unit()
    done = subprocess.run(
        [sys.executable, "-c", f"import {first}; {PARSE}"], capture_output=True, text=True, check=True
    )
    assert ("BootRoleCheck\n", "") == (done.stdout, done.stderr)
