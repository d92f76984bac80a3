"""Check a cloud-config against the installed cloud-init's schema, or against a table of its top-level keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from jsonschema import Draft4Validator, ValidationError

from vendorsrv.cloudinit.keys import DISPUTED, ITEMS, KEYS
from vendorsrv.suggest import did_you_mean

#: Where the packages of distributions install cloud-init.
INSTALLED: Final = ("/usr/lib/python3/dist-packages", "/usr/lib/python3.*/site-packages")
SCHEMA: Final = "cloudinit/config/schemas/schema-cloud-config-v1.json"

WORDS: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "a string",
}


class Violation(NamedTuple):
    """A violation of the schema. The message contains keys and no values, which may be secret.

    :ivar is_unknown_key: whether it is about a key that this version of the schema does not have.
    """

    path: str
    message: str
    is_unknown_key: bool = False

    @property
    def is_disputed(self) -> bool:
        """Whether another supported version of cloud-init allows it."""
        return DISPUTED.match(self.path) is not None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def find_violations(config: Mapping[str, Any], also: Collection[str] = ()) -> Iterator[Violation]:
    """Return the violations in a cloud-config of JSON values.

    :param also: further allowed top-level keys.
    """
    schema = installed_schema()
    rules = rules_of(schema)
    known = {*KEYS, *also, *(key for key, _ in rules)}
    for key, value in config.items():
        if key not in known:
            yield Violation(key, f"cloud-init has no such key{did_you_mean(key, known)}", is_unknown_key=True)
        elif KEYS.get(key) and json_type(value) not in KEYS[key]:
            yield Violation(key, f"must be {either(KEYS[key])}")
        else:
            for rule in (rule for name, rule in rules if name == key):
                yield from map(explain, Draft4Validator(schema).descend(value, rule, path=key))


def find_fatal(config: Mapping[str, Any]) -> Iterator[Violation]:
    """Return what makes a module of cloud-init fail: a list, a mapping or a single value in the place of another.

    All else in the schema is advice: cloud-init logs a line, and goes on.
    """
    for key, value in config.items():
        kinds = {kind_of(each) for each in KEYS.get(key, ())}
        if key == "packages":  # None is none, and a text is one
            kinds |= {"null", "single value"}
        if kinds and kind_of(json_type(value)) not in kinds:
            yield Violation(key, f"must be {either(KEYS[key])}")
        elif key in ITEMS and isinstance(value, list):
            wrong = (number for number, each in enumerate(value) if json_type(each) not in ITEMS[key])
            yield from (Violation(f"{key}[{number}]", f"must be {either(ITEMS[key])}") for number in wrong)


def kind_of(type_name: str) -> str:
    return type_name if type_name in ("array", "null", "object") else "single value"


def explain(error: ValidationError) -> Violation:
    """Return a violation without the value, which jsonschema's own message quotes."""
    below = [each for each in error.context or () if each.path]
    if below:  # one of several alternatives, whose members are wrong
        return explain(below[0])
    kinds = [each.validator_value for each in error.context or () if each.validator == "type"]
    if kinds and len(kinds) == len(error.context or ()):
        return Violation(path_of(error), f"must be {either(one for kind in kinds for one in listed(kind))}")
    return Violation(path_of(error), reason(error), is_unknown_key=error.validator == "additionalProperties")


def reason(error: ValidationError) -> str:
    rule, wanted = str(error.validator), error.validator_value
    if rule == "type":
        return f"must be {either(listed(wanted))}"
    if rule == "additionalProperties" and isinstance(error.schema, Mapping):
        allowed = error.schema.get("properties", {})
        name = next(name for name in error.instance if name not in allowed)
        return f"unknown key {name}{did_you_mean(name, allowed)}"
    if rule == "required":
        return f"{next(name for name in listed(wanted) if name not in error.instance)} is required"
    return f"violates cloud-init's schema ({rule})"


def listed(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def path_of(error: ValidationError) -> str:
    first, *below = error.absolute_path
    return str(first) + "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in below)


def either(types: Iterable[str]) -> str:
    return " or ".join(WORDS[each] for each in sorted(set(types)))


def json_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", list: "array", type(None): "null", dict: "object"}
    return names.get(type(value), "string")  # YAML's dates and binary values, too


@lru_cache(maxsize=1)
def installed_schema() -> Mapping[str, Any]:
    """Return the schema of the cloud-init that is installed on this machine, or an empty one."""
    paths = (path for pattern in INSTALLED for path in sorted(Path("/").glob(f"{pattern[1:]}/{SCHEMA}")))
    return next((json.loads(path.read_bytes()) for path in paths), {})


def rules_of(schema: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the top-level keys with their rules; several modules of cloud-init can have rules for one key."""
    modules = [schema["$defs"][each["$ref"].rpartition("/")[2]] for each in schema.get("allOf", ())]
    return [rule for module in modules for rule in module.get("properties", {}).items()]
