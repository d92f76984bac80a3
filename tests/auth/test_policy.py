"""Authorisation: the default rules, the operator's policy.yaml, and a policy file that breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg

from tests.support import real_peers as peers
from tests.support.fixtures import Clock
from tests.support.serving import INSTANCE, write_config
from vendorsrv import BootRoles, Caller, ConfigError, Settings, VendordataRequest
from vendorsrv.auth.policy import Policy, list_rules, sample_enforcer
from vendorsrv.errors import Forbidden, PolicyUnavailable

NOVA = Caller("nova", project_name="service", roles=("service",))
TENANT = Caller("tenant", project_name="demo", roles=("member",))


Make = Callable[[str | None], Policy]


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Make:
    """Return a function that builds a policy for the handlers ``mail`` and ``dns`` from the text of policy.yaml."""

    def build(text: str | None = None) -> Policy:
        if text is not None:
            (tmp_path / "policy.yaml").write_text(text)
        return Policy(Settings.from_file(write_config(tmp_path)).conf, ["mail", "dns"], clock)

    return build


def rewrite(directory: Path, text: str, second: int) -> None:
    """Change the policy file and its time, by which oslo.policy notices."""
    path = directory / "policy.yaml"
    path.write_text(text)
    os.utime(path, (2_000_000_000 + second, 2_000_000_000 + second))


def admits(policy: Policy, caller: Caller) -> bool:
    """Whether a policy admits a caller."""
    try:
        policy.admit(caller)
    except Forbidden:
        return False
    return True


def booted(*roles: str, project_id: str | None = None) -> VendordataRequest:
    """Return a request for an instance whose user had these roles."""
    return VendordataRequest(
        INSTANCE, project_id=project_id, hostname="web-1", image_id="", boot_roles=BootRoles(roles)
    )


@pytest.mark.parametrize(
    ("roles", "project", "domain", "admitted"),
    [
        (("service",), "service", "default", True),
        (("service",), "other", "4d2e", True),
        (("Service",), None, None, True),
        (("admin",), "service", "default", True),
        (("Admin", "reader"), "service", "default", True),
        (("admin",), "service", "4d2e", False),
        (("admin",), "service", None, False),
        (("admin",), "demo", "default", False),
        (("admin",), "Service", "default", False),
        (("admin",), None, None, False),
        (("member",), "service", "default", False),
        (("member", "reader", "manager"), "demo", "default", False),
        (("services",), "service", "default", False),
        ((), "service", "default", False),
    ],
)
def test_the_default_rule_admits_service_accounts(
    make: Make, roles: tuple[str, ...], project: str | None, domain: str | None, admitted: bool
) -> None:
    """By default, the role service is admitted, and admin in the project service of the default domain; no others."""
    caller = Caller("user", project_name=project, project_domain_id=domain, roles=roles)
    assert admitted is admits(make(None), caller)


def test_a_denied_caller_gets_a_message_without_details(make: Make) -> None:
    """A caller that the rule denies is told that it may not ask, and not which rule denies it."""
    with pytest.raises(Forbidden, match=r"^the owner of the token may not ask for vendordata$"):
        make(None).admit(TENANT)


@pytest.mark.parametrize(
    ("rule", "nova", "tenant"),
    [
        ("role:member", False, True),
        ("@", True, True),
        ("!", False, False),
        ("user_id:tenant", False, True),
        ("role:service and project_name:demo", False, False),
    ],
)
def test_policy_yaml_replaces_the_default_rule(make: Make, rule: str, nova: bool, tenant: bool) -> None:
    """The rule vendordata:ask in policy.yaml decides instead of the default."""
    policy = make(f"'vendordata:ask': '{rule}'\n")
    assert (nova, tenant) == (admits(policy, NOVA), admits(policy, TENANT))


@pytest.mark.parametrize("handler", ["mail", "dns"])
def test_by_default_an_admitted_caller_may_request_every_handler(make: Make, handler: str) -> None:
    """The default rule of each handler allows every admitted caller."""
    assert True is make(None).allows(handler, booted(), NOVA)


@pytest.mark.parametrize(
    ("rule", "request_", "allowed"),
    [
        ("boot_role:mail-admin", booted("member", "mail-admin"), True),
        ("boot_role:mail-admin", booted("Mail-Admin"), True),
        ("boot_role:MAIL-ADMIN", booted("mail-admin"), True),
        ("boot_role:mail-admin", booted("member"), False),
        ("boot_role:mail-admin", booted(), False),
        ("not boot_role:guest", booted("member"), True),
        ("rule:vendordata:ask and boot_role:mail-admin", booted("mail-admin"), True),
        ("'1f2e':%(project_id)s", booted(project_id="1f2e"), True),
        ("'1f2e':%(project_id)s", booted(project_id="2f3e"), False),
        ("'web-1':%(hostname)s", booted(), True),
        ("role:service", booted(), True),
        ("role:admin", booted(), False),
        ("!", booted(), False),
    ],
)
def test_the_rule_of_a_handler_sees_the_instance_and_the_caller(
    make: Make, rule: str, request_: VendordataRequest, allowed: bool
) -> None:
    """A handler's rule sees the boot roles, in upper or lower case, the project, the host name and the caller."""
    assert allowed is make(f"""'vendordata:handler:mail': "{rule}"\n""").allows("mail", request_, NOVA)


