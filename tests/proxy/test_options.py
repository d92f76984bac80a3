"""What is wrong with a proxy's section is found before it is used, with the line; and what is right is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from tests.support.serving import section, write_config
from vendorsrv import ConfigError, Settings
from vendorsrv.check.run import find_all
from vendorsrv.cli.main import main
from vendorsrv.handlers.registry import Registry

GOOD = "url = https://rack.example.org:9090/rack\n"
ACCOUNT = "auth_type = password\nauth_url = http://127.0.0.1:9/v3\nusername = u\npassword = p\nuser_domain_id = d\n"
PROJECT = "project_name = service\nproject_domain_id = d\n"


def findings(directory: Path, text: str, name: str = "rack", more: str = "") -> list[str]:
    """Check a proxy's section, and give what is found, without the place."""
    path = write_config(directory, handlers="", sections=f"[proxy:{name}]\n{text}{more}")
    path.chmod(0o600)
    return [str(finding).partition(": ")[2] for finding in find_all(path)]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "url = http://[::1]:9090/\nurl = http://10.0.0.1\n",
        f"{GOOD}auth = relay\nrelay_hosts = RACK.example.org\n",
        f"{GOOD}auth = relay\nrelay_hosts = other.example, rack.example.org:9090\n",
        "url = http://[::1]/\nauth = relay\nrelay_hosts = [::1]:80\n",
        f"{GOOD}auth = basic\nbasic_username = u\nbasic_password = p\n",
        f"{GOOD}auth = service\n{ACCOUNT}{PROJECT}",
        f"{GOOD}auth = service\nauth_section = keystone_authtoken\n",
        f"{GOOD}timeout = 2\ncache_for = 60\non_error = stale\nconcurrency = 4\nqueue = 8\n",
        f"{GOOD}pin = true\n",
    ],
)
def test_a_correct_section_has_no_findings(tmp_path: Path, text: str) -> None:
    """Correct sections have no errors, and no warnings besides that of unencrypted pins."""
    assert [] == [each for each in findings(tmp_path, text) if "pinned unencrypted" not in each]


