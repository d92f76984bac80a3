"""oslo.policy finds vendorsrv's checks, such as ``boot_role:``, by their entry points in every process."""

import subprocess
import sys

import pytest

from tests.support import real_peers as peers

PARSE = (
    "from oslo_policy._parser import parse_rule; "
    "print(*(type(parse_rule(f'{kind}:a')).__name__ for kind in ('boot_role', 'az', 'image_property')))"
)


@pytest.mark.parametrize("first", ["oslo_policy.policy", "vendorsrv.auth.policy", "vendorsrv"])
def test_the_checks_are_known(first: str) -> None:
    """Whichever module is imported first, oslo.policy parses the checks without a warning."""
    peers.skip_if_unit()
    done = subprocess.run(
        [sys.executable, "-c", f"import {first}; {PARSE}"], capture_output=True, text=True, check=True
    )
    assert ("BootRoleCheck AvailabilityZoneCheck ImagePropertyCheck\n", "") == (done.stdout, done.stderr)