def test_the_rule_of_a_handler_does_not_change_other_handlers(make: Make) -> None:
    """A rule that denies one handler leaves the others allowed."""
    assert True is make("'vendordata:handler:mail': '!'\n").allows("dns", booted(), NOVA)


def test_boot_role_does_not_match_roles_of_the_caller(make: Make) -> None:
    """boot_role: matches the roles of the user who booted the instance, and never those of Nova's account."""
    policy = make("'vendordata:handler:mail': 'boot_role:service'\n")
    assert False is policy.allows("mail", booted("member"), NOVA)


def test_boot_role_in_the_rule_for_all_requests_denies(make: Make) -> None:
    """vendordata:ask is checked before the body is read, so a boot_role: in it matches nothing."""
    assert False is admits(make("'vendordata:ask': 'boot_role:service'\n"), NOVA)


def test_a_decision_is_remembered_for_five_seconds(make: Make, clock: Clock, tmp_path: Path) -> None:
    """A changed policy file takes effect for a known caller after five seconds."""
    policy = make("'vendordata:ask': 'role:service'\n")
    assert True is admits(policy, NOVA)
    rewrite(tmp_path, "'vendordata:ask': '!'\n", 1)
    assert True is admits(policy, NOVA)
    clock.now += 5.1
    assert False is admits(policy, NOVA)


#: Policy files that cannot be used, and the message at the start.
BROKEN = {
    "not YAML": ("vendordata:ask: [\n", "while parsing"),
    "a list": ("- 'role:service'\n", "it must map names to rules"),
    "a word": ("role:service\n", "it must map names to rules"),
    "a number for a rule": ("'vendordata:ask': 5\n", "it must map names to rules"),
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *BROKEN.values(),
        ("'vendordata:ask': 'rule:nowhere'\n", "Policies ['vendordata:ask'] are not well defined"),
    ],
)
def test_a_broken_policy_stops_the_start(make: Make, text: str, message: str) -> None:
    """A policy file that cannot be used stops the start with a message that names it."""
    with pytest.raises(ConfigError) as caught:
        make(text)
    assert f"policy.yaml: {message}" in str(caught.value)


@pytest.mark.parametrize("text", [text for text, _ in BROKEN.values()], ids=BROKEN)
def test_while_the_policy_file_is_broken_nobody_is_admitted(
    make: Make, clock: Clock, tmp_path: Path, text: str
) -> None:
    """A policy file that breaks raises PolicyUnavailable until it is repaired; then its new rules hold."""
    policy = make("'vendordata:ask': 'role:service'\n")
    rewrite(tmp_path, text, 1)
    for _ in range(3):
        with pytest.raises(PolicyUnavailable, match=r"^the server's policy file cannot be read$"):
            policy.admit(NOVA)
    rewrite(tmp_path, "'vendordata:ask': 'role:member'\n", 2)
    assert (False, True) == (admits(policy, NOVA), admits(policy, TENANT))


def test_while_the_policy_file_is_broken_the_server_is_not_ready(make: Make, tmp_path: Path) -> None:
    """The check of readiness fails while the policy file is broken, and succeeds once it is repaired."""
    policy = make("'vendordata:ask': 'role:service'\n")
    policy.check_ready()
    rewrite(tmp_path, next(iter(BROKEN.values()))[0], 1)
    with pytest.raises(PolicyUnavailable):
        policy.check_ready()
    rewrite(tmp_path, "'vendordata:ask': 'role:service'\n", 2)
    policy.check_ready()


def test_the_sample_has_every_rule() -> None:
    """``oslopolicy-sample-generator --namespace vendorsrv`` prints every rule."""
    command = [str(Path(sys.executable).with_name("oslopolicy-sample-generator")), "--namespace", "vendorsrv"]
    peers.skip_if_unit()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rules = [line for line in done.stdout.splitlines() if line.startswith('#"')]
    assert [
        '#"vendordata:ask": "role:service or (role:admin and project_name:service and project_domain_id:default)"',
        '#"vendordata:handler:NAME": "rule:vendordata:ask"',
    ] == rules


def test_the_tools_of_oslo_policy_get_the_same_rules() -> None:
    """The enforcer for ``oslopolicy-checker`` and other tools has every rule."""
    cfg.CONF([])  # the tools have read their own command line by then
    assert [rule.name for rule in list_rules()] == list(sample_enforcer().registered_rules)


def test_a_decision_is_remembered_for_its_caller_only(make: Make) -> None:
    """Each caller gets its own decision, even if the callers before it no longer exist."""
    policy = make(None)
    assert [True, False] * 50 == [admits(policy, Caller("user", roles=(role,))) for role in ("service", "member") * 50]


def test_remembered_decisions_have_a_limit(make: Make) -> None:
    """At most 16,384 decisions are remembered; then all are forgotten."""
    policy = make(None)
    for number in range(16_384):
        policy.decisions[-number] = TENANT, True, float("inf")
    assert (True, 1) == (admits(policy, NOVA), len(policy.decisions))
