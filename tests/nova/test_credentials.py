"""Credentials come from the operator's or Nova's own files, and what is not set is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.session import Session

from vendorsrv.errors import ConfigError
from vendorsrv.nova.credentials import anonymous, authenticate, from_environment, from_nova_conf, one_line
from vendorsrv.testing.misbehaviour import body
from vendorsrv.testing.upstream import FakeUpstream

CLOUD = """\
clouds:
  lab:
    auth: {auth_url: "http://keystone:5000/v3", username: nova, password: hunter2, project_name: service}
    cacert: /ca.pem
"""
SECTION = """\
[vendordata_dynamic_auth]
auth_type = password
auth_url = http://keystone:5000/v3
username = nova
password = hunter2
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No credentials of whoever runs the tests, and a clouds.yaml that is not there yet."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return monkeypatch


def cloud(tmp_path: Path, text: str = CLOUD, name: str | None = "lab") -> Session:
    """The session for a cloud of this clouds.yaml."""
    (tmp_path / "clouds.yaml").write_text(text)
    return from_environment(name)


def nova(tmp_path: Path, text: str = SECTION) -> Session:
    """The session for this nova.conf."""
    (tmp_path / "nova.conf").write_text(text)
    return from_nova_conf(tmp_path / "nova.conf")


def auth(session: Session) -> Any:
    """The plugin of a session, whose attributes depend on its kind."""
    return session.auth


def test_an_anonymous_session_needs_no_keystone() -> None:
    """An anonymous session has no account and sends nothing to Keystone."""
    authenticate(anonymous())
    assert None is anonymous().auth


def test_credentials_come_from_os_variables(environment: pytest.MonkeyPatch) -> None:
    """The OS_* variables alone are enough, as for every OpenStack client."""
    variables = {"AUTH_URL": "http://keystone:5000/v3", "USERNAME": "nova", "PASSWORD": "hunter2", "CACERT": "/ca.pem"}
    for name, value in variables.items():
        environment.setenv(f"OS_{name}", value)
    session = from_environment()
    assert ("http://keystone:5000/v3", "/ca.pem", 10.0) == (auth(session).auth_url, session.verify, session.timeout)


@pytest.mark.parametrize("missing", ["AUTH_URL", "USERNAME", "PASSWORD"])
def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch, missing: str) -> None:
    """A required variable that is not set raises ConfigError, which names it and the alternatives."""
    for name in {"AUTH_URL", "USERNAME", "PASSWORD"} - {missing}:
        environment.setenv(f"OS_{name}", "http://keystone:5000/v3")
    with pytest.raises(ConfigError, match=f"^OS_{missing} is not set: .*--os-cloud.*--nova-conf.*--anonymous"):
        from_environment()


def test_credentials_come_from_clouds_yaml(tmp_path: Path) -> None:
    """A cloud of clouds.yaml has the account and the CA file."""
    session = cloud(tmp_path)
    assert ("http://keystone:5000/v3", "/ca.pem", 10.0) == (auth(session).auth_url, session.verify, session.timeout)


def test_os_cloud_names_the_cloud(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """OS_CLOUD names the cloud when no option does."""
    environment.setenv("OS_CLOUD", "lab")
    assert "http://keystone:5000/v3" == auth(cloud(tmp_path, name=None)).auth_url


@pytest.mark.parametrize(
    ("setting", "verify"),
    [("verify: false", False), ("insecure: true", False), ("verify:", True), ("cert: /c.pem", True)],
)
def test_certificates_are_verified_unless_the_cloud_says_otherwise(tmp_path: Path, setting: str, verify: bool) -> None:
    """Keystone's certificate is verified unless the cloud sets verify: false or insecure: true."""
    assert verify is cloud(tmp_path, CLOUD.replace("cacert: /ca.pem", setting)).verify


def test_a_clouds_api_timeout_overrides_the_default(tmp_path: Path) -> None:
    """A cloud's api_timeout, in seconds, overrides the default timeout."""
    assert 33.0 == cloud(tmp_path, CLOUD.replace("cacert: /ca.pem", "api_timeout: 33")).timeout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clouds: {}\n", "the credentials cannot be used: Cloud lab was not found"),
        ("- lab\n", r"the credentials cannot be used: Configuration file .*clouds.yaml is empty or not"),
        ("clouds: {lab: hunter2}\n", "the cloud lab in clouds.yaml has an invalid structure"),
        ("clouds: {lab: {auth: }}\n", "the cloud lab in clouds.yaml has an invalid structure"),
        (CLOUD + "    api_timeout: soon\n", "the cloud lab in clouds.yaml has an invalid structure"),
        (CLOUD + "    auth_type: bogus\n", "the credentials cannot be used: The plugin bogus could not be found"),
        (CLOUD.replace("auth_url", "url"), "the cloud lab in clouds.yaml has no auth_url under auth"),
        (CLOUD.replace("password:", "pass:"), "the cloud lab in clouds.yaml has an unknown option under auth: pass"),
        (CLOUD.replace("password: hunter2, ", ""), "the cloud lab in clouds.yaml has no password under auth"),
        (CLOUD.replace("username: nova, ", ""), "the cloud lab in clouds.yaml has no username under auth"),
    ],
)
def test_an_unusable_cloud_is_a_config_error(tmp_path: Path, text: str, message: str) -> None:
    """A mistake in clouds.yaml raises ConfigError with one line that does not contain the password."""
    with pytest.raises(ConfigError, match=message) as caught:
        cloud(tmp_path, text)
    assert "hunter2" not in str(caught.value)


