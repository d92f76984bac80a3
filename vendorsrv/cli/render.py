"""The command ``vendorsrv render``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import click
import yaml
from oslo_config import cfg

from vendorsrv.answer import to_bytes
from vendorsrv.auth.account import is_set
from vendorsrv.cloudinit.dry_run import DryRun, dry_run
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.mime import from_json, join, numbered
from vendorsrv.cloudinit.parts import Part
from vendorsrv.cloudinit.render import Rendered, static_text
from vendorsrv.cloudinit.render import render as render_answer
from vendorsrv.errors import ConfigError, VendordataError
from vendorsrv.facts.given import facts_for, read_facts
from vendorsrv.facts.lookups import Lookups
from vendorsrv.handler import defines_handle
from vendorsrv.handlers.clients import Clients
from vendorsrv.handlers.registry import EnabledHandler, Registry, find
from vendorsrv.instance import Fact, required
from vendorsrv.nova.payload import build_payload, read_file, read_payload
from vendorsrv.pins.admin import answers_of
from vendorsrv.request import VendordataRequest
from vendorsrv.settings import Settings, open_config
from vendorsrv.telemetry.metrics import Metrics

FILE = click.Path(path_type=Path)
#: Facts by their names in ``request.facts``.
Known = Mapping[str, Fact | None]


@click.command(short_help="Show what an instance's cloud-init would get.")
@click.argument("handlers", metavar="HANDLER...", nargs=-1, required=True)
@click.option(
    "--config-file", multiple=True, metavar="FILE", help="The server's INI file or files; by default sample values."
)
@click.option("--payload", type=FILE, help="A JSON file with Nova's body; by default that of an invented instance.")
@click.option("--boot-roles", metavar="A,B", help="Roles of the user who boots the instance, separated by commas.")
@click.option("--hostname", help="The instance's short host name.")
@click.option("--user-data", type=FILE, help="A file with the user-data, as the instance sees it.")
@click.option("--static", type=FILE, help="The file of static vendordata: Nova's [api] vendordata_jsonfile_path.")
@click.option("--facts", type=FILE, help="A JSON file with the facts of the instance that handlers need.")
@click.option(
    "--run", is_flag=True, help="Run a handler that pins, for an instance without a pin in the server's store."
)
@click.option("--check", is_flag=True, help="Also run the installed cloud-init on a config drive with the answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def render(handlers: tuple[str, ...], run: bool, check: bool, as_json: bool, **options: Any) -> NoReturn:
    """Show what an instance's cloud-init would get from HANDLERs, and what it would make of it.

    The handlers run for one instance, without a server, a token or a policy; with --config-file, an answer that is
    pinned is shown as it is. The exit status is 0, or 1 when a handler fails or, with --check, when the installed
    cloud-init reports a problem.
    """
    names = ("user_data", "static", "facts")
    user_data, static, facts = (read_file(options[name]) if options[name] else b"" for name in names)
    text = static_text(static) if static else ""
    try:
        base = read_payload(options["payload"]) if options["payload"] else None
        given = {name: options[name] for name in ("boot_roles", "hostname")}
        payload = json.dumps(build_payload(base, user_data=user_data or None, **given)).encode()
        request = VendordataRequest.from_json(payload)
        given_facts = read_facts(facts or b"{}", request)
        answer = asyncio.run(answer_of(handlers, options["config_file"], request, given_facts, run=run))
    except VendordataError as error:
        raise ConfigError(error.message) from None
    rendered = render_answer(answer, user_data, text)
    verdict = dry_run(answer, user_data, text) if check else None
    if as_json:
        click.echo(json.dumps(described(rendered, verdict), indent=2, default=str))
    else:
        click.echo("\n".join(lines(rendered, verdict)))
    sys.exit(1 if verdict and verdict.problems else 0)


async def answer_of(
    names: Sequence[str], config_file: Sequence[str], request: VendordataRequest, facts: Known, *, run: bool
) -> str | None:
    """Build and open the handlers, and return their joined answer.

    :param facts: what is known of the instance; nothing is looked up.
    :param run: whether handlers that pin may run with the server's configuration, where they have side effects.
    :raises ConfigError: one of them cannot be found, built or opened, or has nothing for cloud-init.
    """
    conf = open_config(config_file or os.devnull)
    settings = Settings.from_config(conf)
    wanted = [as_configured(name, settings.handlers) for name in names]
    if not config_file:
        set_samples(conf, wanted)
    registry = Registry(replace(settings, handlers=wanted))
    for each in registry.handlers.values():
        if not (each.cloud_init or each.for_cloud_init):
            raise ConfigError(f"handler {each.name} has nothing for cloud-init: it has no cloud_init method")
    pinning = [each for each in registry.handlers.values() if each.pin and config_file]
    pinned = await answers_of(settings, request.instance_id) if pinning else {}
    for each in pinning:
        if not run and pin_of(each, pinned) is None:
            reason = f"nothing is pinned for instance {request.instance_id}; --run runs it, with all its side effects"
            raise ConfigError(f"handler {each.name} pins its answers, and {reason}")
    account = Lookups(settings).account if is_set(conf) else None
    for each in registry.handlers.values():
        each.handler.clients = Clients(each.name, Metrics(), account)
    async with registry.opened():
        return await ask(list(registry.handlers.values()), Guard(settings.include_hosts), request, facts, pinned)


async def ask(
    handlers: Sequence[EnabledHandler],
    guard: Guard,
    request: VendordataRequest,
    facts: Known,
    pinned: Mapping[str, str],
) -> str | None:
    """Run open handlers for one instance, and return what ``/cloud-init`` would answer, or None.

    :param pinned: answers in whose place no handler runs.
    :raises VendordataError: a handler failed; the message names it.
    """
    parts: list[Part] = []
    for enabled in handlers:
        name = enabled.handler.name
        try:
            source = enabled.cloud_init or enabled
            if (pin := pin_of(enabled, pinned)) is not None:
                value = json.loads(pin)
                value = from_json(value) if enabled.cloud_init and isinstance(value, list) else value
            else:
                known = request.with_facts(facts_for(name, required(enabled.handler.needs), facts, request))
                asked = replace(known, prepared=await prepare(enabled.preparation, known, pinned))
                value = await source.runner.run(asked, budget=source.timeout, project_id=asked.project_id)
            kept = from_json(guard.check_contribution(value, name))
            parts += numbered(name, kept, first=len(parts) + 1)
        except VendordataError as error:
            raise type(error)(f"handler {name}: {error.message}") from None
    return join(parts) if parts else None


def pin_of(enabled: EnabledHandler, pinned: Mapping[str, str]) -> str | None:
    """Return the pinned answer; a handler with only ``cloud_init`` has one, whichever target has asked."""
    found = pinned.get((enabled.cloud_init or enabled).name)
    return pinned.get(enabled.name) if found is None and not defines_handle(type(enabled.handler)) else found


async def prepare(preparation: EnabledHandler | None, request: VendordataRequest, pinned: Mapping[str, str]) -> object:
    """Return what is prepared for an instance, pinned or by a run; None for a handler without ``prepare``."""
    if preparation is None:
        return None
    if preparation.name in pinned:
        return json.loads(pinned[preparation.name])
    made = await preparation.runner.run(request, budget=preparation.timeout, project_id=request.project_id)
    return json.loads(to_bytes(made, preparation.name, sys.maxsize))


def as_configured(name: str, configured: Sequence[str]) -> str:
    """Return a handler's name in the configuration, which may be its ``module:Class``."""
    paths = {each.handler.name: each.source for each in find([path for path in configured if ":" in path])[0]}
    return paths.get(name, name)


