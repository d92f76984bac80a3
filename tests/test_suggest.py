"""The end of a message about an unknown name."""

from __future__ import annotations

import pytest

from vendorsrv.suggest import did_you_mean_or_list


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (["mailserver", "dns"], "; did you mean mailserver?"),
        (["ipam", "dns"], "; available: dns, ipam"),
        ([], ""),
    ],
)
def test_an_unknown_name_gets_a_suggestion(known: list[str], text: str) -> None:
    """The message ends with the known name that is most alike, or else with all known names."""
    assert text == did_you_mean_or_list("mail-server", known)
