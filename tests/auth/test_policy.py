"""Who may ask: the default rules, the operator's policy.yaml over them, and a policy file that breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg

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
    """Build the policy of a server with the handlers ``mail`` and ``dns``, and the text of its policy.yaml."""

    def build(text: str | None = None) -> Policy:
        if text is not None:
            (tmp_path / "policy.yaml").write_text(text)
        return Policy(Settings.from_file(write_config(tmp_path)).conf, ["mail", "dns"], clock)

    return build


def rewrite(directory: Path, text: str, second: int) -> None:
    """Change the policy file; oslo.policy looks at its time."""
    path = directory / "policy.yaml"
    path.write_text(text)
    os.utime(path, (2_000_000_000 + second, 2_000_000_000 + second))


def admits(policy: Policy, caller: Caller) -> bool:
    """Say whether a caller may ask."""
    try:
        policy.admit(caller)
    except Forbidden:
        return False
    return True


def booted(*roles: str, project_id: str | None = None) -> VendordataRequest:
    """A request about an instance whose user had these roles."""
    return VendordataRequest(
        INSTANCE, project_id=project_id, hostname="web-1", image_id="", boot_roles=BootRoles(roles)
    )


@pytest.mark.parametrize(
    ("roles", "project", "admitted"),
    [
        (("service",), "service", True),
        (("service",), "other", True),
        (("Service",), None, True),
        (("admin",), "service", True),
        (("Admin", "reader"), "service", True),
        (("admin",), "demo", False),
        (("admin",), "Service", False),
        (("admin",), None, False),
        (("member",), "service", False),
        (("member", "reader", "manager"), "demo", False),
        (("services",), "service", False),
        ((), "service", False),
    ],
)
def test_by_default_nova_may_ask(make: Make, roles: tuple[str, ...], project: str | None, admitted: bool) -> None:
    """The role ``service`` anywhere, ``admin`` in the project ``service``, and nobody else."""
    assert admitted is admits(make(None), Caller("user", project_name=project, roles=roles))


def test_who_may_not_ask_is_told_so(make: Make) -> None:
    """The message says no more than that."""
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
def test_the_operator_decides_who_may_ask(make: Make, rule: str, nova: bool, tenant: bool) -> None:
    """policy.yaml replaces the default rule."""
    policy = make(f"'vendordata:ask': '{rule}'\n")
    assert (nova, tenant) == (admits(policy, NOVA), admits(policy, TENANT))


@pytest.mark.parametrize("handler", ["mail", "dns"])
def test_by_default_every_handler_may_be_asked(make: Make, handler: str) -> None:
    """Who was admitted may ask for all of them."""
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
def test_a_handler_s_rule_looks_at_the_instance(
    make: Make, rule: str, request_: VendordataRequest, allowed: bool
) -> None:
    """The boot roles in any case, the project and the host name; and at the caller as well."""
    assert allowed is make(f"""'vendordata:handler:mail': "{rule}"\n""").allows("mail", request_, NOVA)


def test_a_handler_s_rule_is_for_that_handler(make: Make) -> None:
    """The others are as before."""
    assert True is make("'vendordata:handler:mail': '!'\n").allows("dns", booted(), NOVA)


def test_boot_roles_are_not_the_caller_s(make: Make) -> None:
    """The roles of Nova's account say nothing about the user who booted."""
    policy = make("'vendordata:handler:mail': 'boot_role:service'\n")
    assert False is policy.allows("mail", booted("member"), NOVA)


def test_before_the_body_there_are_no_boot_roles(make: Make) -> None:
    """A rule for asking at all that looks at them denies."""
    assert False is admits(make("'vendordata:ask': 'boot_role:service'\n"), NOVA)


def test_a_decision_is_remembered_for_five_seconds(make: Make, clock: Clock, tmp_path: Path) -> None:
    """After that the changed file holds."""
    policy = make("'vendordata:ask': 'role:service'\n")
    assert True is admits(policy, NOVA)
    rewrite(tmp_path, "'vendordata:ask': '!'\n", 1)
    assert True is admits(policy, NOVA)
    clock.now += 5.1
    assert False is admits(policy, NOVA)


#: Each is a policy file that cannot be used, and what start-up says about it.
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
    """Nothing is served under rules that nobody wrote."""
    with pytest.raises(ConfigError) as caught:
        make(text)
    assert f"policy.yaml: {message}" in str(caught.value)


@pytest.mark.parametrize("text", [text for text, _ in BROKEN.values()], ids=BROKEN)
def test_a_policy_that_breaks_later_admits_nobody(make: Make, clock: Clock, tmp_path: Path, text: str) -> None:
    """503 for as long as it is broken, and the new rules from then on."""
    policy = make("'vendordata:ask': 'role:service'\n")
    rewrite(tmp_path, text, 1)
    for _ in range(3):
        with pytest.raises(PolicyUnavailable, match=r"^the policy of the server cannot be read now$"):
            policy.admit(NOVA)
    rewrite(tmp_path, "'vendordata:ask': 'role:member'\n", 2)
    assert (False, True) == (admits(policy, NOVA), admits(policy, TENANT))


def test_a_policy_that_breaks_later_makes_the_server_unready(make: Make, tmp_path: Path) -> None:
    """Load balancers go elsewhere, and come back when it is mended."""
    policy = make("'vendordata:ask': 'role:service'\n")
    policy.check_ready()
    rewrite(tmp_path, next(iter(BROKEN.values()))[0], 1)
    with pytest.raises(PolicyUnavailable):
        policy.check_ready()
    rewrite(tmp_path, "'vendordata:ask': 'role:service'\n", 2)
    policy.check_ready()


def test_the_sample_has_every_rule() -> None:
    """``oslopolicy-sample-generator --namespace vendorsrv`` gives an operator something to start with."""
    command = [str(Path(sys.executable).with_name("oslopolicy-sample-generator")), "--namespace", "vendorsrv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rules = [line for line in done.stdout.splitlines() if line.startswith('#"')]
    assert [
        '#"vendordata:ask": "role:service or (role:admin and project_name:service)"',
        '#"vendordata:handler:NAME": "rule:vendordata:ask"',
    ] == rules


def test_the_tools_of_oslo_policy_get_the_same_rules() -> None:
    """``oslopolicy-checker`` and its kind ask for an enforcer."""
    cfg.CONF([])  # the tools have read their own command line by then
    assert [rule.name for rule in list_rules()] == list(sample_enforcer().registered_rules)


def test_who_was_admitted_does_not_fill_the_memory(make: Make) -> None:
    """When there are too many, all of them are decided about anew."""
    policy = make(None)
    for number in range(16_385):
        policy.admitted[Caller(str(number))] = True, float("inf")
    assert (True, 1) == (admits(policy, NOVA), len(policy.admitted))
