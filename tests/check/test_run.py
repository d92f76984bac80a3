"""The check reports all findings about a configuration in one run, with file and line."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.checking import GOOD, KEY, changed, findings, write
from vendorsrv.check.run import before_start, find_all
from vendorsrv.errors import ConfigError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests stands in for an option."""
    monkeypatch.delenv("OS_VENDORSRV__PORT", raising=False)


def test_a_good_configuration_has_no_findings(tmp_path: Path) -> None:
    """A complete and correct configuration has no findings."""
    assert [] == findings(tmp_path, GOOD)


CUT_OFF = "warning: [vendorsrv] shutdown_timeout: %s: a stop or reload cuts off requests in progress"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Names
        ({"port =": "prot ="}, ["3: error: [vendorsrv] prot: there is no such option; did you mean port?"]),
        (
            {"auth_type": "auth-type", "username = v": "user-name = v"},
            [
                "4: error: [keystone_authtoken] auth_type: required; vendorsrv validates tokens with this account",
                "5: error: [keystone_authtoken] auth-type: there is no such option; did you mean auth_type?",
            ],
        ),
        (
            {"[vendorsrv]": "[DEFAULT]\ndebug = off\nhandlers = a\n[vendorsrv]"},
            ["3: error: [DEFAULT] handlers: there is no such option; it belongs in [vendorsrv]"],
        ),
        ({"port = 9090": "zzz = 1"}, ["3: error: [vendorsrv] zzz: there is no such option"]),
        (
            {"port = 9090": "port = 9090\nport = 1"},
            ["4: warning: [vendorsrv] port: also set in line 3; this line overrides it"],
        ),
        ({"[handler:mailserver]": "[handler:mailserver]\ntimeout = 3"}, []),
        (
            {"domain = e": "domian = e"},
            [
                "11: error: [handler:mailserver] domain: required; The mail domain that the instances serve.",
                "12: error: [handler:mailserver] domian: there is no such option; did you mean domain?",
            ],
        ),
        # Sections
        (
            {"[handler:mailserver]": "[handler:mailsrver]"},
            [
                "error: [handler:mailserver] domain: required; The mail domain that the instances serve.",
                "11: warning: [handler:mailsrver] no handler mailsrver is enabled; did you mean mailserver?",
            ],
        ),
        ({"[handler:m": "[handler:x]\n[handler:m"}, ["11: warning: [handler:x] no handler x is enabled"]),
        (
            {"[handler:m": "[oslo_polici]\n[handler:m"},
            ["11: error: [oslo_polici] there is no such section; did you mean oslo_policy?"],
        ),
        ({"[handler:m": "[zzz]\na = 1\n[handler:m"}, ["11: warning: [zzz] unknown section, which is ignored"]),
        (
            {"[handler:m": "[facts]\nkeep_fro = 3\n[service_account]\nregion_name = x\n[handler:m"},
            ["12: error: [facts] keep_fro: there is no such option; did you mean keep_for?"],
        ),
        # Values
        (
            {"port = 9090": "port = 99999\nworkers = many"},
            [
                "3: error: [vendorsrv] port: Should be less than or equal to 65535",
                "4: error: [vendorsrv] workers: invalid literal for int() with base 10: 'many'",
            ],
        ),
        (
            {"[vendorsrv]": "[DEFAULT]\ndebug = maybe\n[vendorsrv]"},
            ["2: error: [DEFAULT] debug: Unexpected boolean value 'maybe'"],
        ),
        (
            {"password = planted": "password = plan$ted"},
            ["8: error: [keystone_authtoken] password: contains an unescaped $; write $$"],
        ),
        ({"domain = example.org": "domain = -"}, ["12: error: [handler:mailserver] domain: - is an invalid hostname"]),
        (
            {"[handler:m": "[cache]\nenabled = planted\n[pins]\npurge_after = 0\n[handler:m"},
            [
                "12: error: [cache] enabled: not a valid value",
                "14: error: [pins] purge_after: Should be greater than or equal to 1",
            ],
        ),
        # Credentials
        (
            {"auth_type = password\n": "", "username = vendorsrv\n": "", "password = planted\n": ""},
            [
                "4: error: [keystone_authtoken] auth_type: required; vendorsrv validates tokens with this account",
                "4: error: [keystone_authtoken] username: required (or user_id)",
                "4: error: [keystone_authtoken] password: required",
            ],
        ),
        (
            {"auth_type = password": "auth_type = passwort"},
            ["5: error: [keystone_authtoken] auth_type: unknown plugin 'passwort'; most clouds use password"],
        ),
        (
            {"project_name = service": "delay_auth_decision = true\nproject_id = 1"},
            ["9: error: [keystone_authtoken] delay_auth_decision: must be off; it turns an outage into bad tokens"],
        ),
        (
            {
                "auth_type = password": "auth_section = nova\ncafile = /no/ca",
                "username = ": "[nova]\nauth_type = password\nauth_url = http://k\nusername =",
            },
            [
                "6: error: [keystone_authtoken] cafile: /no/ca does not exist or cannot be read",
                "7: error: [keystone_authtoken] auth_url: there is no such option; it belongs in [nova]",
            ],
        ),
        # Handlers
        (
            {"handlers = mailserver": "handlers ="},
            [
                "2: warning: [vendorsrv] handlers: no handler is enabled; there is nothing to serve",
                "11: warning: [handler:mailserver] no handler mailserver is enabled",
            ],
        ),
        (
            {"handlers = mailserver": "handlers = mailserver, mailservr"},
            [
                (
                    "2: error: [vendorsrv] handlers: "
                    "handler mailservr: no installed package provides it; did you mean mailserver?"
                )
            ],
        ),
        (
            {
                "handlers = mailserver": "handlers = mailserver, tests.support.handlers.checked:Guarded",
                "[handler:m": "[handler:guarded]\ncode = planted\nrack = 1\nrack = 2\n[handler:m",
            },
            ["12: error: [handler:guarded] code: not a valid value"],
        ),
        # Times
        (
            {"domain = ": "timeout = 5\ndomain = "},
            ["12: warning: [handler:mailserver] timeout: 5 s must be less than Nova's read timeout (5 s by default)"],
        ),
        (
            {"domain = ": "timeout = 4.5\ndomain = "},
            ["12: warning: [handler:mailserver] timeout: 4.5 s must be less than request_timeout (4.5 s)"],
        ),
        (
            {"port = 9090": "request_timeout = 6\nauth_timeout = 6\nbody_timeout = 7\nmax_body_bytes = 1024"},
            [
                f"1: {CUT_OFF % '5 s is less than request_timeout (6 s)'}",
                "3: warning: [vendorsrv] request_timeout: 6 s must be less than Nova's read timeout (5 s by default)",
                "4: warning: [vendorsrv] auth_timeout: 6 s must be less than request_timeout (6 s)",
                "5: warning: [vendorsrv] body_timeout: 7 s must be less than request_timeout (6 s)",
                "6: warning: [vendorsrv] max_body_bytes: Nova's requests can have up to 524288 bytes",
            ],
        ),
        (
            {"port = 9090": "shutdown_timeout = 60"},
            ["3: warning: [vendorsrv] shutdown_timeout: a stop can take 91 s; systemd kills the server after 90 s"],
        ),
        (
            {"port = 9090": "drain_seconds = 54"},
            ["3: warning: [vendorsrv] drain_seconds: a stop can take 90 s; systemd kills the server after 90 s"],
        ),
        (
            {
                f"encryption_keys = {KEY}\n": f"encryption_keys = {KEY}\n[proxy:mailserver]\nurl = http://127.0.0.1:9/x\n"
            },
            [
                (
                    "2: error: [vendorsrv] handlers: handler mailserver is enabled twice: "
                    "from vendorsrv-example-mailserver 1.0.0 and from [proxy:mailserver]"
                ),
            ],
        ),
        (
            {"port = 9090": "shutdown_timeout = 4"},
            [f"3: {CUT_OFF % '4 s is less than request_timeout (4.5 s)'}"],
        ),
        # The address of the server's own pages
        ({"port = 9090": "admin_port = "}, []),
        ({"port = 9090": "admin_port =\nadmin_host = 10.0.0.11"}, []),
        ({"port = 9090": "admin_host = localhost\nport = 9091\nhost = 10.0.0.11"}, []),
        ({"port = 9090": "port = 0\nadmin_port = 0"}, []),
        (
            {"port = 9090": "port = 9091"},
            ["1: error: [vendorsrv] admin_port: port is 9091 too; metrics need a port of their own"],
        ),
        (
            {"port = 9090": "host = ::\nadmin_port = 9090"},
            [
                (
                    "3: note: [vendorsrv] host: "
                    "tokens and answers cross the network unencrypted, unless TLS ends in front of this server"
                ),
                "4: error: [vendorsrv] admin_port: port is 9090 too; metrics need a port of their own",
            ],
        ),
        (
            {"port = 9090": "admin_host = 10.0.0.11"},
            ["3: warning: [vendorsrv] admin_host: metrics have no token and no TLS; let only Prometheus reach it"],
        ),
    ],
)
def test_each_mistake_has_its_findings(tmp_path: Path, changes: dict[str, str], expected: list[str]) -> None:
    """Each mistake in a configuration gives its findings, with their lines, and no others."""
    prefixed = [f"vendorsrv.conf:{line}" if line[0].isdigit() else f"vendorsrv.conf: {line}" for line in expected]
    assert prefixed == findings(tmp_path, changed(GOOD, changes))


