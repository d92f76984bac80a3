"""Check the rules of ``policy.yaml``, some of which oslo.policy silently ignores or denies."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml
from oslo_config import cfg

from vendorsrv.auth.account import is_set
from vendorsrv.auth.policy import ASK, Policy, credentials, rule_name, target_of
from vendorsrv.auth.rule_facts import CHECKS, NAMED, OF_FACTS, leaves
from vendorsrv.check.findings import Finding, IniFile, Severity
from vendorsrv.errors import ConfigError
from vendorsrv.proxy.options import is_loopback
from vendorsrv.request import Caller, VendordataRequest
from vendorsrv.settings import read
from vendorsrv.suggest import did_you_mean

DEFAULT_FILE: Final = "policy.yaml"
SECTION: Final = "oslo_policy"
#: What oslo.policy puts in the place of a rule, or a part of one, that it cannot parse.
DENY: Final = "!"
ALLOW: Final = "@"
KINDS: Final = (*CHECKS, "boot_role", "http", "https", "role", "rule")
#: Of these, those that ask another server.
REMOTE: Final = ("http", "https")
OF_CALLER: Final = tuple(credentials(Caller(user_id="")))
OF_INSTANCE: Final = (*target_of(VendordataRequest("")), *OF_FACTS)
#: What names the project of Nova's account and its domain.
OF_PROJECT: Final = tuple(
    map(
        cfg.StrOpt,
        ("project_name", "project_domain_id", "project_domain_name", "default_domain_id", "default_domain_name"),
    )
)


def find_in_policy(
    ini: IniFile, conf: cfg.ConfigOpts, handlers: Sequence[str], nova: IniFile | None = None
) -> Iterator[Finding]:
    """Yield the findings about the policy.

    :param conf: with the options of ``[oslo_policy]``.
    :param handlers: the names of the enabled handlers.
    :param nova: a nova.conf whose account has to be admitted.
    """
    wanted = conf.oslo_policy.policy_file
    path = conf.find_file(wanted)
    lines: dict[str, int] = {}
    if path is None and wanted != DEFAULT_FILE:
        yield ini.warning(f"{wanted} does not exist; the default rules apply", SECTION, "policy_file")
    if path is not None:
        lines, broken = read_lines(path)
        yield from broken
        if broken:
            return
    try:
        policy = Policy(conf, handlers, has_account=is_set(conf))
    except ConfigError as error:
        line = next((lines[name] for name in lines if repr(name) in str(error)), None)
        yield Finding("error", path or ini.path, line, None, None, str(error))
        return
    yield from find_in_rules(policy, path or wanted, lines)
    if nova and not nova.broken and ASK not in policy.enforcer.file_rules:
        yield from find_in_project(nova)


def read_lines(path: str) -> tuple[dict[str, int], list[Finding]]:
    """Return the line of each rule of a policy file, and an error for each entry that is not a rule."""
    try:
        node = yaml.compose(Path(path).read_text(), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError):
        return {}, [Finding("error", path, None, None, None, "this file cannot be read")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return {}, [Finding("error", path, mark and mark.line + 1, None, None, "this file is not YAML")]
    if node is None:
        return {}, []
    if not isinstance(node, yaml.MappingNode):
        return {}, [Finding("error", path, node.start_mark.line + 1, None, None, "this file must map names to rules")]
    broken = [
        Finding("error", path, key.start_mark.line + 1, None, str(key.value), "a rule must be a string")
        for key, value in node.value
        if not value.tag.endswith((":str", ":seq"))
    ]
    return {str(key.value): key.start_mark.line + 1 for key, _ in node.value}, broken


def find_in_rules(policy: Policy, path: str, lines: dict[str, int]) -> Iterator[Finding]:
    enforcer = policy.enforcer
    parts = {name: list(leaves(rule.check)) for name, rule in enforcer.file_rules.items()}
    used = {part.match for each in parts.values() for part in each if getattr(part, "kind", "") == "rule"}
    for name, rule in enforcer.file_rules.items():
        line = lines.get(name)
        if name not in enforcer.registered_rules and name not in used:
            severity, reason = explain_unused(name, enforcer.registered_rules)
            yield Finding(severity, path, line, None, name, reason)
        if DENY in map(str, parts[name]) and DENY not in str(rule.check_str):
            yield Finding("error", path, line, None, name, "a part of this rule cannot be parsed and denies everything")
        for kind in filter(None, map(unknown_kind, parts[name])):
            hint = did_you_mean(kind, [*OF_CALLER, *KINDS])
            yield Finding("error", path, line, None, name, f"unknown attribute {kind}{hint}")
        for value in unknown_values(parts[name]) if name != ASK else ():
            hint = did_you_mean(value, OF_INSTANCE)
            yield Finding("error", path, line, None, name, f"unknown value %({value})s{hint}")
        for part in parts[name]:
            for reason in find_in_remote(part, name, enforcer.conf):
                yield Finding("warning", path, line, None, name, reason)
        kinds = {str(getattr(part, "kind", "")) for part in parts[name]}
        if "project_name" in kinds and not kinds & {"project_id", "project_domain_id"}:
            reason = "another domain may have a project of this name; add `and project_domain_id:default`"
            yield Finding("warning", path, line, None, name, reason)
        if name == ASK and str(rule.check) == ALLOW:
            yield Finding("warning", path, line, None, name, "this rule admits every valid token, even a tenant's")


def explain_unused(name: str, known: Collection[str]) -> tuple[Severity, str]:
    prefix = rule_name("")
    if name.startswith(prefix):  # a handler may be disabled for a while
        handlers = [each.removeprefix(prefix) for each in known if each.startswith(prefix)]
        return "warning", f"no handler of this name is enabled{did_you_mean(name.removeprefix(prefix), handlers)}"
    hint = did_you_mean(name, known)
    return "error" if hint else "warning", f"nothing uses this rule{hint}"


def find_in_project(nova: IniFile) -> Iterator[Finding]:
    """Yield a warning if the role admin in the project of Nova's account is not enough for the default rule."""
    # It imports openstacksdk, which a starting server does not need.
    from vendorsrv.nova.credentials import NOVA_GROUP, open_nova_conf

    values, _ = read(open_nova_conf(nova.path), NOVA_GROUP, OF_PROJECT)
    project, *domains = (values.get(option.dest) for option in OF_PROJECT)
    domain = next(filter(None, domains), None)
    if project == "service" and domain and domain.lower() != "default":
        reason = (
            f"by default, the role admin in the project service of the domain {domain} is not admitted; "
            f"give Nova's account the role service, or set the rule {ASK}"
        )
        yield nova.warning(reason, NOVA_GROUP, "project_name")


