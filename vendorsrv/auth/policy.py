"""May this caller ask at all, and for this handler and instance: oslo.policy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from oslo_config import cfg
from oslo_policy import policy
from oslo_policy.policy import DocumentedRuleDefault, Enforcer

from vendorsrv.errors import ConfigError, Forbidden, PolicyUnavailable
from vendorsrv.request import BootRoles, Caller, VendordataRequest

LOG = logging.getLogger(__name__)

ASK: Final = "vendordata:ask"
SAME_AS_ASK: Final = f"rule:{ASK}"
#: Seconds until a changed policy file holds for a caller who was let in before.
REMEMBER_FOR: Final = 5.0
CALLERS: Final = 16_384
UNKNOWN: Final = (False, float("-inf"))
NOBODY: Final = Caller(user_id="")
#: A policy file that is no YAML, or no mapping of names to strings, or may not be read.
UNREADABLE: Final = (ValueError, TypeError, AttributeError, cfg.Error)


# Before the first rule: parsing one makes oslo.policy load this class by its entry point, from this half-made module.
class BootRoleCheck(policy.Check):
    """``boot_role:mail-admin``: the user who booted the instance had the role, in any case."""

    def __call__(
        self,
        target: Mapping[str, Any],
        creds: MutableMapping[str, Any],
        enforcer: Enforcer,
        current_rule: str | None = None,
    ) -> bool:
        return self.match in target.get("boot_roles", BootRoles())


# Nova's service account has the role `service` in new deployments, and `admin` in the project `service` in those of
# kolla-ansible and others; a tenant has neither.
ASK_RULE: Final = DocumentedRuleDefault(
    name=ASK,
    check_str="role:service or (role:admin and project_name:service)",
    description="Ask for vendordata: Nova's service account, and nobody else. "
    "Checked before the body is parsed, so only the caller can be looked at.",
    operations=[{"path": "/{handler}", "method": "POST"}, {"path": "/", "method": "POST"}],
)


def handler_rule(name: str) -> DocumentedRuleDefault:
    """Give the rule of one handler; by default it asks for nothing more than :data:`ASK_RULE`."""
    return DocumentedRuleDefault(
        name=rule_name(name),
        check_str=SAME_AS_ASK,
        description=f"Ask handler {name} about an instance. The target has instance_id, project_id, image_id and "
        "hostname; boot_role:NAME looks at the roles that the booting user had.",
        operations=[{"path": f"/{name}", "method": "POST"}],
    )


def rule_name(handler: str) -> str:
    return f"vendordata:handler:{handler}"


class Policy:
    """The rules of ``policy.yaml`` over the defaults; one for each worker.

    :param conf: with ``[oslo_policy]``.
    :param handlers: the names of the enabled handlers.
    :param clock: seconds that only go forward.
    :raises ConfigError: the policy file cannot be parsed, or uses a rule that does not exist.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, handlers: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.enforcer = Enforcer(conf)
        self.enforcer.register_defaults([ASK_RULE, *map(handler_rule, handlers)])
        self.rules = {name: rule_name(name) for name in handlers}
        self.seen: dict[str, tuple[object, bool]] = {}
        self.broken = False
        self.clock = clock
        #: What was decided of whom, and until when that holds.
        self.admitted: dict[Caller, tuple[bool, float]] = {}
        try:
            self.enforcer.load_rules()
            self.enforcer.check_rules(raise_on_violation=True)
        except (TypeError, AttributeError):
            raise ConfigError(f"{conf.oslo_policy.policy_file}: it must map names to rules") from None
        except (ValueError, cfg.Error, policy.InvalidDefinitionError) as error:
            raise ConfigError(f"{conf.oslo_policy.policy_file}: {error}") from None

    def admit(self, caller: Caller) -> None:
        """Let the caller ask, whatever about. What was decided is remembered for :data:`REMEMBER_FOR` seconds.

        :raises Forbidden: the rule ``vendordata:ask`` says no.
        :raises PolicyUnavailable: the policy file was broken meanwhile.
        """
        allowed, until = self.admitted.get(caller, UNKNOWN)
        if self.clock() >= until:
            allowed = self.enforce(ASK, {}, caller)
            if len(self.admitted) >= CALLERS:
                self.admitted.clear()
            self.admitted[caller] = allowed, self.clock() + REMEMBER_FOR
        if not allowed:
            raise Forbidden("the owner of the token may not ask for vendordata")

    def check_ready(self) -> None:
        """Find out whether the rules can be read.

        :raises PolicyUnavailable: the policy file is broken.
        """
        self.enforce(ASK, {}, NOBODY)

    def allows(self, handler: str, request: VendordataRequest, caller: Caller) -> bool:
        """Say whether the request may be given to this handler.

        :param caller: who asks, and was admitted.
        :raises PolicyUnavailable: the policy file was broken meanwhile.
        """
        rule = self.rules[handler]
        if self.is_same_as_ask(rule):
            return True
        return self.enforce(rule, target_of(request), caller)

    def is_same_as_ask(self, rule: str) -> bool:
        # Remembered as long as it is the same object, which a changed file replaces: to write it out takes 2 µs.
        check = self.enforcer.rules.get(rule)
        seen, is_same = self.seen.get(rule, (None, False))
        if check is not seen:
            is_same = str(check) == SAME_AS_ASK
            self.seen[rule] = check, is_same
        return is_same

    def enforce(self, rule: str, target: Mapping[str, Any], caller: Caller) -> bool:
        try:
            if self.broken:  # oslo.policy itself goes on with the rules from before the change
                self.enforcer.load_rules(force_reload=True)
            allowed = bool(self.enforcer.enforce(rule, target, credentials(caller)))
        except UNREADABLE as error:
            LOG.error("the policy file cannot be used: %s: %s", type(error).__name__, error)
            self.broken = True
            raise PolicyUnavailable("the policy of the server cannot be read now") from None
        self.broken = False
        return allowed


def target_of(request: VendordataRequest) -> dict[str, Any]:
    # oslo.policy logs the target at debug level: neither user-data nor metadata may be in it.
    return {
        "instance_id": request.instance_id,
        "project_id": request.project_id,
        "image_id": request.image_id,
        "hostname": request.hostname,
        "boot_roles": request.boot_roles,
    }


def credentials(caller: Caller) -> dict[str, Any]:
    return {
        "user_id": caller.user_id,
        "user_domain_id": caller.user_domain_id,
        "project_id": caller.project_id,
        "project_name": caller.project_name,
        "project_domain_id": caller.project_domain_id,
        "roles": list(caller.roles),
    }


def list_rules() -> list[DocumentedRuleDefault]:
    """Give the rules to ``oslopolicy-sample-generator --namespace vendorsrv``."""
    return [ASK_RULE, handler_rule("NAME")]


def sample_enforcer() -> Enforcer:
    """Give an enforcer with all rules to the ``oslopolicy-*`` commands, which parse its configuration themselves."""
    enforcer = Enforcer(cfg.CONF)
    enforcer.register_defaults(list_rules())
    return enforcer