def set_samples(conf: cfg.ConfigOpts, names: Sequence[str]) -> None:
    """Set required options to their sample values, where they declare one."""
    for each in find(names)[0]:
        for option in each.handler.options:
            if option.required and option.sample_default is not None:
                conf.register_opt(option, group=each.handler.section)
                conf.set_default(option.name, option.sample_default, group=each.handler.section)


def described(rendered: Rendered, verdict: DryRun | None) -> dict[str, Any]:
    return {
        "answer": rendered.answer if rendered.answer is not None else {},
        "parts": [asdict(part) for part in rendered.parts],
        "config": rendered.config,
        "overridden": list(rendered.overridden),
        "findings": list(rendered.findings),
        "check": asdict(verdict) if verdict else None,
    }


def lines(rendered: Rendered, verdict: DryRun | None) -> Iterator[str]:
    """Yield the lines of the report for people."""
    if rendered.answer is None:
        yield "These handlers have nothing for cloud-init and this instance."
    for part in rendered.parts:
        yield from (f"--- {part.name} ({part.media_type})", part.text.rstrip(), "")
    if rendered.config:
        body = yaml.safe_dump(rendered.config, sort_keys=False, allow_unicode=True)
        yield from ("--- the instance's cloud-config, with the user-data", body.rstrip(), "")
    yield from (f"overridden by the user-data: {key}" for key in rendered.overridden)
    yield from (f"finding: {text}" for text in rendered.findings)
    if verdict:
        yield f"cloud-init {verdict.version}: {'problems' if verdict.problems else 'no problems'}"
        yield from (f"problem: {text}" for text in verdict.problems)
        yield from (f"runs at boot: {name}" for name in verdict.files)