URL = "[proxy:rack] url: "
AUTH = "error: [proxy:rack] "


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["error: [proxy:rack] url: required; URL of the upstream"]),
        ("url = rack.example.org/rack\n", [f"error: {URL}not an http:// or https:// URL"]),
        ("url = ftp://rack.example.org\n", [f"error: {URL}not an http:// or https:// URL"]),
        ("url = http://a:b:c/\n", [f"error: {URL}not an http:// or https:// URL"]),
        ("url = http://rack:0/\n", [f"error: {URL}not an http:// or https:// URL"]),
        ("url = http://a/, http://b/\n", [f"error: {URL}not an http:// or https:// URL"]),
        ("url = http://u:p@rack/\n", [f"error: {URL}contains credentials"]),
        ("url = http://rack/#a\n", [f"error: {URL}contains a fragment"]),
        (
            f"{GOOD}auth = relay\n",
            [f"{AUTH}relay_hosts: does not list rack.example.org", f"{AUTH}relay_hosts: required"],
        ),
        (f"{GOOD}auth = relay\nrelay_hosts = rack.example.org:1\n", [f"{AUTH}relay_hosts: does not list"]),
        (
            f"{GOOD}auth = basic\nbasic_username = a:b\n",
            [f"{AUTH}basic_password: required", f"{AUTH}basic_username: must"],
        ),
        (f"{GOOD}auth = mtls\n", [f"{AUTH}certfile: required; auth = mtls needs it"]),
        (
            "url = http://rack/\nauth = mtls\n",
            [f"error: {URL}auth = mtls needs https://", f"{AUTH}certfile: required"],
        ),
        (f"{GOOD}auth = token\n", [f"{AUTH}auth: "]),
        (f"{GOOD}keyfile = k\n", [f"{AUTH}keyfile: has no effect", f"{AUTH}keyfile: k does not exist"]),
        (f"{GOOD}cafile = nosuch.pem\n", [f"{AUTH}cafile: nosuch.pem does not exist"]),
        (f"{GOOD}auth = service\n", [f"{AUTH}auth_type: required"]),
        (f"{GOOD}auth = service\n{ACCOUNT}", [f"{AUTH}project_name: required"]),
        (
            f"{GOOD}auth = service\n{ACCOUNT}auth_type = v3applicationcredential\napplication_credential_secret = s\n",
            [f"{AUTH}auth_type: You must provide either an application credential ID"],
        ),
        (f"{GOOD}auth = service\nauth_section = shared\n", ["error: [shared] auth_type: required"]),
        (f"{GOOD}cache_fro = 60\n", [f"{AUTH}cache_fro: there is no such option; did you mean cache_for?"]),
        (f"{GOOD}username = u\n", [f"{AUTH}username: there is no such option"]),
        (f"{GOOD}connect_timeout = 0\n", [f"{AUTH}connect_timeout: "]),
        (f"{GOOD}pin = true\ncache_for = 60\n", ["error: [proxy:rack] "]),
    ],
)
def test_each_mistake_in_a_section_is_a_finding(tmp_path: Path, text: str, found: list[str]) -> None:
    """Each finding names the section and the option, and says what to do."""
    errors = [each for each in findings(tmp_path, text) if each.startswith("error") and "no such section" not in each]
    starts = sorted({start for start in found for each in errors if each.startswith(start)})
    assert sorted(found) == starts, errors


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ("auth = relay\nrelay_hosts = rack, 10.0.0.1\n", "auth = relay sends Nova's token"),
        (f"auth = service\n{ACCOUNT}{PROJECT}", "auth = service sends a token of our own"),
        ("auth = basic\nbasic_username = u\nbasic_password = p\n", "auth = basic sends the password"),
    ],
)
def test_credentials_in_clear_text_are_a_warning_for_each_host(tmp_path: Path, auth: str, sent: str) -> None:
    """Each host that gets credentials over http:// is named once."""
    urls = "url = https://rack/\nurl = http://10.0.0.1/\nurl = http://rack/a\nurl = http://rack/b\n"
    assert [
        f"warning: [proxy:rack] url: {sent} to 10.0.0.1 in clear text; use https://",
        f"warning: [proxy:rack] url: {sent} to rack in clear text; use https://",
    ] == findings(tmp_path, urls + auth)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "[::1]:9090", "localhost", "rack.localhost"])
def test_credentials_in_clear_text_to_this_machine_are_no_finding(tmp_path: Path, host: str) -> None:
    """Credentials over http:// to a loopback address are not reported."""
    assert [] == findings(tmp_path, f"url = http://{host}/\nauth = basic\nbasic_username = u\nbasic_password = p\n")


def test_clear_text_without_credentials_is_no_finding(tmp_path: Path) -> None:
    """A url with http:// and without auth is not reported."""
    assert [] == findings(tmp_path, "url = http://rack/\n")


def test_files_that_are_not_certificates_are_found(tmp_path: Path) -> None:
    """A cafile without certificates and a certfile whose key does not belong to it are errors."""
    (tmp_path / "text.pem").write_text("hello")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("a").private_key_pem.write_to_path(tmp_path / "other.key")
    authority.issue_cert("b").cert_chain_pems[0].write_to_path(tmp_path / "b.pem")
    bad_ca = findings(tmp_path, f"{GOOD}cafile = {tmp_path}/text.pem\n")
    bad_key = findings(
        tmp_path, f"{GOOD}cafile = {tmp_path}/ca.pem\ncertfile = {tmp_path}/b.pem\nkeyfile = {tmp_path}/other.key\n"
    )
    assert ["error: [proxy:rack] cafile: contains no PEM certificates, or cannot be read"] == bad_ca
    assert [
        "error: [proxy:rack] certfile: is not a PEM certificate with its key (here or in keyfile), or cannot be read"
    ] == bad_key