def unknown_kind(part: Any) -> str | None:
    """Return the unknown attribute of callers that a part compares, if any; literals such as 'a' are not names."""
    kind = str(getattr(part, "kind", ""))
    known = kind in KINDS or kind.partition(".")[0] in OF_CALLER or not re.fullmatch(r"[a-z_.]+", kind)
    return None if known else kind


def unknown_values(parts: Iterable[Any]) -> list[str]:
    """Return the values that parts of a rule name and that no instance has: such a part denies."""
    named = [value for part in parts for value in NAMED.findall(getattr(part, "match", ""))]
    return [value for value in dict.fromkeys(named) if value not in OF_INSTANCE]


def find_in_remote(part: Any, rule: str, conf: cfg.ConfigOpts) -> Iterator[str]:
    """Yield what is wrong with a part of a rule that asks another server."""
    kind = getattr(part, "kind", "")
    if kind not in REMOTE:
        return
    if kind == "http" and not is_loopback(urlsplit(str(part)).hostname or ""):
        yield "anybody on the network can answer in place of this rule's server; use https:"
    if kind == "https" and not conf.oslo_policy.remote_ssl_verify_server_crt:
        yield "the certificate of this rule's server is not verified; set [oslo_policy] remote_ssl_verify_server_crt"
    if rule == ASK and "%(" in part.match:
        yield "this URL names a value of the instance, which this rule does not see: every request is answered 503"
    if conf.oslo_policy.remote_timeout >= conf.vendorsrv.request_timeout:
        yield "[oslo_policy] remote_timeout must be less than request_timeout, or a thread waits for nobody"
