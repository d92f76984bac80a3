"""The check of [facts] and of the account that looks them up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checking import GOOD, changed, findings

REQUIRED = (
    "vendorsrv.conf: error: [service_account] auth_type: required; vendorsrv asks other services with this account"
)
NEEDS = {
    "handlers = mailserver": "handlers = tests.facts.test_lookups:Other",
    "[handler:mailserver]\n": "[handler:other]\n",
}


@pytest.mark.parametrize(
    "changes",
    [
        {**NEEDS, "domain = example.org\n": ""},
        {"port = 9090": "port = 9090\nverify = true"},
        {"domain =": "verify = true\ndomain ="},
    ],
)
def test_a_handler_that_needs_facts_needs_the_account(tmp_path: Path, changes: dict[str, str]) -> None:
    """Without [service_account] a handler that needs facts, or verifies the instance, is an error with the option."""
    found = findings(tmp_path, changed(GOOD, changes))
    assert REQUIRED in found
    assert {"[service_account]"} == {finding.split()[2] for finding in found}


def test_a_handler_may_need_none(tmp_path: Path) -> None:
    """An operator who turns verification off for the only handler needs no account."""
    changes = {"port = 9090": "port = 9090\nverify = true", "domain =": "verify = false\ndomain ="}
    assert [] == findings(tmp_path, changed(GOOD, changes))


def test_an_account_that_is_set_must_be_complete(tmp_path: Path) -> None:
    """Each option that the account lacks is an error at its section, also while nothing needs it."""
    text = GOOD + "[service_account]\nauth_type = password\nusername = facts\n"
    assert [
        f"vendorsrv.conf:15: error: [service_account] {each}"
        for each in (
            "auth_url: required; Authentication URL",
            "password: required",
            "user_domain_name: required (or user_domain_id, default_domain_name, default_domain_id)",
        )
    ] == findings(tmp_path, text)
