"""Whether a caller may request vendordata at all, and of this handler for this instance, by oslo.policy."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

import anyio
from anyio.to_thread import run_sync
from cachetools import TTLCache
from oslo_config import cfg
from oslo_policy import policy
from oslo_policy.policy import DocumentedRuleDefault, Enforcer

from vendorsrv.auth.rule_facts import NO_NEEDS, OF_FACTS, FactsNeeded, find_needs, values_of
from vendorsrv.auth.rule_files import RuleFiles
from vendorsrv.concurrency import SingleFlight
from vendorsrv.errors import ConfigError, Forbidden, PolicyUnavailable
from vendorsrv.instance import NO_FACTS
from vendorsrv.request import BootRoles, Caller, VendordataRequest
from vendorsrv.telemetry.tracebacks import without_secrets

LOG = logging.getLogger(__name__)

ASK: Final = "vendordata:ask"
SAME_AS_ASK: Final = f"rule:{ASK}"
#: Seconds for which a decision about a caller, or of another server, holds, even if the policy file changes.
REMEMBER_FOR: Final = 5.0
DECISIONS: Final = 16_384
#: Threads for rules that ask another server.
REMOTE_THREADS: Final = 16
#: Seconds that such a server may take for each of its steps; oslo.policy's default is 60.
REMOTE_TIMEOUT: Final = 2.0
DENIED: Final = "the owner of the token may not ask for vendordata"
NOBODY: Final = Caller(user_id="")
UNDECIDED: Final = (NOBODY, False, float("-inf"))


class RemoteRule(Exception):
    """A rule that was evaluated on the event loop asks another server (``http:`` or ``https:``)."""


class LocalTarget(dict[str, Any]):
    """The target of a rule that is evaluated on the event loop, which must not wait for another server.

    oslo.policy's ``HttpCheck`` copies its target before it asks (``oslo_policy/_external.py``); nothing else does. So
    rules without ``http:`` cost nothing, wherever in ``and``, ``or``, ``not`` and ``rule:`` one could be.
    """

    def __deepcopy__(self, _: object) -> NoReturn:
        raise RemoteRule


# Above the first rule: to parse it, oslo.policy loads this class by its entry point while this module is imported.
class BootRoleCheck(policy.Check):
    """``boot_role:mail-admin``: whether the user who booted the instance had this role, in upper or lower case."""

    def __call__(self, target: Mapping[str, Any], creds: object, enforcer: object, current_rule: object = None) -> bool:
        return self.match in target.get("boot_roles", BootRoles())


# Nova's service account has the role `service` in new deployments, and `admin` in the project `service` of the default
# domain in those of kolla-ansible and others; a tenant has neither. Another domain may have a project of that name.
ASK_RULE: Final = DocumentedRuleDefault(
    name=ASK,
    check_str="role:service or (role:admin and project_name:service and project_domain_id:default)",
    description="Request vendordata: by default, only Nova's service account. "
    "Checked before the body is parsed, so a rule sees the caller only.",
    operations=[{"path": "/{handler}", "method": "POST"}, {"path": "/", "method": "POST"}],
)


def handler_rule(name: str) -> DocumentedRuleDefault:
    """Return the rule of a handler; by default it is :data:`ASK_RULE`."""
    return DocumentedRuleDefault(
        name=rule_name(name),
        check_str=SAME_AS_ASK,
        description=f"Request the answer of handler {name} for an instance. The target has instance_id, project_id, "
        "image_id, hostname and project_domain_id; boot_role:NAME checks the roles of the user who booted the "
        "instance, az:NAME its availability zone, and image_property:NAME=VALUE a property of its image.",
        operations=[{"path": f"/{name}", "method": "POST"}],
    )


def rule_name(handler: str) -> str:
    return f"vendordata:handler:{handler}"


class Policy:
    """The rules of ``policy.yaml`` and the defaults of those that it lacks.

    :param conf: with ``[oslo_policy]``.
    :param handlers: the names of the enabled handlers.
    :param clock: seconds that only go forward.
    :param has_account: whether facts of instances can be looked up.
    :ivar needs: the facts that rules name, by rule, as :class:`vendorsrv.facts.lookups.Lookups` takes them; most rules
        name none.
    :raises ConfigError: the policy file cannot be parsed, refers to a rule that does not exist, or names facts that its
        rules cannot have.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        handlers: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
        *,
        has_account: bool = False,
    ) -> None:
        self.enforcer = Enforcer(conf)
        self.has_account = has_account
        self.needs: dict[str, Mapping[str, bool]] = {}
        self.files = RuleFiles(self.enforcer, self.find_needs)
        conf.set_default("remote_timeout", REMOTE_TIMEOUT, group="oslo_policy")
        self.enforcer.register_defaults([ASK_RULE, *map(handler_rule, handlers)])
        self.compared: dict[str, tuple[object, bool]] = {}
        self.clock = clock
        # By id(), because the hash of a Caller takes 0.5 µs and a cached token keeps the same one. Each value holds its
        # Caller, so that no other object gets the same id.
        self.decisions: dict[int, tuple[Caller, bool, float]] = {}
        self.threads = anyio.CapacityLimiter(REMOTE_THREADS)
        self.single_flight: SingleFlight[bool] = SingleFlight()
        self.verdicts: TTLCache[object, bool] = TTLCache(DECISIONS, REMEMBER_FOR, clock)
        try:
            self.files.load()
            self.enforcer.check_rules(raise_on_violation=True)
        except (TypeError, AttributeError):
            raise ConfigError(f"{conf.oslo_policy.policy_file}: it must map names to rules") from None
        except (OSError, ValueError, cfg.Error, policy.InvalidDefinitionError) as error:
            raise ConfigError(f"{conf.oslo_policy.policy_file}: {error}") from None

    def admit(self, caller: Caller) -> None:
        """Check the rule ``vendordata:ask``. The decision is remembered for :data:`REMEMBER_FOR` seconds.

        :raises Forbidden: the rule denies the caller.
        :raises PolicyUnavailable: the policy file has become unreadable.
        :raises RemoteRule: :meth:`admit_remotely` has to decide.
        """
        _, allowed, until = self.decisions.get(id(caller), UNDECIDED)
        if self.clock() >= until:
            allowed = self.enforce(ASK, {}, caller)
            if len(self.decisions) >= DECISIONS:
                self.decisions.clear()
            self.decisions[id(caller)] = caller, allowed, self.clock() + REMEMBER_FOR
        if not allowed:
            raise Forbidden(DENIED)

    async def admit_remotely(self, caller: Caller, seconds: float) -> None:
        """Like :meth:`admit`, when the rule asks another server.

        :param seconds: for how long to wait.
        :raises PolicyUnavailable: the other server did not answer in time.
        """
        if not await self.ask(ASK, {}, caller, seconds):
            raise Forbidden(DENIED)

    def check_ready(self) -> None:
        """Raise PolicyUnavailable if the rules cannot be read."""
        with suppress(RemoteRule):
            self.enforce(ASK, {}, NOBODY)

    def allows(self, handler: str, request: VendordataRequest, caller: Caller) -> bool:
        """Whether the handler's rule allows the request.

        :param caller: one that :meth:`admit` has admitted.
        :raises PolicyUnavailable: the policy file has become unreadable.
        :raises FactsNeeded: the request has to have these facts first.
        :raises RemoteRule: :meth:`allows_remotely` has to decide.
        """
        rule = rule_name(handler)
        return self.is_same_as_ask(rule) or self.enforce(rule, target_of(request), caller)

    async def allows_remotely(self, handler: str, request: VendordataRequest, caller: Caller, seconds: float) -> bool:
        """Like :meth:`allows`, when the rule asks another server.

        :param seconds: for how long to wait.
        :raises PolicyUnavailable: the other server did not answer in time.
        """
        return await self.ask(rule_name(handler), target_of(request), caller, seconds)

    async def ask(self, rule: str, target: Mapping[str, Any], caller: Caller, seconds: float) -> bool:
        """Evaluate a rule in a thread. The verdict is remembered for :data:`REMEMBER_FOR` seconds."""
        key = (rule, caller, hashlib.sha256(repr(target).encode()).digest())
        verdict = self.verdicts.get(key)
        if verdict is None:
            try:
                verdict = await self.single_flight.run(
                    key, lambda: self.ask_once(rule, target, caller, seconds), seconds
                )
            except TimeoutError:
                raise PolicyUnavailable("the server of a policy rule did not answer in time") from None
            self.verdicts[key] = verdict
        return verdict

    async def ask_once(self, rule: str, target: Mapping[str, Any], caller: Caller, seconds: float) -> bool:
        # Not enforce(), which loads a changed file, and the event loop does that too.
        check = self.enforcer.rules[rule]
        self.require_facts(rule, target)
        try:
            with anyio.fail_after(seconds):  # ends the wait for a thread
                return bool(
                    await run_sync(check, target, credentials(caller), self.enforcer, rule, limiter=self.threads)
                )
        except TimeoutError:
            raise
        except (OSError, RuntimeError, ValueError, LookupError) as error:
            LOG.warning("the server of policy rule %s: %s: %s", rule, type(error).__name__, without_secrets(error))
            raise PolicyUnavailable("the server of a policy rule does not answer") from None

    def is_same_as_ask(self, rule: str) -> bool:
        # str() of a check takes 2 µs, so its result is remembered; a changed file replaces the check.
        check = self.enforcer.rules.get(rule)
        known, is_same = self.compared.get(rule, (None, False))
        if check is not known:
            is_same = str(check) == SAME_AS_ASK
            self.compared[rule] = check, is_same
        return is_same

    def find_needs(self) -> None:
        """Find the facts that the rules name; called when they were read.

        :raises ValueError: a rule cannot have them.
        """
        rules, account = self.enforcer.rules, self.has_account
        for name in self.enforcer.registered_rules:
            self.needs[name] = find_needs(name, rules, sees_facts=name != ASK, has_account=account)

    def require_facts(self, rule: str, target: Mapping[str, Any]) -> None:
        """Raise FactsNeeded if the rule names facts that the target lacks: a check would take it for a denial."""
        needs = self.needs.get(rule, NO_NEEDS)
        if needs and any(fact in needs and value not in target for value, fact in OF_FACTS.items()):
            raise FactsNeeded(needs)

    def enforce(self, rule: str, target: Mapping[str, Any], caller: Caller) -> bool:
        try:
            self.files.load()
            self.require_facts(rule, target)
            return bool(self.enforcer.enforce(rule, LocalTarget(target), credentials(caller)))
        except (LookupError, RuntimeError):  # the URL names a value that the target lacks; a certificate is missing
            raise RemoteRule from None
        except (OSError, ValueError, TypeError, AttributeError, cfg.Error) as error:  # gone, no YAML, or no mapping
            LOG.error("the policy file cannot be read: %s: %s", type(error).__name__, without_secrets(error))
            raise PolicyUnavailable("the server's policy file cannot be read") from None


def target_of(request: VendordataRequest) -> dict[str, Any]:
    """Return what rules see of a request. oslo.policy logs it at debug level: no user-data and no metadata."""
    target = {
        "instance_id": request.instance_id,
        "project_id": request.project_id,
        "image_id": request.image_id,
        "hostname": request.hostname,
        "boot_roles": request.boot_roles,
    }
    return target if request.facts is NO_FACTS else {**target, **values_of(request.facts)}


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
    """Return the rules for ``oslopolicy-sample-generator --namespace vendorsrv``."""
    return [ASK_RULE, handler_rule("NAME")]


def sample_enforcer() -> Enforcer:
    """Return an enforcer with all rules for the ``oslopolicy-*`` commands, which parse its configuration."""
    enforcer = Enforcer(cfg.CONF)
    enforcer.register_defaults(list_rules())
    return enforcer
