"""The options of ``[keystone_authtoken]``: registered, defaulted for Nova's five seconds, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from keystoneauth1 import loading
from keystoneauth1.exceptions import ClientException
from keystoneauth1.session import Session
from keystonemiddleware import auth_token
from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.settings import Problem, read

AUTHTOKEN: Final = "keystone_authtoken"
#: The key in the WSGI environ under which the middleware finds a cache of ours.
NO_CACHE: Final = "vendorsrv.no_cache"
USUAL_PLUGIN: Final = "password"
#: Keystone is unavailable or refuses our account; a CA file cannot be read (requests); or something answers that is not
#: Keystone (keystoneclient does not check).
NO_ANSWER: Final = (ClientException, OSError, ValueError, LookupError, TypeError, AttributeError)

#: Of these options of the password plugins, one in each row is required; keystoneauth itself notices only at the first
#: request.
PASSWORD_NEEDS: Final = (
    ("username", "user_id"),
    ("password",),
    ("project_name", "project_id", "system_scope", "domain_name", "domain_id"),
)
#: A name is unique within a domain only: without one of these, Keystone answers 400 or 401.
DOMAIN_NEEDS: Final = {
    "username": ("user_domain_name", "user_domain_id", "default_domain_name", "default_domain_id"),
    "project_name": ("project_domain_name", "project_domain_id", "default_domain_name", "default_domain_id"),
}


def register(conf: cfg.ConfigOpts) -> tuple[float, str]:
    """Register the section's options, and turn the middleware's token cache off.

    :returns: the seconds for which a validated token may be cached, and the value of ``WWW-Authenticate``.
    :raises ConfigError: the section is incomplete; names each required option.
    """
    problems = find_problems(conf)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    keystone = conf[AUTHTOKEN]
    # Our cache replaces the middleware's, which takes 500 µs for each hit, and more with memcached.
    conf.set_override("cache", NO_CACHE, group=AUTHTOKEN)
    # Only access rules need the catalogue, which has the service's type.
    conf.set_default("include_service_catalog", bool(keystone.service_type), group=AUTHTOKEN)
    uri = keystone.www_authenticate_uri or conf[keystone.auth_section or AUTHTOKEN].auth_url
    return float(keystone.token_cache_time), f'Keystone uri="{uri}"'


def declared(conf: cfg.ConfigOpts) -> dict[str, list[cfg.Opt]]:
    """Return the options by section; the account's section is the last one."""
    section, options = account_of(conf, AUTHTOKEN)
    sections = dict(auth_token.list_opts())
    sections[section] = [*sections.get(section, loading.get_auth_common_conf_options()), *options]
    return sections


def account_of(conf: cfg.ConfigOpts, section: str) -> tuple[str, list[cfg.Opt]]:
    """Return the section with an account, which ``auth_section`` may name, and its plugin's options.

    Without a plugin, or with one that does not exist, they are those of ``password``.
    """
    common = loading.get_auth_common_conf_options()
    shared = read(conf, section, common)[0].get("auth_section") or section
    auth_type = read(conf, shared, common)[0].get("auth_type") or USUAL_PLUGIN
    try:
        return shared, list(loading.get_auth_plugin_conf_options(auth_type))
    except ClientException:
        return shared, list(loading.get_auth_plugin_conf_options(USUAL_PLUGIN))


def cafile_option() -> cfg.Opt:
    """Return the middleware's option for Keystone's CA: a section cannot have two different options of one name."""
    options: list[cfg.Opt] = dict(auth_token.list_opts())[AUTHTOKEN]
    return next(option for option in options if option.dest == "cafile")


def find_problems(conf: cfg.ConfigOpts) -> list[Problem]:
    """Return what is wrong with the section; empty when tokens can be validated with it."""
    problems = []
    values = {}
    for section, options in declared(conf).items():
        values[section], found = read(conf, section, options)
        problems += found
    # The middleware's defaults are no timeout and three retries.
    conf.set_default("http_connect_timeout", 2, group=AUTHTOKEN)
    conf.set_default("http_request_max_retries", 1, group=AUTHTOKEN)
    # No service token ever reaches the middleware, whose versions before 13 log a warning about its older default.
    conf.set_default("service_token_roles_required", True, group=AUTHTOKEN)
    if values[AUTHTOKEN].get("delay_auth_decision"):
        problems.append(Problem(AUTHTOKEN, "delay_auth_decision", "must be off; it turns an outage into bad tokens"))
    problems += find_account_problems(section, values[section])
    return problems or find_contradictions(conf, AUTHTOKEN, section)


def find_contradictions(conf: cfg.ConfigOpts, section: str, shared: str) -> list[Problem]:
    """Return what keystoneauth refuses in an account whose options are in the section ``shared``."""
    try:
        loading.load_auth_from_conf_options(conf, section)
    except ClientException as error:
        return [Problem(shared, "auth_type", str(error))]
    return []


def find_account_problems(section: str, values: Mapping[str, Any], use: str = "validates tokens") -> list[Problem]:
    """Return what is wrong with the options of an account.

    :param use: what vendorsrv does with the account.
    """
    problems = []
    auth_type = values.get("auth_type") or ""
    if not auth_type:
        problems.append(Problem(section, "auth_type", f"required; vendorsrv {use} with this account"))
    else:
        try:
            loading.get_plugin_loader(auth_type)
        except ClientException:
            reason = f"unknown plugin {auth_type!r}; most clouds use {USUAL_PLUGIN}"
            problems.append(Problem(section, "auth_type", reason))
    if USUAL_PLUGIN not in (auth_type or USUAL_PLUGIN):
        return problems
    needs = [*PASSWORD_NEEDS, *(domains for name, domains in DOMAIN_NEEDS.items() if values.get(name))]
    for name, *others in needs:
        # An option that could not be read is a problem already.
        if not any(values.get(each, "unread") for each in (name, *others)):
            problems.append(Problem(section, name, f"required (or {', '.join(others)})" if others else "required"))
    return problems


def own_session(conf: cfg.ConfigOpts) -> Session:
    """Return a session with the account of a registered section, for the check of readiness."""
    keystone = conf[AUTHTOKEN]
    both = keystone.certfile and keystone.keyfile
    return Session(
        auth=loading.load_auth_from_conf_options(conf, AUTHTOKEN),
        verify=False if keystone.insecure else (keystone.cafile or True),
        cert=(keystone.certfile, keystone.keyfile) if both else keystone.certfile,
        timeout=keystone.http_connect_timeout,
    )
