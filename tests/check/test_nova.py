"""The check finds each pitfall that a nova.conf shows, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checking import GOOD, GOOD_NOVA, changed, findings, found_in_nova_conf

TARGET = "mailserver@http://127.0.0.1:9090/mailserver"

NOT_ENCRYPTED = (
    "vendorsrv.conf:4: note: [vendorsrv] host: "
    "tokens and answers cross the network unencrypted, unless TLS ends in front of this server"
)
CLOUDY = "tests.support.handlers.cloudy"


def test_a_good_pair_of_files_has_no_findings(tmp_path: Path) -> None:
    """A complete configuration and a nova.conf that fits it have no findings."""
    assert [] == findings(tmp_path, GOOD, GOOD_NOVA)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Providers
        (
            {"StaticJSON,DynamicJSON": "DynamicJSON"},
            ("2: error: [api] vendordata_providers: StaticJSON is missing: every boot with a config drive fails"),
        ),
        (
            {"StaticJSON,DynamicJSON": "StaticJSON"},
            "2: error: [api] vendordata_providers: DynamicJSON is missing: Nova will not call any vendordata server",
        ),
        (
            {"vendordata_providers = StaticJSON,DynamicJSON": "\n"},
            "1: error: [api] vendordata_providers: DynamicJSON is missing: Nova will not call any vendordata server",
        ),
        (
            {"StaticJSON,": "StaticJson,StaticJSON,"},
            (
                "2: error: [api] vendordata_providers: there is no provider StaticJson; did you mean StaticJSON?; "
                "every boot with a config drive fails"
            ),
        ),
        # Names and places
        (
            {"vendordata_dynamic_targets": "vendordata_dynamic_target"},
            (
                "1: warning: [api] vendordata_dynamic_targets: no target points to this server (127.0.0.1 port 9090)\n"
                "3: error: [api] vendordata_dynamic_target: "
                "Nova has no such option; did you mean vendordata_dynamic_targets?"
            ),
        ),
        (
            {"[api]": "[DEFAULT]\nvendordata_dynamic_failure_fatal = true\n[api]"},
            "2: error: [DEFAULT] vendordata_dynamic_failure_fatal: Nova has no such option; it belongs in [api]",
        ),
        (
            {"[vendordata_dynamic_auth]": "[vendordata_auth]"},
            (
                "error: [vendordata_dynamic_auth] auth_type: not set: "
                "Nova sends no token, and every call is answered 401\n"
                "4: error: [vendordata_auth] Nova has no such section; did you mean [vendordata_dynamic_auth]?"
            ),
        ),
        (
            {"timeout = 5": "timeout = 5\ntimout = 5"},
            "11: error: [vendordata_dynamic_auth] timout: there is no such option; did you mean timeout?",
        ),
        # Values and times
        (
            {"[api]": "[api]\nvendordata_dynamic_connect_timeout = 0\nvendordata_dynamic_read_timeout = soon"},
            (
                "2: error: [api] vendordata_dynamic_connect_timeout: Should be greater than or equal to 3\n"
                "3: error: [api] vendordata_dynamic_read_timeout: invalid literal for int() with base 10: 'soon'"
            ),
        ),
        (
            {"[api]": "[api]\nvendordata_dynamic_read_timeout = 0"},
            "2: error: [api] vendordata_dynamic_read_timeout: 0 makes every call fail",
        ),
        ({"[api]": "[api]\nvendordata_dynamic_read_timeout = 6"}, ""),
        # The account
        (
            {"auth_type = password\n": ""},
            (
                "4: error: [vendordata_dynamic_auth] auth_type: not set: "
                "Nova sends no token, and every call is answered 401"
            ),
        ),
        ({"password = planted\n": ""}, "4: error: [vendordata_dynamic_auth] password is required"),
        (
            {"auth_url = https://keystone.example.org:5000/v3\n": ""},
            "4: error: [vendordata_dynamic_auth] auth_url is required",
        ),
        (
            {":5000/v3": ":5000", "timeout = 5\n": ""},
            (
                "4: warning: [vendordata_dynamic_auth] timeout: not set: "
                "a Keystone that hangs blocks boots for ever; set 5\n"
                "6: warning: [vendordata_dynamic_auth] auth_url: does not end in /v3: "
                "while Keystone is unavailable, boots fail although failures are not fatal"
            ),
        ),
        # References to other options
        ({"@http://127.0.0.1": "@http://$my_ip", "[api]": "[DEFAULT]\nmy_ip = 10.0.0.1\n[api]"}, ""),
        ({"@http://127.0.0.1": "@http://${vnc.address}", "[api]": "[vnc]\naddress = 10.0.0.1\n[api]"}, ""),
        (
            {"@http://127.0.0.1": "@http://$my_ip"},
            (
                "3: warning: [api] vendordata_dynamic_targets: "
                "refers to $my_ip, which this file does not set; Nova has its own value there"
            ),
        ),
        (
            {"@http://127.0.0.1": "@http://$vnc.server_proxyclient_address"},
            (
                "3: warning: [api] vendordata_dynamic_targets: "
                "refers to $vnc.server_proxyclient_address, which this file does not set; Nova has its own value there"
            ),
        ),
        (
            {
                "@http://127.0.0.1": "@http://$vnc.address",
                "[api]": "[DEFAULT]\nmy_ip = 10.0.0.1\n[vnc]\nlisten = $my_ip\naddress = $listen\n[api]",
            },
            "",
        ),
        (
            {"@http://127.0.0.1": "@http://$vnc.address", "[api]": "[vnc]\naddress = $my_ip\n[api]"},
            "2: warning: [vnc] address: refers to $my_ip, which this file does not set; Nova has its own value there",
        ),
        (
            {"@http://127.0.0.1": "@http://$my_ip", "[api]": "[DEFAULT]\nmy_ip = $my_ip\n[api]"},
            "5: error: [api] vendordata_dynamic_targets: contains an unescaped $; write $$",
        ),
        (
            {"password = planted": "password = $vnc.address"},
            "4: error: [vendordata_dynamic_auth] contains an unescaped $; write $$",
        ),
        ({"password = planted": "password = $$vnc.address"}, ""),
        # What Nova ignores, and deployment tools write
        (
            {
                "timeout = 5": "timeout = 5\nos_region_name = R\nregion_name = R\n"
                "valid_interfaces = internal\nservice_type = compute"
            },
            "",
        ),
        # The file
        ({"[api]": "[api]\nplanted"}, "2: error: this line is neither a section nor an option"),
    ],
)
def test_each_mistake_in_nova_conf_has_its_findings(tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    """Each mistake in a nova.conf gives its findings, with their lines, and no others."""
    assert expected == found_in_nova_conf(tmp_path, GOOD, changed(GOOD_NOVA, changes))


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (f"{TARGET}, all@http://localhost:9090, top@http://127.0.0.1:9090/", ""),
        (
            "mailserver@https://vendordata.example.org/mailserver",
            "note: target mailserver: this server listens on port 9090; a load balancer may be there",
        ),
        ("mailserver@http://$my_ip:9090/mailserver", ""),
        (f"{TARGET}, other@http://10.0.0.2:9090/other, third@https://other.example.org/x/y", ""),
        ("other@http://10.0.0.2:9090/other", "warning: no target points to this server (127.0.0.1 port 9090)"),
        ("", "warning: no target points to this server (127.0.0.1 port 9090)"),
        (
            f"{TARGET}, http://127.0.0.1:9090/mailserver, http://user:planted@127.0.0.1/",
            (
                "error: http://127.0.0.1:9090/mailserver has no name, and Nova skips it; write NAME@URL\n"
                "error: http://127.0.0.1/ has no name, and Nova skips it; write NAME@URL"
            ),
        ),
        (
            f"{TARGET}?racks=1,2",
            "error: 2 has no name, and Nova skips it; a comma in a URL must be written as %2C",
        ),
        (
            f"{TARGET}, static@http://10.0.0.2/, {TARGET}, @http://10.0.0.2/",
            (
                "error: target static is dropped: this is the name of StaticJSON\n"
                "error: target mailserver is configured twice; Nova skips the second one\n"
                "error: target has an empty name"
            ),
        ),
        (
            f"{TARGET}, a@10.0.0.2/a, b@ftp://10.0.0.2/, c@http://10.0.0.2:port/, d@http:///d",
            (
                "error: target a has no http:// or https:// URL\n"
                "error: target b has no http:// or https:// URL\n"
                "error: target c has no http:// or https:// URL\n"
                "error: target d has no http:// or https:// URL"
            ),
        ),
        (
            "mail@http://127.0.0.1:9090/mailservr",
            "error: target mail: no handler mailservr is enabled here; did you mean mailserver?",
        ),
        ("mail@http://127.0.0.1:9090/rack", "error: target mail: no handler rack is enabled here"),
        (
            "mail@http://127.0.0.1:9090/mailserver/",
            "error: target mail: its path must be /mailserver, without a slash at the end",
        ),
        (
            "mail@https://127.0.0.1:9090/mailserver",
            "error: target mail: the URL is https, but this server speaks http (cert_file is not set)",
        ),
        (
            "cloud-init@http://127.0.0.1:9090/",
            "error: target cloud-init: / answers with an object, and cloud-init accepts only a string",
        ),
        (
            "cloud-init@http://127.0.0.1:9090/mailserver",
            "warning: target cloud-init: cloud-init accepts only a string, so the handler must answer with one",
        ),
        ("cloud-init@http://127.0.0.1:9090/cloud-init", ""),
        (
            "mail@http://127.0.0.1:9090/cloud-init",
            "warning: target mail: an instance's cloud-init reads only the target named cloud-init",
        ),
    ],
)
def test_targets_are_checked_against_the_enabled_handlers(tmp_path: Path, targets: str, expected: str) -> None:
    """Targets that Nova skips, that no handler answers or that cloud-init ignores are findings; good ones are not."""
    nova = changed(GOOD_NOVA, {TARGET: targets}) + "[DEFAULT]\nmy_ip = 127.0.0.1\n"
    found = found_in_nova_conf(tmp_path, GOOD, nova)
    assert expected == found.replace("3: ", "").replace("[api] vendordata_dynamic_targets: ", "")


def test_nova_must_wait_longer_than_the_server(tmp_path: Path) -> None:
    """Nova's read timeout must be longer than request_timeout and a handler's timeout."""
    nova = changed(GOOD_NOVA, {"[api]": "[api]\nvendordata_dynamic_read_timeout = 4"})
    assert [
        "vendorsrv.conf:11: error: [handler:mailserver] timeout: 4 s must be less than Nova's read timeout (4 s)",
        (
            "nova.conf:2: error: [api] vendordata_dynamic_read_timeout: "
            "4 s must be more than vendorsrv's request_timeout (4.5 s), or Nova gives up first"
        ),
    ] == findings(tmp_path, GOOD, nova)


def test_a_server_on_all_addresses_is_every_host_with_its_port(tmp_path: Path) -> None:
    """A target with the port of a server that listens on all addresses points to it, whatever its host."""
    ours = changed(GOOD, {"port = 9090": "port = 9090\nhost = 0.0.0.0"})
    assert [NOT_ENCRYPTED] == findings(tmp_path, ours, changed(GOOD_NOVA, {"127.0.0.1": "10.0.0.2"}))


def test_an_account_in_the_section_of_auth_section_is_checked(tmp_path: Path) -> None:
    """The account is checked in the section that auth_section names, as Nova reads it."""
    nova = changed(
        GOOD_NOVA,
        {
            "[vendordata_dynamic_auth]": "[vendordata_dynamic_auth]\nauth_section = nova\ntimeout = 5\n[nova]",
            "password = planted\n": "",
        },
    )
    assert "7: error: [nova] password is required" == found_in_nova_conf(tmp_path, GOOD, nova)


def test_a_broken_account_does_not_hide_findings_about_targets(tmp_path: Path) -> None:
    """Targets are checked although the account cannot be used."""
    nova = changed(GOOD_NOVA, {"password = planted\n": "", "/mailserver": "/rack"})
    assert (
        "3: error: [api] vendordata_dynamic_targets: target mailserver: no handler rack is enabled here\n"
        "4: error: [vendordata_dynamic_auth] password is required"
    ) == found_in_nova_conf(tmp_path, GOOD, nova)


@pytest.mark.parametrize("handler", ["raw", "timezone"])
def test_a_handler_for_cloud_init_can_be_the_cloud_init_target(tmp_path: Path, handler: str) -> None:
    """A target cloud-init may point to a handler that declares for_cloud_init, or that has only parts."""
    ours = changed(
        GOOD,
        {"handlers = mailserver": f"handlers = mailserver, {CLOUDY}:Raw, {CLOUDY}:Timezone"},
    )
    nova = changed(GOOD_NOVA, {TARGET: f"cloud-init@http://127.0.0.1:9090/{handler}"})
    assert "" == found_in_nova_conf(tmp_path, ours, nova)
