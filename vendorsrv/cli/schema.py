"""The command ``vendorsrv schema``."""

from __future__ import annotations

import json
from typing import Final

import click

from vendorsrv.errors import ConfigError
from vendorsrv.handlers.registry import find

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@click.command()
@click.argument("handler")
def schema(handler: str) -> None:
    """Print the JSON Schema of a handler's answer, for programs that read it in the guest.

    HANDLER is the name of an installed handler, or module:Class. The handler has nothing for an instance where the
    answer is {}.
    """
    found, problems = find([handler])
    if problems:
        raise ConfigError(problems[0])
    (each,) = (every.handler for every in found)
    if each.answer is None:
        raise ConfigError(f"handler {each.name} declares no answer: class {each.__name__} needs answer = a model")
    click.echo(json.dumps({"$schema": DIALECT, **each.answer.model_json_schema(mode="serialization")}, indent=2))
