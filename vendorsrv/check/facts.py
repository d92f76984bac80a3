"""Check the options of facts and of their account, when something uses them."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from vendorsrv.auth.account import is_set
from vendorsrv.facts.options import find_problems
from vendorsrv.handlers.registry import FoundHandler
from vendorsrv.settings import Problem, Settings, read_handler


def find_fact_problems(conf: cfg.ConfigOpts, settings: Settings, handlers: Sequence[FoundHandler]) -> list[Problem]:
    """Return what is wrong with ``[facts]`` and ``[service_account]``; rules that need them are the policy's findings.

    :param handlers: those that are enabled.
    """
    used = is_set(conf) or any(uses_facts(each, conf, settings) for each in handlers)
    return find_problems(conf) if used else []


def uses_facts(found: FoundHandler, conf: cfg.ConfigOpts, settings: Settings) -> bool:
    """Whether a handler needs a fact, or verifies the instance."""
    verify = found.handler.verify or settings.verify
    return bool(found.handler.needs or read_handler(conf, found.handler)[1].get("verify", verify))