def test_a_handler_that_cannot_be_built_is_a_finding(tmp_path: Path) -> None:
    """The exception of a handler's constructor is an error, with the place where it was raised."""
    text = changed(GOOD, {"handlers = mailserver": "handlers = mailserver, tests.support.handlers.checked:Refusing"})
    (finding,) = findings(tmp_path, text)
    assert finding.startswith(
        "vendorsrv.conf:2: error: [vendorsrv] handlers: "
        "handler refusing: Refusing() raised ValueError: no racks today (/"
    )


def test_broken_lines_are_errors_that_do_not_quote_them(tmp_path: Path) -> None:
    """Each line that is not INI is an error that does not quote the line; nothing else is checked then."""
    text = "port = 1\n" + changed(GOOD, {"password = planted": "password planted", "[handler:": "[]\n[handler:"})
    assert [
        "vendorsrv.conf:1: error: this option is before the first section",
        "vendorsrv.conf:9: error: this line is neither a section nor an option",
        "vendorsrv.conf:12: error: this line is neither a section nor an option",
    ] == findings(tmp_path, text)


def test_an_invalid_value_from_the_environment_names_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invalid value from an environment variable is an error without a line, which names the variable."""
    monkeypatch.setenv("OS_VENDORSRV__PORT", "many")
    assert [
        (
            "vendorsrv.conf: error: [vendorsrv] port: "
            "invalid literal for int() with base 10: 'many' (set by OS_VENDORSRV__PORT)"
        )
    ] == findings(tmp_path, GOOD)


def test_a_file_with_a_secret_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    """A file that contains a password and that every user can read is a warning."""
    path = write(tmp_path / "vendorsrv.conf", GOOD)
    path.chmod(0o644)
    assert [
        (
            f"{path}:8: warning: [keystone_authtoken] password: "
            "this file contains a secret, and every user of this machine can read it"
        )
    ] == [str(finding) for finding in find_all(path)]


@pytest.mark.parametrize("content", [None, b"[vendorsrv]\nhost = \xff\n"])
def test_a_file_that_cannot_be_read_raises_config_error(tmp_path: Path, content: bytes | None) -> None:
    """A file that does not exist, or is not UTF-8 text, raises ConfigError."""
    path = tmp_path / "vendorsrv.conf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"vendorsrv\.conf "):
        find_all(path)


def test_only_errors_stop_a_server_from_starting(tmp_path: Path) -> None:
    """The check before a start returns errors and no warnings."""
    path = write(tmp_path / "vendorsrv.conf", changed(GOOD, {"port": "prot", "[handler:m": "[zzz]\n[handler:m"}))
    assert ["prot"] == [finding.option for finding in before_start(path).errors]


def test_libraries_log_nothing_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What oslo.config logs during a check does not reach the terminal, and logging is left as it was."""
    before = list(logging.getLogger().handlers)
    findings(tmp_path, changed(GOOD, {"username": "user-name"}))
    assert (before, ("", "")) == (logging.getLogger().handlers, capfd.readouterr())
