"""The options of ``[facts]`` and of the account that asks for them."""

from __future__ import annotations

from typing import Any, Final

from oslo_config import cfg

from vendorsrv.auth import account
from vendorsrv.settings import Problem, read

GROUP: Final = "facts"

OPTIONS: Final = (
    cfg.FloatOpt(
        "keep_for",
        default=15.0,
        min=0.0,
        help="Seconds for which a fact is not looked up again; Nova keeps its own metadata for 15.",
    ),
    cfg.IntOpt("concurrency", default=16, min=1, help="Look-ups that a worker makes at once; the others wait."),
    cfg.StrOpt(
        "scope",
        default="project",
        choices=("project", "admin"),
        help="Whose tokens are asked for: the instance's project's, or the account's own, which must have the role "
        "admin and sees the compute host's name too.",
    ),
)


def find_problems(conf: cfg.ConfigOpts) -> list[Problem]:
    """Return what is wrong with ``[facts]`` and ``[service_account]``; empty when facts can be looked up."""
    values, problems = read(conf, GROUP, OPTIONS)
    return problems + account.find_problems(conf, own_scope=values.get("scope") == "admin")


def declared(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """Return the options by section."""
    return {GROUP: OPTIONS, **account.options_of_account(conf)}