def test_novas_account_comes_from_nova_conf(tmp_path: Path) -> None:
    """Nova's account is that of [vendordata_dynamic_auth]."""
    session = nova(tmp_path)
    assert ("http://keystone:5000/v3", True, 10.0) == (auth(session).auth_url, session.verify, session.timeout)


def test_auth_section_names_the_section_of_novas_account(tmp_path: Path) -> None:
    """Nova's account can be in the section that auth_section names."""
    text = "[vendordata_dynamic_auth]\nauth_section = own\n" + SECTION.replace("vendordata_dynamic_auth", "own")
    assert "http://keystone:5000/v3" == auth(nova(tmp_path, text)).auth_url


def test_novas_session_options_are_used(tmp_path: Path) -> None:
    """The timeout and the CA file for Keystone are those of nova.conf."""
    session = nova(tmp_path, SECTION + "timeout = 3\ncafile = /ca.pem\n")
    assert (3.0, "/ca.pem") == (session.timeout, session.verify)


def test_without_auth_type_nova_sends_no_token(tmp_path: Path) -> None:
    """Without auth_type the session sends no token, as Nova's."""
    assert None is nova(tmp_path, "[DEFAULT]\n").auth


def test_an_application_credential_needs_no_password(tmp_path: Path) -> None:
    """An account with an application credential needs no username and password."""
    text = SECTION.replace("password\n", "v3applicationcredential\n").replace("username", "application_credential_id")
    session = nova(tmp_path, text.replace("password =", "application_credential_secret ="))
    assert "http://keystone:5000/v3" == auth(session).auth_url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SECTION.replace("auth_url", "url"), r": \[vendordata_dynamic_auth\] auth_url is required$"),
        (SECTION.replace("username", "user"), r": \[vendordata_dynamic_auth\] username is required$"),
        (SECTION.replace("password =", "pass ="), r": \[vendordata_dynamic_auth\] password is required$"),
        (SECTION.replace("= password", "= bogus"), r": \[vendordata_dynamic_auth\] The plugin bogus could not be"),
        (SECTION + "timeout = soon\n", r": \[vendordata_dynamic_auth\] timeout: .*: 'soon'$"),
        (SECTION + "user_id = p$hunter2\n", r": \[vendordata_dynamic_auth\] contains an unescaped \$; write \$\$$"),
        (SECTION + "hunter2\n", r": line 6 is neither a section nor an option$"),
        ("password = hunter2\n", r": line 1 is neither a section nor an option$"),
    ],
)
def test_an_unusable_nova_conf_is_a_config_error(tmp_path: Path, text: str, message: str) -> None:
    """A mistake in nova.conf raises ConfigError with one line that names the option and not the password."""
    with pytest.raises(ConfigError, match=message) as caught:
        nova(tmp_path, text)
    assert "hunter2" not in str(caught.value)


def test_a_nova_conf_must_be_utf_8(tmp_path: Path) -> None:
    """A nova.conf that is not UTF-8 raises ConfigError."""
    (tmp_path / "nova.conf").write_bytes(b"[\xff]\n")
    with pytest.raises(ConfigError, match="is not a text file in UTF-8"):
        from_nova_conf(tmp_path / "nova.conf")


@pytest.mark.parametrize("name", ["nowhere.conf", "."])
def test_an_absent_nova_conf_is_a_config_error(tmp_path: Path, name: str) -> None:
    """A nova.conf that cannot be read raises ConfigError."""
    with pytest.raises(ConfigError, match="does not exist or cannot be read"):
        from_nova_conf(tmp_path / name)


@pytest.mark.parametrize(
    ("auth_url", "message"),
    [
        ("http://127.0.0.1:1/v3", "Keystone at http://127.0.0.1:1/v3 cannot be reached"),
        (
            "http://127.0.0.1:1",
            "Keystone at http://127.0.0.1:1 is unavailable, or is not a Keystone; ",
        ),
        ("http://u:hunter2@127.0.0.1:1/v3", "Keystone at http://127.0.0.1:1/v3 cannot be reached"),
        ("127.0.0.1:1", "Keystone at 127.0.0.1:1 cannot be called: its URL does not begin with http:// or "),
        ("http://[", r"Keystone at http://\[ gave no token: Invalid IPv6 URL"),
    ],
)
def test_an_unreachable_keystone_is_named_without_the_password(tmp_path: Path, auth_url: str, message: str) -> None:
    """When Keystone cannot be reached, the message has its URL without the user and password."""
    session = nova(tmp_path, SECTION.replace("http://keystone:5000/v3", auth_url))
    with pytest.raises(ConfigError, match=message) as caught:
        authenticate(session)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, r"refused the credentials \(HTTP 401\)$"), (500, r"gave no token: Internal Server Error \(HTTP 500\)$")],
)
def test_a_keystone_that_gives_no_token_is_a_config_error(tmp_path: Path, status: int, message: str) -> None:
    """When Keystone gives no token, ConfigError has its answer in one line."""
    with FakeUpstream() as keystone:
        keystone.routes["/v3/auth/tokens"] = body("", status)
        session = nova(tmp_path, SECTION.replace("http://keystone:5000", keystone.url))
        with pytest.raises(ConfigError, match=message):
            authenticate(session)


def test_foreign_text_becomes_one_printable_line() -> None:
    """Control characters and line breaks become spaces, and URLs lose their user and password."""
    assert "a b [31m c http://h/x" == one_line("a\r\n b \x1b[31m\u202ec http://u:p@h/x")
