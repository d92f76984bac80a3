"""The check finds rules that oslo.policy rejects, and those that it silently ignores or denies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checking import GOOD, changed, findings, write

ANY_DOMAIN = "another domain may have a project of this name; add `and project_domain_id:default`"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", []),
        ("vendordata:ask: role:nova\n", []),
        ("vendordata:ask: not role:reader and rule:us\nus: role:service\n", []),
        (
            "# who may ask\nvendordata:aks: role:nova\n",
            ["2: error: vendordata:aks: nothing uses this rule; did you mean vendordata:ask?"],
        ),
        ("zzz: role:nova\n", ["1: warning: zzz: nothing uses this rule"]),
        (
            "vendordata:handler:mailservr: role:nova\n",
            ["1: warning: vendordata:handler:mailservr: no handler of this name is enabled; did you mean mailserver?"],
        ),
        (
            "vendordata:handler:dns: role:nova\n",
            ["1: warning: vendordata:handler:dns: no handler of this name is enabled"],
        ),
        (
            "vendordata:ask: role:nova or\nvendordata:handler:mailserver: role nova\n",
            [
                "1: error: vendordata:ask: a part of this rule cannot be parsed and denies everything",
                "2: error: vendordata:handler:mailserver: a part of this rule cannot be parsed and denies everything",
            ],
        ),
        (
            "vendordata:ask: rolee:nova or user_name:nova\n",
            [
                "1: error: vendordata:ask: unknown attribute rolee; did you mean role?",
                "1: error: vendordata:ask: unknown attribute user_name; did you mean user_id?",
            ],
        ),
        ("vendordata:ask: user_id:nova or 'a':%(b)s or boot_role:c or @\n", []),
        ("vendordata:ask: '!'\n", []),
        (
            "vendordata:ask: role:admin and project_name:service\n",
            [f"1: warning: vendordata:ask: {ANY_DOMAIN}"],
        ),
        ("vendordata:ask: role:admin and project_name:service and project_domain_id:default\n", []),
        ("vendordata:ask: ''\n", ["1: warning: vendordata:ask: this rule admits every valid token, even a tenant's"]),
        ("vendordata:ask:\n", ["1: error: vendordata:ask: a rule must be a string"]),
        ("- vendordata:ask\n", ["1: error: this file must map names to rules"]),
        ("vendordata:ask: role:nova\n'\n", ["3: error: this file is not YAML"]),
        ("\x00", ["error: this file is not YAML"]),
    ],
)
def test_each_mistake_in_policy_yaml_has_its_findings(tmp_path: Path, policy: str, expected: list[str]) -> None:
    """Each mistake in policy.yaml gives its findings, with their lines, and no others."""
    write(tmp_path / "policy.yaml", policy)
    found = findings(tmp_path, GOOD)
    assert [f"policy.yaml:{line}" if line[0].isdigit() else f"policy.yaml: {line}" for line in expected] == found


ACCOUNT = (
    "[service_account]\nauth_type = password\nauth_url = https://keystone.example.org:5000/v3\nusername = facts\n"
    "password = planted\nuser_domain_name = Default\n[handler:"
)
TOO_EARLY = "rule 'vendordata:ask' is decided before the instance is known, and cannot name facts of it"
MAIL = "vendordata:handler:mailserver"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (f"{MAIL}: az:ams1 or not image_property:os_distro=ubuntu", []),
        (f"""{MAIL}: "'default':%(project_domain_id)s" """, []),
        (
            f"{MAIL}: image_propety:os_distro=ubuntu",
            [f"error: {MAIL}: unknown attribute image_propety; did you mean image_property?"],
        ),
        (
            f"""{MAIL}: "'a':%(project_domian_id)s or 'b':%(hostname)s" """,
            [f"error: {MAIL}: unknown value %(project_domian_id)s; did you mean project_domain_id?"],
        ),
        (f"{MAIL}: azz:ams1", [f"error: {MAIL}: unknown attribute azz; did you mean az?"]),
        (
            f"{MAIL}: role:service and image_property:os_distro",
            [f"error: policy.yaml: rule '{MAIL}' has image_property:os_distro; write image_property:NAME=VALUE"],
        ),
        (
            "vendordata:ask: role:service and not az:ams1",
            [f"error: policy.yaml: {TOO_EARLY}"],
        ),
    ],
)
def test_a_rule_that_names_facts_is_checked(tmp_path: Path, rule: str, expected: list[str]) -> None:
    """Checks of facts must be known, complete, and in the rule of a handler."""
    write(tmp_path / "policy.yaml", f"{rule}\n")
    found = [each.replace(f"{tmp_path}/", "") for each in findings(tmp_path, changed(GOOD, {"[handler:": ACCOUNT}))]
    assert [f"policy.yaml:1: {each}" for each in expected] == found


@pytest.mark.parametrize(
    "rule", ["az:ams1", "role:service and (role:a or not rule:b)", "'default':%(project_domain_id)s"]
)
def test_a_rule_that_names_facts_needs_the_account(tmp_path: Path, rule: str) -> None:
    """Without [service_account] a rule that names facts is an error, which names the option."""
    write(tmp_path / "policy.yaml", f'{MAIL}: "{rule}"\nb: image_property:a=b or rule:b2\nb2: role:a\n')
    (finding,) = findings(tmp_path, GOOD)
    assert finding == (
        f"policy.yaml:1: error: policy.yaml: rule '{MAIL}' names facts, which need an account: "
        "set [service_account] auth_type"
    )


NOT_VERIFIED = "the certificate of this rule's server is not verified; set [oslo_policy] remote_ssl_verify_server_crt"
NOT_PROTECTED = "anybody on the network can answer in place of this rule's server; use https:"
NOT_SEEN = "this URL names a value of the instance, which this rule does not see: every request is answered 503"
TOO_LONG = "[oslo_policy] remote_timeout must be less than request_timeout, or a thread waits for nobody"


@pytest.mark.parametrize(
    ("rule", "options", "expected"),
    [
        ("vendordata:ask: http://127.0.0.1:8000/", "", []),
        ("vendordata:ask: role:service and not http://policy.example/", "", [NOT_PROTECTED]),
        ("vendordata:ask: https://policy.example/", "", [NOT_VERIFIED]),
        ("vendordata:ask: https://policy.example/", "remote_ssl_verify_server_crt = true", []),
        ("vendordata:ask: http://localhost/%(hostname)s", "", [NOT_SEEN]),
        ("vendordata:handler:mailserver: http://localhost/%(hostname)s", "", []),
        ("vendordata:ask: http://localhost/", "remote_timeout = 5", [TOO_LONG]),
        ("vendordata:ask: role:service", "remote_timeout = 5", []),
    ],
)
def test_a_rule_that_asks_a_server_is_checked(tmp_path: Path, rule: str, options: str, expected: list[str]) -> None:
    """A server that a rule asks must be protected and answer in time, and its URL names only what the rule sees."""
    write(tmp_path / "policy.yaml", f"{rule}\n")
    found = findings(tmp_path, changed(GOOD, {"[handler:": f"[oslo_policy]\n{options}\n[handler:"}))
    name = rule.partition(": ")[0]
    assert [f"policy.yaml:1: warning: {name}: {each}" for each in expected] == found


def test_a_rule_that_refers_to_an_unknown_rule_is_an_error(tmp_path: Path) -> None:
    """A rule that refers to an unknown rule, which oslo.policy rejects, is an error at its line."""
    write(tmp_path / "policy.yaml", "us: role:service\nvendordata:ask: rule:uss or rule:us\n")
    (finding,) = findings(tmp_path, GOOD)
    assert finding.startswith("policy.yaml:2: error: policy.yaml: ")


def test_an_unreadable_policy_file_is_an_error(tmp_path: Path) -> None:
    """A policy file that is not UTF-8 text is an error."""
    (tmp_path / "policy.yaml").write_bytes(b"\xff")
    assert ["policy.yaml: error: this file cannot be read"] == findings(tmp_path, GOOD)


def test_an_absent_policy_file_is_a_warning_when_it_is_configured(tmp_path: Path) -> None:
    """A policy_file that does not exist is a warning; the default name may be absent."""
    text = changed(GOOD, {"[handler:": "[oslo_policy]\npolicy_file = rules.yaml\n[handler:"})
    assert [
        "vendorsrv.conf:12: warning: [oslo_policy] policy_file: rules.yaml does not exist; the default rules apply"
    ] == findings(tmp_path, text)


def test_rules_in_policy_d_are_checked(tmp_path: Path) -> None:
    """Rules of files in policy.d are checked as well, without their lines."""
    (tmp_path / "policy.d").mkdir()
    write(tmp_path / "policy.d" / "more.yaml", "zzz: role:nova\n")
    assert ["policy.yaml: warning: zzz: nothing uses this rule"] == findings(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("account", "policy", "expected"),
    [
        ("project_name = service\nproject_domain_name = Default\n", "", []),
        ("project_name = service\nproject_domain_id = default\n", "", []),
        ("project_name = nova\nproject_domain_name = Cloud\n", "", []),
        ("project_name = service\nproject_domain_name = Cloud\n", "", ["Cloud"]),
        ("project_name = service\nproject_domain_id = 4d2e\n", "", ["4d2e"]),
        ("project_name = service\ndefault_domain_name = Cloud\n", "", ["Cloud"]),
        ("project_name = service\nproject_domain_name = Cloud\n", "vendordata:ask: role:admin\n", []),
    ],
)
def test_an_account_that_relied_on_any_domain_s_project_is_named(
    tmp_path: Path, account: str, policy: str, expected: list[str]
) -> None:
    """When the role admin in the project service of another domain is no longer enough, the check says so."""
    write(tmp_path / "policy.yaml", policy)
    nova = "[vendordata_dynamic_auth]\nauth_type = password\nauth_url = http://127.0.0.1:9/v3\ntimeout = 5\n"
    found = findings(tmp_path, GOOD, f"{nova}username = nova\npassword = secret\nuser_domain_id = default\n{account}")
    reason = (
        "by default, the role admin in the project service of the domain %s is not admitted; "
        "give Nova's account the role service, or set the rule vendordata:ask"
    )
    assert [reason % domain for domain in expected] == [
        line.partition("project_name: ")[2] for line in found if "by default, the role admin" in line
    ]
