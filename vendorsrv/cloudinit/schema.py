"""Which keys a cloud-config may have, and of which type: by cloud-init's own schema, or else by a table of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from jsonschema import Draft4Validator, ValidationError

from vendorsrv.cloudinit.keys import KEYS
from vendorsrv.suggest import did_you_mean

#: Where packages of distributions put cloud-init; the schema is used when it is one of them.
INSTALLED: Final = ("/usr/lib/python3/dist-packages", "/usr/lib/python3.*/site-packages")
SCHEMA: Final = "cloudinit/config/schemas/schema-cloud-config-v1.json"

WORDS: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "a string",
}


class Problem(NamedTuple):
    """What is wrong at one place of a cloud-config, in words that hold keys and no value, which may be a secret.

    :ivar unknown: it is only that nobody knows the key; a newer cloud-init may.
    """

    place: str
    text: str
    unknown: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def find_problems(config: Mapping[str, Any], also: Collection[str] = ()) -> Iterator[Problem]:
    """Say what cloud-init would not understand.

    :param config: a cloud-config, as JSON values.
    :param also: further top-level keys that are fine.
    """
    schema = installed_schema()
    known = {*KEYS, *also, *(types_of(schema) if schema else ())}
    for key, value in config.items():
        if key not in known:
            yield Problem(key, f"cloud-init has no such key{did_you_mean(key, known)}", unknown=True)
        elif KEYS.get(key) and json_type(value) not in KEYS[key]:
            yield Problem(key, f"must be {either(KEYS[key])}")
        elif schema:
            yield from find_in_value(schema, key, value)


def find_in_value(schema: Mapping[str, Any], key: str, value: Any) -> Iterator[Problem]:
    validator = Draft4Validator(schema)
    for module in modules_of(schema):
        if key in module.get("properties", {}):
            for error in validator.descend({key: value}, {"properties": {key: module["properties"][key]}}):
                yield explain(error)


def explain(error: ValidationError) -> Problem:
    """Put one of jsonschema's errors into words of our own; its message quotes the value."""
    below = [each for each in error.context or () if each.path]
    if below:  # one of several forms is meant, and something in it is wrong
        return explain(below[0])
    kinds = [each.validator_value for each in error.context or () if each.validator == "type"]
    if kinds and len(kinds) == len(error.context or ()):
        return Problem(place_of(error), f"must be {either(one for kind in kinds for one in listed(kind))}")
    return Problem(place_of(error), reason(error), unknown=error.validator == "additionalProperties")


def reason(error: ValidationError) -> str:
    rule, wanted = str(error.validator), error.validator_value
    if rule == "type":
        return f"must be {either(listed(wanted))}"
    if rule == "additionalProperties" and isinstance(error.schema, Mapping):
        allowed = error.schema.get("properties", {})
        name = next(name for name in error.instance if name not in allowed)
        return f"has no such key {name}{did_you_mean(name, allowed)}"
    if rule == "required":
        return f"lacks {next(name for name in listed(wanted) if name not in error.instance)}"
    return f"does not fit cloud-init's schema ({rule})"


def listed(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def place_of(error: ValidationError) -> str:
    first, *below = error.absolute_path
    return str(first) + "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in below)


def either(types: Iterable[str]) -> str:
    return " or ".join(WORDS[each] for each in sorted(set(types)))


def json_type(value: Any) -> str:
    """Name the JSON type of a value; whole numbers are numbers, and so the table has both."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", dict: "object"}
    return names.get(type(value), "array")


@lru_cache(maxsize=1)
def installed_schema() -> Mapping[str, Any] | None:
    """Read the schema of the cloud-init that is installed here, or give None."""
    for pattern in INSTALLED:
        for path in sorted(Path("/").glob(f"{pattern[1:]}/{SCHEMA}")):
            schema: dict[str, Any] = json.loads(path.read_bytes())
            return schema
    return None


def modules_of(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [schema["$defs"][each["$ref"].rpartition("/")[2]] for each in schema["allOf"]]


def types_of(schema: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Give the JSON types that a schema of cloud-init's allows for each top-level key."""
    types: dict[str, set[str]] = {}
    for module in modules_of(schema):
        for key, rule in module.get("properties", {}).items():
            types.setdefault(key, set()).update(types_in(schema, rule))
    return {key: tuple(sorted(each)) for key, each in sorted(types.items())}


def types_in(schema: Mapping[str, Any], rule: Mapping[str, Any]) -> set[str]:
    if "type" in rule:
        own = set(listed(rule["type"]))
        return own | ({"integer"} if "number" in own else set())
    if "$ref" in rule:
        return types_in(schema, schema["$defs"][rule["$ref"].rpartition("/")[2]])
    if "enum" in rule:
        return {json_type(value) for value in rule["enum"]}
    return {
        each for name in ("oneOf", "anyOf", "allOf") for one in rule.get(name, ()) for each in types_in(schema, one)
    }
