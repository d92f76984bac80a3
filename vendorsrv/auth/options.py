"""The options of ``[keystone_authtoken]``: registered, defaulted for Nova's five seconds, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from keystoneauth1 import loading
from keystoneauth1.exceptions import ClientException
from keystoneauth1.session import Session
from keystonemiddleware import auth_token
from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.settings import Problem, read

AUTHTOKEN: Final = "keystone_authtoken"

#: Where the middleware looks for a cache of the caller's in the WSGI environ.
NO_CACHE: Final = "vendorsrv.no_cache"

USUAL_PLUGIN: Final = "password"
#: Of these options of the password plugins one in each row must be set; keystoneauth itself notices only at the
#: first request.
PASSWORD_NEEDS: Final = (
    ("username", "user_id"),
    ("password",),
    ("project_name", "project_id", "system_scope", "domain_name", "domain_id"),
)
#: Keystone knows names only within a domain, and answers 400 or 401 without.
DOMAIN_NEEDS: Final = {
    "username": ("user_domain_name", "user_domain_id", "default_domain_name", "default_domain_id"),
    "project_name": ("project_domain_name", "project_domain_id", "default_domain_name", "default_domain_id"),
}


def register(conf: cfg.ConfigOpts) -> tuple[float, str]:
    """Register the section's options and prepare them for our own token cache.

    :returns: the seconds for which a validated token may be kept, and the value of ``WWW-Authenticate``.
    :raises ConfigError: the section is incomplete; names each option that is missing.
    """
    problems = find_problems(conf)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    keystone = conf[AUTHTOKEN]
    # Ours replaces the middleware's own cache, which takes 500 us for each hit, or memcached's time besides.
    conf.set_override("cache", NO_CACHE, group=AUTHTOKEN)
    # Only access rules need the catalogue: they are matched with the service's type in it.
    conf.set_default("include_service_catalog", bool(keystone.service_type), group=AUTHTOKEN)
    uri = keystone.www_authenticate_uri or conf[section_of(conf)].auth_url
    return float(keystone.token_cache_time), f'Keystone uri="{uri}"'


def declared(conf: cfg.ConfigOpts) -> dict[str, list[cfg.Opt]]:
    """Give the options by section; the last section is the one that holds the account.

    Without a plugin, or with one that does not exist, the account's options are those of ``password``.
    """
    common = loading.get_auth_common_conf_options()
    section = read(conf, AUTHTOKEN, common)[0].get("auth_section") or AUTHTOKEN
    auth_type = read(conf, section, common)[0].get("auth_type")
    sections = dict(auth_token.list_opts())
    sections[section] = [*sections.get(section, common), *plugin_options(auth_type or USUAL_PLUGIN)]
    return sections


def cafile_option() -> cfg.Opt:
    """Give the middleware's own option for Keystone's CA; two different ones cannot stand in one section."""
    options: list[cfg.Opt] = [option for _, each in auth_token.list_opts() for option in each]
    return next(option for option in options if option.dest == "cafile")


def plugin_options(auth_type: str) -> list[cfg.Opt]:
    try:
        return list(loading.get_auth_plugin_conf_options(auth_type))
    except ClientException:
        return list(loading.get_auth_plugin_conf_options(USUAL_PLUGIN))


def find_problems(conf: cfg.ConfigOpts) -> list[Problem]:
    """Say what is missing or wrong in the section; empty when tokens can be validated with it."""
    problems = []
    values = {}
    for section, options in declared(conf).items():
        values[section], found = read(conf, section, options)
        problems += found
    # The middleware's defaults have no timeout at all, and three tries.
    conf.set_default("http_connect_timeout", 2, group=AUTHTOKEN)
    conf.set_default("http_request_max_retries", 1, group=AUTHTOKEN)
    # No service token ever reaches the middleware, whose versions before 13 log a warning about its older default.
    conf.set_default("service_token_roles_required", True, group=AUTHTOKEN)
    if values[AUTHTOKEN].get("delay_auth_decision"):
        reason = "must be off; it turns an outage into bad tokens"
        problems.append(Problem(AUTHTOKEN, "delay_auth_decision", reason))
    section, account = list(values.items())[-1]
    problems += find_account_problems(section, account)
    return problems or find_contradictions(conf, section)


def find_contradictions(conf: cfg.ConfigOpts, section: str) -> list[Problem]:
    try:
        loading.load_auth_from_conf_options(conf, AUTHTOKEN)
    except ClientException as error:
        return [Problem(section, "auth_type", str(error))]
    return []


def find_account_problems(section: str, values: Mapping[str, Any]) -> list[Problem]:
    problems = []
    auth_type = values.get("auth_type") or ""
    if not auth_type:
        reason = "missing; vendorsrv needs an account of its own"
        problems.append(Problem(section, "auth_type", reason))
    else:
        try:
            loading.get_plugin_loader(auth_type)
        except ClientException:
            reason = f"there is no plugin {auth_type!r}; most clouds use {USUAL_PLUGIN}"
            problems.append(Problem(section, "auth_type", reason))
    if USUAL_PLUGIN not in (auth_type or USUAL_PLUGIN):
        return problems
    needs = [*PASSWORD_NEEDS, *(domains for name, domains in DOMAIN_NEEDS.items() if values.get(name))]
    # What could not be read has a problem of its own.
    missing = (names for names in needs if not any(values.get(name, "unread") for name in names))
    return problems + [Problem(section, names[0], missing_text(names)) for names in missing]


def missing_text(names: Sequence[str]) -> str:
    others = ", ".join(names[1:])
    return f"missing ({others} would do as well)" if others else "missing"


def section_of(conf: cfg.ConfigOpts) -> str:
    """Give the section that holds the account's options: ``auth_section``, or the usual one."""
    return conf[AUTHTOKEN].auth_section or AUTHTOKEN


def own_session(conf: cfg.ConfigOpts) -> Session:
    """Give a session with the account of a registered section; readiness is found out with it."""
    keystone = conf[AUTHTOKEN]
    certificate = (keystone.certfile, keystone.keyfile) if keystone.certfile and keystone.keyfile else keystone.certfile
    return Session(
        auth=loading.load_auth_from_conf_options(conf, AUTHTOKEN),
        verify=False if keystone.insecure else (keystone.cafile or True),
        cert=certificate,
        timeout=keystone.http_connect_timeout,
    )
