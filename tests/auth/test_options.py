"""The account that validates tokens is complete before the first token comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checking import GOOD, changed, write
from vendorsrv.auth.options import find_problems, own_session, register
from vendorsrv.errors import ConfigError
from vendorsrv.settings import open_config


def test_a_complete_section_gives_lifetime_and_challenge(tmp_path: Path) -> None:
    """Operators set how long a token is believed, and where clients get one."""
    text = changed(GOOD, {"username": "token_cache_time = 60\nusername"})
    assert (60.0, 'Keystone uri="https://keystone.example.org:5000/v3"') == register(
        open_config(write(tmp_path / "vendorsrv.conf", text))
    )


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    """Without an account nothing starts, and one message is enough to complete it."""
    with pytest.raises(ConfigError) as caught:
        register(open_config(write(tmp_path / "vendorsrv.conf", "[keystone_authtoken]\n")))
    assert [
        "[keystone_authtoken] auth_url: missing; Authentication URL",
        "[keystone_authtoken] auth_type: missing; vendorsrv needs an account of its own",
        "[keystone_authtoken] username: missing (user_id would do as well)",
        "[keystone_authtoken] password: missing",
        (
            "[keystone_authtoken] project_name: "
            "missing (project_id, system_scope, domain_name, domain_id would do as well)"
        ),
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
def test_our_own_session_has_the_options_of_the_section(
    tmp_path: Path, options: str, verify: bool | str, certificate: object
) -> None:
    """Readiness is found out over the way that tokens take."""
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
                    "missing (user_domain_id, default_domain_name, default_domain_id would do as well)"
                ),
                (
                    "[keystone_authtoken] project_domain_name: "
                    "missing (project_domain_id, default_domain_name, default_domain_id would do as well)"
                ),
            ],
        ),
        (
            {"auth_type = password": "auth_type = v3applicationcredential\napplication_credential_secret = planted"},
            ["[keystone_authtoken] auth_type: You have provided a username"],
        ),
    ],
)
def test_an_account_that_keystone_could_not_know(tmp_path: Path, changes: dict[str, str], expected: list[str]) -> None:
    """Names without a domain, and what the plugin itself refuses."""
    conf = open_config(write(tmp_path / "vendorsrv.conf", changed(GOOD, changes)))
    assert expected == [str(problem).partition(". ")[0] for problem in find_problems(conf)]
