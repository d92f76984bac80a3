"""Rules that oslo.policy refuses, ignores or denies without a word are named, with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checking import GOOD, changed, findings, write


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
        ("vendordata:ask: ''\n", ["1: warning: vendordata:ask: this rule admits every valid token, even a tenant's"]),
        ("vendordata:ask:\n", ["1: error: vendordata:ask: a rule must be a string"]),
        ("- vendordata:ask\n", ["1: error: this file must map names to rules"]),
        ("vendordata:ask: role:nova\n'\n", ["3: error: this file is not YAML"]),
        ("\x00", ["error: this file is not YAML"]),
    ],
)
def test_a_rule_has_its_line(tmp_path: Path, policy: str, expected: list[str]) -> None:
    """Each policy gives its findings, and no others."""
    write(tmp_path / "policy.yaml", policy)
    found = findings(tmp_path, GOOD)
    assert [f"policy.yaml:{line}" if line[0].isdigit() else f"policy.yaml: {line}" for line in expected] == found


def test_a_rule_that_refers_to_nothing_has_its_line(tmp_path: Path) -> None:
    """What oslo.policy refuses would stop the server."""
    write(tmp_path / "policy.yaml", "us: role:service\nvendordata:ask: rule:uss or rule:us\n")
    (finding,) = findings(tmp_path, GOOD)
    assert finding.startswith("policy.yaml:2: error: policy.yaml: ")


def test_a_policy_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A file that is no text stands for all that cannot be read."""
    (tmp_path / "policy.yaml").write_bytes(b"\xff")
    assert ["policy.yaml: error: this file cannot be read"] == findings(tmp_path, GOOD)


def test_a_policy_file_of_another_name_should_be_there(tmp_path: Path) -> None:
    """The usual one may be absent; who names another one expects it to be used."""
    text = changed(GOOD, {"[handler:": "[oslo_policy]\npolicy_file = rules.yaml\n[handler:"})
    assert [
        "vendorsrv.conf:12: warning: [oslo_policy] policy_file: rules.yaml does not exist; the default rules apply"
    ] == findings(tmp_path, text)


def test_a_broken_rule_in_a_folder_of_policies_is_found(tmp_path: Path) -> None:
    """Rules from policy.d count as well; their lines are not known."""
    (tmp_path / "policy.d").mkdir()
    write(tmp_path / "policy.d" / "more.yaml", "zzz: role:nova\n")
    assert ["policy.yaml: warning: zzz: nothing uses this rule"] == findings(tmp_path, GOOD)
