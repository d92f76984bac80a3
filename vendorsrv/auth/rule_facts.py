"""Facts of the instance in policy rules: the checks ``az:`` and ``image_property:``, and which facts a rule names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from oslo_policy import policy

from vendorsrv.instance import Facts, thaw

#: The values of a target that are facts, and the fact that has each.
OF_FACTS: Final = {"availability_zone": "server", "image_properties": "image", "project_domain_id": "project"}
#: The checks that compare such a value.
CHECKS: Final = {"az": "availability_zone", "image_property": "image_properties"}
#: A value of the target that a check names, such as ``%(project_domain_id)s``.
NAMED: Final = re.compile(r"%\(([^)]*)\)")
NO_NEEDS: Final[Mapping[str, bool]] = MappingProxyType({})


class FactsNeeded(Exception):
    """A rule names facts that the request does not have yet.

    :ivar needs: their names, as :class:`vendorsrv.facts.lookups.Lookups` takes them.
    """

    def __init__(self, needs: Mapping[str, bool]) -> None:
        super().__init__()
        self.needs = needs


class AvailabilityZoneCheck(policy.Check):
    """``az:ams1``: whether the instance is in this availability zone."""

    def __call__(self, target: Mapping[str, Any], creds: object, enforcer: object, current_rule: object = None) -> bool:
        return self.match == target.get("availability_zone")


class ImagePropertyCheck(policy.Check):
    """``image_property:os_distro=ubuntu``: whether the image has this property; an instance from a volume has none."""

    def __call__(self, target: Mapping[str, Any], creds: object, enforcer: object, current_rule: object = None) -> bool:
        name, _, value = self.match.partition("=")
        properties: Mapping[str, Any] = target.get("image_properties", {})
        return value == properties.get(name)


def leaves(check: Any) -> Iterator[Any]:
    """Yield the parts of a rule below its `and`, `or` and `not`."""
    inner = [*getattr(check, "rules", ()), *filter(None, [getattr(check, "rule", None)])]
    if not inner:
        yield check
    for each in inner:
        yield from leaves(each)


def parts_of(check: Any, rules: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the leaves of a rule and of the rules that it refers to, once each.

    :param rules: all rules, by name.
    """
    waiting, seen = [check], set()
    while waiting:
        for part in leaves(waiting.pop()):
            yield part
            if getattr(part, "kind", "") == "rule" and part.match not in seen:
                seen.add(part.match)
                with suppress(KeyError):
                    waiting.append(rules[part.match])


def find_needs(name: str, rules: Mapping[str, Any], *, sees_facts: bool, has_account: bool) -> Mapping[str, bool]:
    """Return the facts that a rule names, as :class:`vendorsrv.facts.lookups.Lookups` takes them.

    :param rules: all rules, by name.
    :param sees_facts: whether the rule is about an instance.
    :param has_account: whether facts can be looked up.
    :raises ValueError: the rule cannot have these facts, or one of its checks is incomplete.
    """
    named: set[str] = set()
    for part in parts_of(rules[name], rules):
        kind, match = (str(getattr(part, each, "")) for each in ("kind", "match"))
        if kind == "image_property" and not match.partition("=")[1]:
            raise ValueError(f"rule {name!r} has {kind}:{match}; write {kind}:NAME=VALUE")
        named.update(filter(None, map(OF_FACTS.get, (CHECKS.get(kind, ""), *NAMED.findall(match)))))
    if named and not sees_facts:
        raise ValueError(f"rule {name!r} is decided before the instance is known, and cannot name facts of it")
    if named and not has_account:
        raise ValueError(f"rule {name!r} names facts, which need an account: set [service_account] auth_type")
    return MappingProxyType({fact: True for fact in OF_FACTS.values() if fact in named}) if named else NO_NEEDS


def values_of(facts: Facts) -> dict[str, Any]:
    """Return what rules see of the facts that are known."""
    known = vars(facts)
    values: dict[str, Any] = {}
    if "server" in known:
        values["availability_zone"] = facts.server.availability_zone
    if "image" in known:
        values["image_properties"] = thaw(facts.image.properties) if facts.image else {}
    if "project" in known:
        values["project_domain_id"] = facts.project.domain_id
    return values
