"""The section [keystone_authtoken] is checked before the first request."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checking import GOOD, changed, write
from vendorsrv.auth.options import find_problems, own_session, register
from vendorsrv.errors import ConfigError
from vendorsrv.settings import open_config


def test_a_complete_section_has_a_cache_time_and_a_challenge(tmp_path: Path) -> None:
    """Registering the section returns token_cache_time, and Keystone's URL for WWW-Authenticate."""
    text = changed(GOOD, {"username": "token_cache_time = 60\nusername"})
    assert (60.0, 'Keystone uri="https://keystone.example.org:5000/v3"') == register(
        open_config(write(tmp_path / "vendorsrv.conf", text))
    )


def test_an_empty_section_is_refused_with_every_required_option(tmp_path: Path) -> None:
    """The error about an empty section names every option that is required."""
    with pytest.raises(ConfigError) as caught:
        register(open_config(write(tmp_path / "vendorsrv.conf", "[keystone_authtoken]\n")))
    assert [
        "[keystone_authtoken] auth_url: required; Authentication URL",
        "[keystone_authtoken] auth_type: required; vendorsrv validates tokens with this account",
        "[keystone_authtoken] username: required (or user_id)",
        "[keystone_authtoken] password: required",
        ("[keystone_authtoken] project_name: required (or project_id, system_scope, domain_name, domain_id)"),
    ] == str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("options", "verify", "certificate"),
    [
        ("", True, None),
        ("cafile = /ca", "/ca", None),
        ("insecure = true", False, None),
        ("certfile = /cert", True, "/cert"),
        ("certfile = /cert\nkeyfile = /key", True, ("/cert", "/key")),
    ],
)
def test_the_session_has_the_tls_options_of_the_section(
    tmp_path: Path, options: str, verify: bool | str, certificate: object
) -> None:
    """The session that checks readiness uses the section's CA, certificate and timeout."""
    conf = open_config(write(tmp_path / "vendorsrv.conf", changed(GOOD, {"username": f"{options}\nusername"})))
    register(conf)
    session = own_session(conf)
    assert (verify, certificate, 2.0) == (session.verify, session.cert, session.timeout)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"default_domain_id = default\n": ""},
            [
                (
                    "[keystone_authtoken] user_domain_name: "
                    "required (or user_domain_id, default_domain_name, default_domain_id)"
                ),
                (
                    "[keystone_authtoken] project_domain_name: "
                    "required (or project_domain_id, default_domain_name, default_domain_id)"
                ),
            ],
        ),
        (
            {"auth_type = password": "auth_type = v3applicationcredential\napplication_credential_secret = planted"},
            ["[keystone_authtoken] auth_type: You have provided a username"],
        ),
    ],
)
def test_an_account_that_keystone_cannot_find_is_refused(
    tmp_path: Path, changes: dict[str, str], expected: list[str]
) -> None:
    """Names without a domain, and options that contradict each other, are refused before the first request."""
    conf = open_config(write(tmp_path / "vendorsrv.conf", changed(GOOD, changes)))
    assert expected == [str(problem).partition(". ")[0] for problem in find_problems(conf)]