@pytest.mark.parametrize("name", ["cloud-init", "healthcheck", "a b", "-a", "x" * 64, "Rack"])
def test_a_section_s_name_must_be_a_url_segment(tmp_path: Path, name: str) -> None:
    """A name that is reserved, too long, not a URL segment or not in lower case is an error."""
    found = findings(tmp_path, GOOD, name)
    assert any(
        f" [proxy:{name}]: " in each and each.endswith("letters, digits, - and _, and not reserved") for each in found
    )


def test_a_server_does_not_start_with_a_name_in_capitals(tmp_path: Path) -> None:
    """The registry refuses a section that would be served under another name than it has."""
    path = write_config(tmp_path, handlers="", sections=f"[proxy:Rack]\n{GOOD}")
    with pytest.raises(ConfigError, match=r"^\[proxy:Rack\]: the name must be a URL segment of lower-case letters"):
        Registry(Settings.from_file(path))


def test_a_mistyped_section_gets_a_suggestion(tmp_path: Path) -> None:
    """The finding of an unknown section suggests the nearest known one."""
    found = findings(tmp_path, GOOD, more=f"[proyx:rack]\n{GOOD}")
    assert ["error: [proyx:rack] there is no such section; did you mean proxy:rack?"] == found


def test_a_proxy_with_the_name_of_a_handler_is_refused(tmp_path: Path) -> None:
    """The error names both sources."""
    path = write_config(tmp_path, sections=f"[proxy:echo]\n{GOOD}")
    with pytest.raises(ConfigError) as caught:
        Registry(Settings.from_file(path))
    assert "handler echo is enabled twice: from tests.support.handlers.good:Echo and from [proxy:echo]" == str(
        caught.value
    )


def test_a_server_does_not_start_with_a_wrong_url(tmp_path: Path) -> None:
    """The registry refuses a section with a wrong url, and names the option."""
    path = write_config(tmp_path, handlers="", sections="[proxy:rack]\nurl = rack\n")
    with pytest.raises(ConfigError, match=r"^\[proxy:rack\] url: not an http"):
        Registry(Settings.from_file(path))


def test_the_handlers_command_lists_proxies_behind_the_handlers(tmp_path: Path) -> None:
    """Proxies are listed by name, with their section as source and their options."""
    sections = f"[proxy:site]\n{GOOD}cache_for = 60\n[proxy:rack]\n{GOOD}"
    path = write_config(tmp_path, sections=sections)
    result = CliRunner().invoke(main, ["handlers", "--config-file", str(path), "--json"])
    shown = json.loads(result.output)
    assert ["echo", "rack", "site"] == [each["name"] for each in shown]
    assert [False, True, False] == [each["ttl_from_upstream"] for each in shown]
    assert ("[proxy:site]", "/site", 60.0) == (shown[2]["source"], shown[2]["path"], shown[2]["cache_for"])


def test_the_handlers_command_shows_that_an_upstream_decides_on_caching(tmp_path: Path) -> None:
    """A proxy without cache_for is shown as cached as its upstream says."""
    path = write_config(tmp_path, handlers="", sections=f"[proxy:rack]\n{GOOD}")
    assert "  as the upstream says  " in CliRunner().invoke(main, ["handlers", "--config-file", str(path)]).output


def test_an_unescaped_dollar_in_a_shared_account_is_found(tmp_path: Path) -> None:
    """An unescaped $ in the section of a shared account is a finding, beside the others."""
    text = f"{GOOD}auth = service\nauth_section = shared\n"
    more = section("shared", {"auth_type": "nosuch", "password": "a$b", "cafile": "/c"})
    found = findings(tmp_path, text, more=more)
    assert any("unknown plugin 'nosuch'" in each for each in found)
    assert any("contains an unescaped $" in each for each in found)
